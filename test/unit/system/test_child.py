import os
import signal
import subprocess
import sys
import time

import pytest
from paths import SOURCE

from ua_overlay.system.child import BoundedLog, Child


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'not within {} s'.format(seconds)
        time.sleep(0.02)


def alive(pid):
    try:
        with open('/proc/{}/stat'.format(pid), encoding='ascii', errors='replace') as stream:
            return stream.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended after the file was opened
        return False


@pytest.fixture
def shell(tmp_path):
    """shell(script) -> a started Child that runs it."""
    children = []

    def start(script, environment=None):
        child = Child('test', ['/bin/sh', '-c', script], str(tmp_path / 'log'), environment)
        child.start()
        children.append(child)
        return child

    yield start
    for child in children:
        child.stop(0)


def test_output_is_logged_and_can_be_awaited(shell, tmp_path):
    child = shell('echo one; echo two >&2; exec sleep 60')
    assert child.wait_for_line(('two',), 0, 10) == 'two'
    assert child.last_lines(2) == ['one', 'two'] and child.running() and child.exit_code() is None
    assert (tmp_path / 'log').read_text() == 'one\ntwo\n'
    assert (tmp_path / 'log').stat().st_mode & 0o777 == 0o600


def test_only_lines_after_the_mark_are_searched(shell):
    child = shell('echo ready; read x < "$FIFO"; echo ready again; exec sleep 60',
                  {'FIFO': '/dev/null'})
    assert child.wait_for_line(('again',), 0, 10) == 'ready again'
    mark = child.mark()
    assert mark == 2 and child.wait_for_line(('ready',), mark, 0.05) is None


def test_the_wait_for_a_line_ends_with_the_process(shell):
    child = shell('echo bye')
    start = time.monotonic()
    assert child.wait_for_line(('never',), 0, 30) is None
    assert time.monotonic() - start < 10
    wait_until(lambda: not child.running())
    assert child.exit_code() == 0


def test_stop_sends_sigterm_first(shell):
    child = shell('trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.05; done')
    child.wait_for_line(('ready',), 0, 10)
    child.stop(10)
    assert child.exit_code() == 3 and child.last_lines(1) == ['got it']


def test_stop_is_bounded(shell):
    child = shell('trap "" TERM; echo ready; while :; do sleep 0.05; done')
    child.wait_for_line(('ready',), 0, 10)
    start = time.monotonic()
    child.stop(0.2)
    assert child.exit_code() == -signal.SIGKILL and time.monotonic() - start < 8


def test_a_child_can_start_again(shell):
    child = shell('echo hello')
    wait_until(lambda: not child.running())
    first = child.pid
    child.start()
    wait_until(lambda: child.mark() == 2)
    assert child.pid != first and child.last_lines(9) == ['hello', 'hello']


def test_a_child_dies_with_its_parent(tmp_path):
    script = ('from ua_overlay.system.child import Child; import time; '
              'c = Child("x", ["sleep", "600"], {!r}); c.start(); print(c.pid, flush=True); time.sleep(600)'
              ).format(str(tmp_path / 'log'))
    source = SOURCE
    parent = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE,
                              env=dict(os.environ, PYTHONPATH=source))
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not alive(pid))


def test_log_size_is_limited(tmp_path):
    log = BoundedLog(str(tmp_path / 'log'), limit=100)
    for number in range(50):
        log.write(b'line %02d\n' % number)
    log.close()
    assert sorted(os.listdir(str(tmp_path))) == ['log', 'log.1']
    assert all((tmp_path / name).stat().st_size <= 100 for name in ('log', 'log.1'))
    assert ((tmp_path / 'log.1').read_text() + (tmp_path / 'log').read_text()).endswith('line 48\nline 49\n')


def test_a_log_is_appended_to(tmp_path):
    for _ in range(2):
        log = BoundedLog(str(tmp_path / 'log'), limit=100)
        log.write(b'x\n')
        log.close()
    assert (tmp_path / 'log').read_text() == 'x\nx\n'


def test_a_missing_program_is_an_error(tmp_path):
    with pytest.raises(OSError):
        Child('none', [str(tmp_path / 'none')], str(tmp_path / 'log')).start()
