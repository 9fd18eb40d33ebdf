"""A tailscaled as a child, with a small program in its place where only its end matters (the real one: test/lab/)."""
import os
import stat

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.daemon import BACKOFF, STABLE_AFTER, Daemon, daemon_command, daemon_environment, next_wait


def test_only_tailscaled_trusts_the_ca():
    before = dict(os.environ)
    environment = daemon_environment({'PATH': '/bin'}, '/etc/ua_overlay/ca.pem')
    assert environment == {'PATH': '/bin', 'SSL_CERT_FILE': '/etc/ua_overlay/ca.pem', 'TS_NO_LOGS_NO_SUPPORT': 'true'}
    assert 'SSL_CERT_FILE' not in daemon_environment({}, None)
    assert dict(os.environ) == before


def test_the_command():
    command = daemon_command('/x/tailscaled', '/state', '/run/sock', 'tailscale0', 41641)
    assert command[:5] == ['setpriv', '--pdeathsig', 'TERM', '--', '/x/tailscaled']
    assert '--state=/state/tailscaled.state' in command and '--socket=/run/sock' in command


def test_the_pauses_grow_to_their_limit_and_start_again_after_a_long_run():
    wait, waits = 0.0, []
    for _ in range(9):
        wait = next_wait(wait, 1.0)
        waits.append(wait)
    assert waits[:3] == [0.5, 1.0, 2.0] and waits[-1] == BACKOFF[1]
    assert next_wait(16.0, STABLE_AFTER) == BACKOFF[0]


def test_a_missing_program(tmp_path):
    daemon = Daemon(str(tmp_path / 'nothing'), state_dir=str(tmp_path / 'state'), socket_path=str(tmp_path / 'sock'))
    with pytest.raises(OverlayError):
        daemon.start(timeout=1.0)
    assert daemon.pid is None


def test_a_program_that_is_not_tailscaled_is_stopped_again(tmp_path):
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
