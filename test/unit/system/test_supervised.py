"""A supervised program: real processes under the real subreaper. The pauses, by a clock of the test's own:
test/unit/rosenv/test_roscore.py."""
import os
import time

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.system.supervised import RUNNING, STOPPED, STOPPING, WAITING, Supervised


class Shell(Supervised[str]):
    """Runs a script."""

    def command(self, spec):
        if spec == 'missing':
            raise OverlayError('There is no such script.', 'write it')
        return ['/bin/sh', '-c', spec] if spec != 'no shell' else ['/nonexistent/sh']

    def environ(self, spec, environ):
        return dict(environ, SPEC=spec)

    def refusal(self, detail):
        return 'It cannot start: {}.'.format(detail)

    def obituary(self, spec, status, last_words):
        return '{} ended with status {}{}'.format(spec.split(';')[0], status, last_words)


@pytest.fixture
def shell(tmp_path):
    program = Shell(str(tmp_path / 'log'))
    yield program
    assert program.stop(20)


def until(shell, *states, seconds=20):
    """Step until it is in one of ``states``."""
    end = time.monotonic() + seconds
    while shell.step() not in states:
        assert time.monotonic() < end, (shell.state, shell.why)
        time.sleep(0.02)


def written(path, text, seconds=20):
    end = time.monotonic() + seconds
    while not (os.path.exists(path) and text in path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_only_the_desired_program_runs(shell, tmp_path):
    shell.set_desired('echo $SPEC; exec sleep 600')
    assert shell.state == RUNNING and shell.running == 'echo $SPEC; exec sleep 600' and shell.pid
    written(tmp_path / 'log', 'echo $SPEC; exec sleep 600\n')
    first = shell.pid
    shell.set_desired('echo other; exec sleep 600')
    assert shell.state == STOPPING
    until(shell, RUNNING)
    assert shell.pid != first and shell.running == 'echo other; exec sleep 600' and shell.starts == 2
    shell.set_desired(None)
    until(shell, STOPPED)
    assert shell.pid is None and shell.running is None and shell.why == ''


def test_a_crash_is_reported_with_the_last_line_and_retried(shell, tmp_path):
    shell.set_desired('echo one; echo two; exit 3')
    until(shell, WAITING)
    assert shell.why == 'echo one ended with status 3: two ({})'.format(tmp_path / 'log')
    until(shell, RUNNING)
    assert shell.starts == 2


def test_a_program_that_cannot_be_started(shell):
    shell.set_desired('missing')
    assert (shell.state, shell.why) == (WAITING, 'There is no such script. Next: write it')
    shell.set_desired('no shell')
    until(shell, WAITING)
    assert 'ended with status 127: /nonexistent/sh' in shell.why


def test_an_unwritable_log(tmp_path):
    program = Shell(str(tmp_path / 'none' / 'log'))
    program.set_desired('true')
    assert (program.state, program.why) == (WAITING, 'It cannot start: No such file or directory.')
