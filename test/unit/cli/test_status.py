"""`ua-overlay status`: what it prints of a recorded tailscaled, and its exit status."""
import importlib
import json
import time

import pytest

from ua_overlay.checks.facts import Server
from ua_overlay.checks.observe import observer
from ua_overlay.cli import main
from ua_overlay.errors import OverlayError, Problem
from ua_overlay.system.duties import CRASHES, Daemon, Duty
from ua_overlay.tailscale import map_stamp
from unit.tailscale.test_model import VERSIONS, load

command = importlib.import_module('ua_overlay.cli.status')


@pytest.fixture
def daemon(monkeypatch):
    """Plays the status of a recorded tailscaled."""
    def setter(name, **changes):
        status = dict(load(name, VERSIONS[0]), **changes)

        class Played:
            def __init__(self, socket_path):
                pass

            def status(self):
                return status

            def prefs(self):
                return {}

        monkeypatch.setattr(command, 'LocalApi', Played)

    def locate():
        raise OverlayError('There is no directory.')

    monkeypatch.setattr(command.envfile, 'locate', locate)
    return setter


def test_a_robot_in_its_team(daemon, capsys):
    daemon('running')
    assert main(['status']) == 0
    output = capsys.readouterr().out
    assert output.startswith('dev-1 (100.64.0.1, ') and ' in team iris' in output
    assert 'ROS: There is no directory.' in output
    lines = output.splitlines()
    header = next(index for index, line in enumerate(lines) if line.startswith('PEER'))
    assert {line.split()[0] for line in lines[header + 1:]} == {'dev-2', 'dev-3', 'dev-5', 'dev-6', 'relay'}


def test_json(daemon, capsys):
    daemon('running', AuthURL='https://server.ua.test:8080/register/secret')
    assert main(['status', '--json']) == 0
    output = capsys.readouterr().out
    answer = json.loads(output)
    assert (answer['state'], answer['team'], answer['self']['name']) == ('Running', 'iris', 'dev-1')
    assert [link['peer'] for link in answer['links']] == [peer['name'] for peer in answer['peers']]
    assert answer['environment'] == {} and 'secret' not in output


@pytest.mark.parametrize('name, words', [
    ('stopped', 'This robot left its team and keeps its identity. Next: ua-overlay join'),
    ('needs_login', 'in no team. Next: ua-overlay join INVITATION')])
def test_a_robot_outside_its_team(daemon, capsys, name, words):
    daemon(name, AuthURL='https://server.ua.test:8080/register/secret')
    assert main(['status']) == 3
    output = capsys.readouterr().out
    assert words in output and 'PEER' not in output and 'secret' not in output


def test_a_robot_that_is_not_connected_to_the_server(daemon, capsys):
    daemon('running')
    played = command.LocalApi('')
    played.status()['Self']['Online'] = False
    played.status()['Health'] = ['DNS fails.']
    assert main(['status']) == 0
    output = capsys.readouterr().out
    assert 'not connected to the server' in output and 'tailscaled: DNS fails.' in output


@pytest.mark.parametrize('left, words', [(7200.0, 'A restart finds it until'), (600.0, 'In 10 min, at ')])
def test_the_server_is_away_and_the_team_is_remembered(daemon, capsys, monkeypatch, tmp_path, left, words):
    daemon('running')
    command.LocalApi('').status()['Self']['Online'] = False
    now = time.time()
    map_stamp.renew(str(tmp_path), now - 100, int(100 + left))
    monkeypatch.setattr('ua_overlay.checks.observe.server.probe_server',
                        lambda *_, **__: Server('https://s.test', Problem('SERVER_UNREACHABLE', 'It is away.', 'x')))
    assert main(['status', '--state-dir', str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert 'The server has been away since' in output and words in output
    assert 'Next: ua-overlay server status   # on the server' in output
    assert main(['status', '--state-dir', str(tmp_path), '--json']) == 0
    team = json.loads(capsys.readouterr().out)['remembered_team']
    assert team['since'] == round(now - 100) and team['until'] == pytest.approx(now + left, abs=2)
    assert (team['state'], team['next']) == ('LASTING' if left > 3600 else 'ENDING',
                                             'ua-overlay server status   # on the server')
    command.LocalApi('').status()['Self']['Online'] = True
    assert main(['status', '--state-dir', str(tmp_path), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['remembered_team'] is None


@pytest.mark.parametrize('known', [True, False, None])
def test_a_robot_that_the_server_removed(daemon, capsys, monkeypatch, known):
    daemon('running')
    monkeypatch.setattr('ua_overlay.checks.observe.server.probe_server',
                        lambda *_, **__: Server('https://s.test', key_known=known))
    assert main(['status']) == 0
    assert ('does not know' in capsys.readouterr().out) == (known is False)


def test_without_a_daemon(capsys):
    assert main(['status', '--socket', '/nonexistent/tailscaled.sock']) == 1
    assert 'ua-overlay: No tailscaled answers' in capsys.readouterr().err


@pytest.mark.parametrize('changes', [{'Self': {'Expired': True, 'DNSName': 'dev-1.x.', 'Tags': ['tag:iris']}},
                                     {'AuthURL': 'https://server.ua.test/register/secret'}])
def test_a_robot_that_the_server_refuses(daemon, capsys, changes):
    """Not "left and keeps its identity, next: join", which answers FORGOTTEN."""
    daemon('running', BackendState='NeedsLogin', **changes)
    assert main(['status']) == 3
    output = capsys.readouterr().out
    assert output.startswith('The server does not know dev-1 any more') and output.count('any more') == 1
    assert 'Next: a new invitation, then: ua-overlay join INVITATION' in output and 'keeps' not in output
    assert main(['status', '--json']) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer['removed'].startswith('The server does not know dev-1') and answer['team'] == ''
    assert 'secret' not in output + str(answer)


def test_a_duty_of_the_root_service_that_fails(daemon, capsys, monkeypatch):
    """What counts as failing: test/unit/checks/test_agent.py."""
    daemon('running')
    found = Daemon(7, 'ua-overlay-agent.service', (Duty('egress'), Duty('names', CRASHES, 60.0, 'It is full.')))
    monkeypatch.setattr(observer, 'observe_agent', lambda: found)
    assert main(['status']) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith('The duty "names" of the root service fails since ') and line.endswith(
        'UTC: It is full. Next: journalctl -u ua-overlay-agent.service -n 50')
    assert main(['status', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['failing_duties'] == [line]
    monkeypatch.setattr(observer, 'observe_agent', lambda: found._replace(duties=found.duties[:1]))
    assert main(['status', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['failing_duties'] == []
