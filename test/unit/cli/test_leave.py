"""`ua-overlay leave`: its calls, output and exit status."""
import json

from ua_overlay.cli import leave as command
from ua_overlay.cli import main
from ua_overlay.membership.outcome import Outcome

SOCKET = ['--socket', '/nonexistent/tailscaled.sock']


def test_leave(monkeypatch, capsys):
    calls = []

    def leave(api, forget, state_dir, restarts=False):
        calls.append((api.socket_path, forget, state_dir))
        return Outcome('OK', 'dev-1 left.') if forget else Outcome('NOT_JOINED', 'Nothing to leave.')

    monkeypatch.setattr(command, 'leave', leave)
    assert main(['leave', '--forget', '--state-dir', '/state'] + SOCKET) == 0
    assert capsys.readouterr().out == 'dev-1 left.\n'
    assert main(['leave', '--json']) == 1
    assert json.loads(capsys.readouterr().out)['code'] == 'NOT_JOINED'
    assert calls[0] == (SOCKET[1], True, '/state') and calls[1][1] is False


def test_without_a_daemon(capsys):
    assert main(['leave'] + SOCKET) == 1
    assert 'NO_DAEMON' in capsys.readouterr().err
