"""`server rotate-ca`: its steps on a site with a stopped server, and their output."""
import json

import pytest

from ua_overlay.cli import main, server_ca
from ua_overlay.trust import store


class Admin:
    """Plays the Admin of the site."""

    def __init__(self, nodes):
        self.nodes = nodes

    def robots(self):
        return self.nodes


@pytest.fixture
def fleet(site, node, monkeypatch):
    """A site with two robots; the second was last online 40 days ago."""
    admin = Admin([node('dev-1'), node('dev-2', online=False, days=40, number='2')])
    monkeypatch.setattr(server_ca, 'make_admin', lambda site: admin)
    return site


def rotate(*words):
    return main(['server', 'rotate-ca'] + list(words))


def test_a_complete_rotation(fleet, capsys):
    assert rotate('status') == 0
    assert capsys.readouterr().out.startswith('no change in progress\nsigning root ')
    assert rotate('start') == 0
    assert len(store.roots(fleet.directory)) == 2 and 'rotate-ca confirm ROBOT' in capsys.readouterr().out
    assert rotate('status', '--json') == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer['phase'] == 'STARTED' and [root['signs'] for root in answer['roots']] == [True, False]
    assert [robot['known'] for robot in answer['robots']] == ['', '']
    assert rotate('switch') == 1
    assert 'dev-1' in capsys.readouterr().err
    assert rotate('confirm', 'dev-1') == 0
    assert capsys.readouterr().out == 'dev-1 confirmed. Next: {}\n'.format(fleet.command('server rotate-ca switch'))
    assert rotate('switch') == 0
    assert capsys.readouterr().out.startswith('The new root signs; the certificate of server.ua.test is valid until ')
    assert rotate('status') == 0
    assert 'switched: the new root signs' in capsys.readouterr().out
    assert rotate('finish') == 0
    assert len(store.roots(fleet.directory)) == 1
    assert capsys.readouterr().out.startswith('The old root and its key are deleted; ')


def test_unconfirmed_robots_are_listed(fleet, node, monkeypatch, capsys):
    monkeypatch.setattr(Admin, 'robots', lambda self: [node('dev-1'), node('dev-3', number='3')])
    rotate('start')
    capsys.readouterr()
    assert rotate('confirm', 'dev-1') == 0
    assert capsys.readouterr().out == 'dev-1 confirmed. Not confirmed yet: dev-3.\n'
    assert rotate('status') == 0
    rows = [line.split(None, 2) for line in capsys.readouterr().out.splitlines()[-2:]]
    assert rows == [['dev-1', 'yes', 'yes: confirmed'], ['dev-3', 'yes', 'unknown']]


def test_a_forced_switch_and_cancel(fleet, capsys):
    rotate('start')
    assert rotate('switch', '--force') == 0
    assert rotate('cancel') == 0
    assert len(store.roots(fleet.directory)) == 1
    assert capsys.readouterr().out.endswith('holds only the old root, and the old root signs.\n')


@pytest.mark.parametrize('step', ['switch', 'finish', 'cancel'])
def test_every_step_requires_a_start(fleet, capsys, step):
    assert rotate(step) == 1
    assert 'rotate-ca start' in capsys.readouterr().err
