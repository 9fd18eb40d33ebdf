"""Processes named by id and start time: a later process with the same id is never touched."""
import signal
import subprocess
import sys

import pytest

from ua_overlay.lab import kernel


@pytest.fixture
def child():
    """A process that runs until it is ended."""
    process = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    with process:
        yield process
        process.kill()


def test_a_running_process_is_alive_until_it_is_killed(child):
    handle = kernel.ProcessHandle(child.pid)
    assert handle.alive() and not handle.wait(0)
    assert handle.kill()
    # A zombie counts as ended.
    assert not handle.alive() and kernel.start_ticks(child.pid) is None
    assert child.wait(10) == -signal.SIGKILL
    assert handle.send_signal(signal.SIGTERM) is False and handle.wait(0)


def test_a_process_with_another_start_time_gets_no_signal(child):
    stranger = kernel.ProcessHandle(child.pid, kernel.start_ticks(child.pid) - 1)
    assert not stranger.alive()
    assert stranger.send_signal(signal.SIGKILL) is False
    assert stranger.signal_group(signal.SIGKILL) is False
    assert child.poll() is None


def test_an_ended_process_has_no_handle():
    with pytest.raises(ProcessLookupError):
        kernel.ProcessHandle(2 ** 22)
    assert kernel.ProcessHandle(2 ** 22, -1).wait(0)


def test_a_refused_mount_names_its_target(tmp_path):
    with pytest.raises(OSError, match='mount none on {}/missing'.format(tmp_path)):
        kernel.mount('', str(tmp_path / 'missing'), 'none')
