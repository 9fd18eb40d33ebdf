"""The subreaper: nothing that came from its command outlives it. Real processes."""
import os
import signal
import subprocess
import sys
import time

import pytest

from ua_overlay.system import subreaper
from ua_overlay.system.process import Stat

#: A command that starts a grandchild in a session of its own, as roslaunch does, and prints both process ids.
FAMILY = ('import os, signal, subprocess, sys, time\n'
          'stubborn = sys.argv[1] == "stubborn"\n'
          'child = "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(1, flush=True);'
          ' time.sleep(600)"\n'
          'grandchild = subprocess.Popen([sys.executable, "-c", child], start_new_session=True,\n'
          '                              stdout=subprocess.PIPE)\n'
          'grandchild.stdout.readline()\n'
          'if stubborn: signal.signal(2, signal.SIG_IGN); signal.signal(15, signal.SIG_IGN)\n'
          'print(os.getpid(), grandchild.pid, flush=True)\n'
          'time.sleep(600)\n')


def gone(pid):
    return pid not in subreaper.parents([pid])


def wait_gone(pids, seconds=10):
    end = time.monotonic() + seconds
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < end, 'still there: {}'.format([pid for pid in pids if not gone(pid)])
        time.sleep(0.02)


@pytest.fixture
def family():
    """Starts a subreaper with a family under it: (its process, [child, grandchild]); nothing is left afterwards."""
    started = []

    def start(kind='plain', options=('--grace', '0.5')):
        process = subprocess.Popen(
            [sys.executable, '-I', subreaper.__file__] + list(options) + [sys.executable, '-c', FAMILY, kind],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        pids = [int(word) for word in process.stdout.readline().split()]
        started.append((process, pids))
        return process, pids

    yield start
    for process, pids in started:
        for pid in pids:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize('kind', ['plain', 'stubborn'])
def test_end_of_input_ends_all_processes(family, kind):
    process, pids = family(kind)
    assert not any(gone(pid) for pid in pids)
    process.stdin.close()
    process.wait(10)
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_all_processes(family, number):
    process, pids = family()
    process.send_signal(number)
    process.wait(10)
    assert all(gone(pid) for pid in pids)


def test_a_stubborn_command_without_children_gets_less_time(family):
    process, pids = family('stubborn', ('--grace', '60', '--alone', '0.2'))
    process.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2.5)  # it has a child: the grace time holds
    os.kill(pids[1], signal.SIGKILL)
    process.wait(10)
    assert gone(pids[0])


def test_children_of_a_killed_command_end(family):
    process, pids = family()
    os.kill(pids[0], signal.SIGKILL)
    assert process.wait(10) == 128 + signal.SIGKILL
    assert gone(pids[1])


def test_a_killed_subreaper_ends_the_command(family):
    process, pids = family()
    process.kill()
    process.wait(10)
    wait_gone(pids[:1])


def test_a_killed_parent_ends_all_processes():
    """Not only a closed pipe: a parent that gets SIGKILL."""
    parent = subprocess.Popen(
        [sys.executable, '-c', 'import subprocess, sys, time\n'
         'p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)\n'
         'time.sleep(600)', sys.executable, '-I', subreaper.__file__, '--grace', '0.5', sys.executable, '-c', FAMILY,
         'stubborn'], stdout=subprocess.PIPE)
    with parent.stdout:
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
        parent.wait(10)
        wait_gone(pids)


@pytest.mark.parametrize('command, status', [
    ([sys.executable, '-c', 'raise SystemExit(7)'], 7), (['/no/such/command'], 127)])
def test_the_exit_status_is_that_of_the_command(command, status, capfd):
    process = subprocess.Popen([sys.executable, '-I', subreaper.__file__] + command, stdin=subprocess.PIPE)
    with process.stdin:
        assert process.wait(10) == status
    assert ('/no/such/command' in capfd.readouterr().err) == (status == 127)


def test_exit_status_of_a_command_that_ends_at_once():
    for _ in range(20):
        with subprocess.Popen([sys.executable, '-I', subreaper.__file__, 'sh', '-c', 'exit 3'],
                              stdin=subprocess.PIPE) as process:
            try:
                assert process.wait(20) == 3
            finally:
                process.kill()


def test_tree_of_processes():
    states = {2: ('S', 1), 3: ('S', 2), 4: ('Z', 2), 5: ('R', 3), 6: ('S', 1)}

    def read(pid):
        if pid not in states:
            raise FileNotFoundError(pid)
        return Stat('a', *states[pid], 0)

    tree = subreaper.parents([2, 3, 4, 5, 6, 7], read)
    assert tree == {2: 1, 3: 2, 5: 3, 6: 1}
    assert subreaper.descendants(2, tree) == [3, 5]
