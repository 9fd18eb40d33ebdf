import os
import signal
import subprocess
import sys
import time

import pytest
from full_disk import needs_root, small_file_system
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


@pytest.mark.fault('K3', "The disk of the server's logs is full", behaviour='Headscale and the relay go on; log lines '
                   'are dropped and counted', reported='at once: server status', recovery='with the next line after '
                   'there is room', lost='log lines')
@needs_root
def test_a_full_disk_costs_lines_and_no_process(tmp_path):
    """It writes far more than a pipe holds, so it would block, or die of SIGPIPE, if nobody read."""
    with small_file_system(tmp_path / 'small') as small:
        small.fill()
        child = Child('test', ['/bin/sh', '-c', 'i=0; while [ $i -lt 4000 ]; do echo "line $i of many, as long as they '
                               'are in a log of Headscale"; i=$((i+1)); done; echo full; read x; exec sleep 600'],
                      small.path + '/log')
        child.start()
        try:
            assert child.wait_for_line(('full',), 0, 20) == 'full' and child.mark() == 4001
            wait_until(lambda: child.log_problem)
            assert child.log_problem == 'The log {0}/log cannot be written: the file system {0} is full.'.format(
                small.path)
        finally:
            child.stop(1)


@needs_root
def test_a_log_says_how_many_lines_are_missing(tmp_path):
    with small_file_system(tmp_path / 'small') as small:
        log = BoundedLog(small.path + '/log')
        log.write(b'first\n')
        small.fill()
        for _ in range(900):
            log.write(b'lost, as there is no room for it\n')
        assert log.problem.endswith('the file system {} is full.'.format(small.path))
        lost = log.dropped
        small.free()
        log.write(b'last\n')
        assert (log.problem, log.dropped) == ('', 0)
        log.close()
        lines = open(small.path + '/log').read().splitlines()
        assert lines[0] == 'first' and lines[-1] == 'last'
        assert lines[-2] == ('[ua_overlay: {} line(s) are missing here. The log {}/log cannot be written: the file '
                             'system {} is full.]'.format(lost, small.path, small.path))
        assert len(lines) == 3 + 900 - lost or lines[-3] and len(lines) == 4 + 900 - lost


@pytest.mark.fault('K4', 'A directory, a FIFO or a link stands where a log belongs', behaviour='Headscale and the '
                   'relay go on without a log', reported='at once: server status', recovery='with the next line',
                   lost='log lines')
@pytest.mark.parametrize('place, words', [
    (lambda path: path.mkdir(), 'Is a directory'), (lambda path: os.mkfifo(str(path)), 'No such device or address'),
    (lambda path: path.symlink_to('/dev/null'), 'symbolic link'),
    (lambda path: path.parent.chmod(0o500), 'Permission denied')], ids=['directory', 'fifo', 'link', 'closed'])
def test_a_log_that_cannot_be_opened(tmp_path, place, words):
    path = tmp_path / 'below' / 'log'
    path.parent.mkdir()
    place(path)
    if os.geteuid() == 0 and words.startswith('Permission'):
        pytest.skip('Root may write everywhere.')
    log = BoundedLog(str(path))
    log.write(b'x\n')
    assert words in log.problem and log.dropped == 1
    path.parent.chmod(0o700)
    if os.path.isdir(str(path)) and not path.is_symlink():
        path.rmdir()
    elif os.path.lexists(str(path)):
        path.unlink()
    log.write(b'y\n')
    assert log.problem == '' and path.read_text().startswith('[ua_overlay: 1 line(s) are missing here.')
    assert path.read_text().endswith('y\n')


def test_a_log_in_a_missing_directory_starts_when_it_is_there(tmp_path):
    log = BoundedLog(str(tmp_path / 'none' / 'log'))
    log.write(b'x\n')
    assert 'No such file' in log.problem
    (tmp_path / 'none').mkdir()
    log.write(b'y\n')
    assert (tmp_path / 'none' / 'log').read_text().endswith(']\ny\n')


def test_a_line_without_end_does_not_fill_the_memory(shell):
    child = shell('head -c 3000000 /dev/zero | tr "\\0" x; echo; echo end; exec sleep 60')
    assert child.wait_for_line(('end',), 0, 20) == 'end'
    assert max(map(len, child.last_lines(200))) <= 16 * 1024


def test_a_reader_of_lines_that_fails_does_not_end_the_log(tmp_path, caplog):
    def ignore(line):
        raise ValueError('odd')

    child = Child('test', ['/bin/sh', '-c', 'echo one; echo two; exec sleep 60'], str(tmp_path / 'log'), None, ignore)
    child.start()
    assert child.wait_for_line(('two',), 0, 10) == 'two'
    child.stop(0)
    assert (tmp_path / 'log').read_text() == 'one\ntwo\n' and 'was not understood' in caplog.text
