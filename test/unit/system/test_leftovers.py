"""Leftover processes of a predecessor are ended: the plan, and real processes."""
import os
import signal
import subprocess
import sys
import time

import pytest

from ua_overlay.system import subreaper
from ua_overlay.system.leftovers import OWNER, PATIENCE, Leftovers, Process, is_alive, marked_processes, owner_of, plan

STUBBORN = ('import signal, time\n'
            'for number in (2, 15): signal.signal(number, signal.SIG_IGN)\n'
            'print(1, flush=True)\ntime.sleep(600)\n')


def test_processes_of_a_living_owner_are_left_alone():
    assert plan([Process(5, '1:1', False), Process(6, '1:1', True)], {'1:1'}, 100) == ([], signal.SIGKILL)


def test_a_subreaper_gets_time_to_clean_up():
    left = [Process(5, '1:1', True), Process(6, '1:1', False), Process(7, '2:2', False)]
    assert plan(left, {'2:2'}, 0) == ([5, 6], None)
    assert plan(left, {'2:2'}, PATIENCE - 0.1) == ([5, 6], None)
    assert plan(left, {'2:2'}, PATIENCE) == ([5, 6], signal.SIGTERM)
    assert plan(left, {'2:2'}, PATIENCE + 1) == ([5, 6], signal.SIGKILL)


def test_without_a_subreaper_there_is_no_wait():
    left = [Process(6, '1:1', False)]
    assert plan(left, set(), 0) == ([6], signal.SIGTERM)
    assert plan(left, set(), 1) == ([6], signal.SIGKILL)


def test_the_owner_is_this_process():
    own = owner_of()
    assert own.startswith('{}:'.format(os.getpid())) and is_alive(own)
    for owner in ('{}:1'.format(os.getpid()), '999999999:5', 'x', '', '5'):
        assert not is_alive(owner)


@pytest.fixture
def stubborn():
    """Starts a process that ignores SIGINT and SIGTERM under an owner."""
    started = []

    def start(owner):
        process = subprocess.Popen([sys.executable, '-c', STUBBORN], env=dict(os.environ, **{OWNER: owner}),
                                   stdout=subprocess.PIPE)
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_real_leftover_processes(stubborn):
    """Of two owners one is gone: its process ends, though it ignores everything; the other's and ours stay."""
    gone, mine = stubborn('999999999:5'), stubborn(owner_of())
    seen = {process.pid: process for process in marked_processes()}
    assert seen[gone.pid] == Process(gone.pid, '999999999:5', False)
    leftovers = Leftovers(lambda: [entry for entry in marked_processes() if entry.pid in (gone.pid, mine.pid)])
    assert not leftovers.step()
    end = time.monotonic() + 20
    while not leftovers.step():
        assert time.monotonic() < end
        gone.poll()
        time.sleep(0.05)
    assert gone.wait(5) == -signal.SIGKILL
    assert mine.poll() is None


def test_subreaper_is_recognized():
    process = subprocess.Popen([sys.executable, '-I', subreaper.__file__, 'sleep', '600'], stdin=subprocess.PIPE,
                               env=dict(os.environ, **{OWNER: '999999998:5'}), start_new_session=True)
    try:
        end = time.monotonic() + 10
        while True:
            found = sorted(entry.subreaper for entry in marked_processes() if entry.owner == '999999998:5')
            if found == [False, True]:
                break
            assert time.monotonic() < end, found
            time.sleep(0.02)
    finally:
        process.stdin.close()
        process.wait(10)


def test_once_clear_always_clear():
    left = [[Process(6, '9:9', False)], [], [Process(6, '9:9', False)]]
    sent = []
    leftovers = Leftovers(lambda: left.pop(0), lambda owner: False, lambda *args: sent.append(args), lambda: 0.0)
    assert (leftovers.step(), leftovers.step(), leftovers.step()) == (False, True, True)
    assert sent == [(6, signal.SIGTERM)]


def test_a_process_that_has_just_ended_is_no_error():
    def kill(pid, number):
        raise ProcessLookupError(pid)

    assert not Leftovers(lambda: [Process(6, '9:9', False)], lambda owner: False, kill, lambda: 0.0).step()
