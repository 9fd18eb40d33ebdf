"""The common part of relay and derp: enrolments, the status of a remote host, and its exit status."""
import json
import os
import sys
from types import SimpleNamespace

import pytest

from ua_overlay.cli import main
from ua_overlay.cli.shared import remote_host
from ua_overlay.errors import OverlayError, UsageError


def arguments(**values):
    return SimpleNamespace(**dict({'name': 'lab-b', 'output': None, 'overwrite': False}, **values))


def test_an_enrolment_goes_into_a_file_named_after_its_host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert remote_host.output_path(arguments(), 'relay') == str(tmp_path / 'lab-b.relay.yaml')
    assert remote_host.output_path(arguments(output='x.yaml'), 'derp') == str(tmp_path / 'x.yaml')
    (tmp_path / 'x.yaml').write_text('')
    with pytest.raises(OverlayError, match='exists already'):
        remote_host.output_path(arguments(output='x.yaml'), 'derp')
    assert remote_host.output_path(arguments(output='x.yaml', overwrite=True), 'derp') == str(tmp_path / 'x.yaml')


@pytest.mark.parametrize('terminal', [True, False])
def test_a_secret_is_not_shown_on_a_terminal(monkeypatch, terminal):
    monkeypatch.setattr(sys, 'stdout', SimpleNamespace(isatty=lambda: terminal))
    if terminal:
        with pytest.raises(UsageError, match='secret key') as caught:
            remote_host.output_path(arguments(output='-'), 'relay')
        assert caught.value.next_command == 'ua-overlay relay create lab-b --output FILE'
    else:
        assert remote_host.output_path(arguments(output='-'), 'relay') is None


@pytest.mark.parametrize('kind', ['relay', 'derp'])
def test_status_of_a_stopped_host(capsys, kind):
    assert main([kind, 'status']) == 1
    assert '/var/lib/ua_overlay/{} is not running'.format(kind) in capsys.readouterr().err


@pytest.mark.parametrize('report, rule, status', [
    ({'ok': True, 'state': 'up'}, None, 0), ({'ok': False, 'state': 'down'}, None, 1),
    ({'ok': True, 'warning': 'Its certificate ends soon.'}, None, 4),
    ({'ok': True}, (True, 'in force', ''), 0), ({'ok': True}, (None, 'unknown', 'sudo'), 0),
    ({'ok': True}, (False, 'flushed', 'sudo systemctl restart x'), 4),
    ({'ok': False, 'warning': 'It ends.'}, (False, 'flushed', ''), 1)])
def test_the_exit_status(monkeypatch, capsys, tmp_path, report, rule, status):
    monkeypatch.setattr(remote_host.remote_server, 'status', lambda host: dict(report))
    monkeypatch.setattr(remote_host.service_egress, 'rule_state', lambda service, directory: rule)
    assert main(['derp', 'status', '--dir', str(tmp_path), '--json']) == status
    answer = json.loads(capsys.readouterr().out)
    assert answer.get('egress', '').startswith('' if rule is None else rule[1])
    assert main(['derp', 'status', '--dir', str(tmp_path)]) == status
    assert capsys.readouterr().out.splitlines()[0].split()[0] in answer


def test_the_first_run_requires_an_enrolment(tmp_path, capsys):
    assert main(['relay', 'run', '--dir', os.path.join(str(tmp_path), 'relay')]) == 1
    assert str(tmp_path) in capsys.readouterr().err
