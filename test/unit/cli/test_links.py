"""`ua-overlay links`: the path of each link, since when, and what it did before."""
import importlib
import json
import os
import time

import pytest

from ua_overlay import link_types
from ua_overlay.cli import main
from ua_overlay.cli.shared import link_record
from ua_overlay.rosenv.envfile import Location
from ua_overlay.tailscale import link_log
from ua_overlay.tailscale.link_history import LinkRecord
from ua_overlay.tailscale.link_log import LinkLog
from unit.tailscale.test_model import VERSIONS, load

command = importlib.import_module('ua_overlay.cli.links')


@pytest.fixture
def robot(monkeypatch, tmp_path):
    """A recorded tailscaled, and a run directory."""
    class Played:
        def __init__(self, socket_path):
            pass

        def status(self):
            return load('running', VERSIONS[0])

    monkeypatch.setattr(command, 'LocalApi', Played)
    monkeypatch.setattr(link_record.envfile, 'locate', lambda: Location(str(tmp_path), False))
    return tmp_path


def types_now(capsys):
    assert main(['links', '--json']) == 0
    return {link['peer']: link['type'] for link in json.loads(capsys.readouterr().out)['links']}


def add(directory, peer, after, seconds_ago, before=link_types.IDLE, **more):
    LinkLog(str(directory)).append(LinkRecord(time.time() - seconds_ago, peer, before, after, **more))


def test_links_since_and_changes(robot, capsys):
    kind = types_now(capsys)['dev-2']
    add(robot, 'dev-2', kind, 300)
    assert main(['links']) == 0
    output = capsys.readouterr().out
    row = next(line.split() for line in output.splitlines() if line.startswith('dev-2 '))
    assert row[:3] == ['dev-2', kind, '5'] and row[3] == 'min' and row[-1] == '1'
    assert 'IDLE -> {}'.format(kind) in output.split('\n\n')[1]


def test_the_round_trip_counts_for_its_type_of_link(robot, capsys):
    kind = types_now(capsys)['dev-2']
    link_log.write_round_trips(str(robot), {'dev-2': (kind, 0.0123)})
    assert main(['links', 'dev-2']) == 0
    assert '  12.3 ms  ' in capsys.readouterr().out
    link_log.write_round_trips(str(robot), {'dev-2': (link_types.UNKNOWN, 0.0123)})
    assert main(['links', 'dev-2']) == 0
    assert '12.3' not in capsys.readouterr().out


def test_without_records_the_time_is_unknown(robot, capsys):
    assert main(['links']) == 0
    output = capsys.readouterr().out
    assert 'No link changed within the last 2 h.' in output
    assert next(line.split() for line in output.splitlines() if line.startswith('dev-2 '))[2] == '-'


def test_an_intervention_is_told_with_its_reason(robot, capsys):
    add(robot, 'dev-2', link_types.DIRECT, 60, link_types.DIRECT, reason='pings unanswered', silent=1.04,
        action='rebind')
    assert main(['links', 'dev-2']) == 0
    assert 'DIRECT                 rebind; silent for 1.0 s; pings unanswered' in capsys.readouterr().out


def test_records_of_one_peer_and_of_a_time(robot, capsys):
    add(robot, 'dev-2', link_types.DIRECT, 7000)
    add(robot, 'dev-2', link_types.DERP, 60)
    add(robot, 'dev-3', link_types.DERP, 60)
    assert main(['links', 'dev-2', '--since', '30m', '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [link['peer'] for link in answer['links']] == ['dev-2'] and answer['links'][0]['changes'] == 2
    assert [(record['peer'], record['after']) for record in answer['records']] == [('dev-2', link_types.DERP)]


def test_an_unknown_peer_and_a_wrong_time(robot, capsys):
    assert main(['links', 'dev-99\x1b[2J']) == 3
    assert 'There is no link to dev-99\\x1b[2J. Next: ua-overlay status' in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(['links', '--since', 'yesterday'])
    assert caught.value.code == 2


def test_an_unreadable_record_is_named(robot, capsys):
    os.mkdir(str(robot / link_log.FILE_NAME))
    assert main(['links']) == 1
    error = capsys.readouterr().err
    assert 'cannot be read: Not a regular file but a directory. Next: ls -l' in error


def test_foreign_texts_are_escaped(robot, capsys):
    add(robot, 'dev-2', link_types.DERP, 5, reason='\x1b]0;owned\x07')
    assert main(['links']) == 0
    output = capsys.readouterr().out
    assert '\x1b' not in output and r'\x1b]0;owned\x07' in output
