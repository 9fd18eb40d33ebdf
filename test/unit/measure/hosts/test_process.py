"""Started programs: waiting, reading and stopping. Real programs of this machine."""
import subprocess
import time

import pytest

from ua_overlay.measure.hosts import process
from ua_overlay.measure.hosts.process import HostLost


def start(script):
    return subprocess.Popen(['sh', '-c', script], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True)


def test_a_program_is_waited_for():
    assert process.finish(start('echo out; echo err >&2; exit 3'), 'a', ['sh'], 10.0) == (3, 'out\n', 'err\n')


def test_a_program_is_stopped_after_its_timeout():
    started = start('exec sleep 60')
    with pytest.raises(HostLost, match='sleep on a did not end within 0 s: the other end or the network is gone.'):
        process.finish(started, 'a', ['env', 'LC_ALL=C', 'sleep', '60'], 0.2)
    assert started.returncode is not None


def test_output_after_the_line_stays_readable():
    started = start('echo already; echo ready; echo more; echo done')
    assert process.read_until(started, 'ready', 10.0) == 'already\nready\n'
    assert process.finish(started, 'a', ['sh'], 10.0)[1] == 'more\ndone\n'


@pytest.mark.parametrize('script', ['echo one', 'echo one; exec sleep 60'])
def test_the_wait_for_a_line_times_out(script):
    started = start(script)
    assert process.read_until(started, 'ready', 0.5) == 'one\n'
    process.stop(started)


def test_a_surviving_child_does_not_block_the_wait():
    """The child holds the pipes; the sleep ends by itself."""
    started = start('sleep 20 & wait')
    begin = time.monotonic()
    process.stop(started)
    assert time.monotonic() - begin < 15.0 and started.returncode is not None


@pytest.mark.parametrize('text, line', [('one\ntwo.\n\n', 'two'), ('', 'it printed nothing')])
def test_the_last_line(text, line):
    assert process.last_line(text) == line
    assert process.last_line(text, 'no output') == (line if text else 'no output')


def test_the_program_behind_env():
    assert process.program_of(['env', 'LC_ALL=C', 'ping', '-n']) == process.program_of(['ping']) == 'ping'
