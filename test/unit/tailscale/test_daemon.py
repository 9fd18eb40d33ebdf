"""A tailscaled as a child, with a small program in its place where only its end matters (the real one: test/lab/)."""
import errno
import os
import stat
import subprocess

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.daemon import BACKOFF, STABLE_AFTER, Daemon, daemon_command, daemon_environment


def test_only_tailscaled_trusts_the_ca():
    before = dict(os.environ)
    environment = daemon_environment({'PATH': '/bin'}, '/etc/ua_overlay/ca.pem')
    assert environment == {'PATH': '/bin', 'SSL_CERT_FILE': '/etc/ua_overlay/ca.pem', 'TS_NO_LOGS_NO_SUPPORT': 'true'}
    assert 'SSL_CERT_FILE' not in daemon_environment({}, None)
    assert dict(os.environ) == before


def test_command_line():
    command = daemon_command('/x/tailscaled', '/state', '/run/sock', 'tailscale0', 41641)
    assert command[:5] == ['setpriv', '--pdeathsig', 'TERM', '--', '/x/tailscaled']
    assert '--state=/state/tailscaled.state' in command and '--socket=/run/sock' in command


class Runs:
    """A tailscaled that ends after each of these seconds, the clock, and the stop that ends all after the last run."""

    def __init__(self, *seconds):
        self.seconds, self.now, self.pauses = list(seconds), 0.0, []

    def popen(self, *_, **__):
        return self

    def wait(self, timeout=None):
        if timeout is None:
            self.now += self.seconds.pop(0)
        else:
            self.pauses.append(timeout)
        return False

    def is_set(self):
        return not self.seconds


def test_pauses_grow_and_reset_after_a_long_run(monkeypatch):
    runs = Runs(1.0, 1.0, STABLE_AFTER - 1, STABLE_AFTER, 1.0)
    daemon = Daemon('/x/tailscaled', popen=runs.popen, clock=lambda: runs.now)
    monkeypatch.setattr(daemon, '_stop', runs)
    daemon._supervise()
    assert runs.pauses == [BACKOFF[0], 2 * BACKOFF[0], 4 * BACKOFF[0], BACKOFF[0], 2 * BACKOFF[0]]
    assert daemon.restarts == 5


def test_what_comes_before_each_start(monkeypatch):
    """A start after a failure of it would use a map that should be gone."""
    runs, calls = Runs(1.0, 1.0), []

    def before():
        calls.append(runs.now)
        if len(calls) == 2:
            raise OSError(30, 'Read-only file system')

    daemon = Daemon('/x/tailscaled', popen=runs.popen, clock=lambda: runs.now, before_start=before)
    monkeypatch.setattr(daemon, '_stop', runs)
    daemon._supervise()
    assert calls == [0.0, 1.0, 1.0] and daemon.restarts == 3


def test_a_missing_program(tmp_path):
    daemon = Daemon(str(tmp_path / 'nothing'), state_dir=str(tmp_path / 'state'), socket_path=str(tmp_path / 'sock'))
    with pytest.raises(OverlayError):
        daemon.start(timeout=1.0)
    assert daemon.pid is None


def test_a_program_that_is_not_tailscaled_is_stopped(tmp_path):
    program = tmp_path / 'tailscaled'
    program.write_text('#!/bin/sh\necho started >&2\nexec sleep 60\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    log = tmp_path / 'log'
    daemon = Daemon(str(program), state_dir=str(tmp_path / 'state'), socket_path=str(tmp_path / 'sock'),
                    log_path=str(log))
    with pytest.raises(OverlayError) as caught:
        daemon.start(timeout=1.0)
    assert 'does not answer' in str(caught.value) and str(log) in str(caught.value)
    assert daemon.pid is None
    assert log.read_text() == 'started\n'
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.fault('K1', 'tailscaled cannot be started again for a while (manage_daemon)',
                   behaviour='it is tried again', reported='at once: log, topic', recovery='30 s', lost='nothing')
def test_a_start_that_fails_later_is_tried_again(monkeypatch, caplog):
    """A full process table, say: the first start went well, so nobody waits for the error any more."""
    runs, starts = Runs(1.0, 1.0), []

    def popen(*_, **__):
        starts.append(1)
        if len(starts) in (2, 3):
            raise OSError(errno.EAGAIN, 'Resource temporarily unavailable')
        return runs

    daemon = Daemon('/x/tailscaled', popen=popen, clock=lambda: runs.now)
    monkeypatch.setattr(daemon, '_stop', runs)
    daemon._supervise()
    assert len(starts) == 4 and runs.pauses == [BACKOFF[0], 2 * BACKOFF[0], 4 * BACKOFF[0], 8 * BACKOFF[0]]
    assert caplog.text.count('cannot be started') == 1  # once for each reason


def test_a_log_that_cannot_be_opened_keeps_nothing_from_starting(tmp_path, caplog):
    began = []
    daemon = Daemon('/x/tailscaled', popen=lambda *_, **options: began.append(options['stdout']) or Runs(0.0),
                    log_path=str(tmp_path))
    daemon._run_once()
    assert began == [subprocess.DEVNULL]
    assert 'without its log' in caplog.text and 'Is a directory' in caplog.text
