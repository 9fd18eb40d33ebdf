"""`robot list|move|remove|prune`: their output."""
import json

import pytest

from ua_overlay.cli import main, robot_server
from unit.cli.conftest import NOW


class Admin:
    """Plays the Admin of a site whose server runs."""

    def __init__(self, nodes):
        self.nodes, self.duplicates, self.calls = nodes, {}, []

    def robots(self, team=None):
        return [node for node in self.nodes if node.tags and team in (None, node.tags[0][len('tag:'):])]

    def laptops(self):
        return [node for node in self.nodes if not node.tags]

    def stale_robots(self, days):
        return [node for node in self.robots() if not node.online and (NOW - node.last_seen).days >= days]

    def prune(self, days):
        for node in self.stale_robots(days):
            self.calls.append(node.name)
            yield node

    def sessions(self):
        return {'several': self.duplicates, 'duplicate_identities': list(self.duplicates)}

    def move_robot(self, robot, team):
        node = next(node for node in self.nodes if node.name == robot)
        return node, node.tags[0][len('tag:'):], 'tag:ros-master' in node.tags

    def remove_robot(self, robot):
        return next(node for node in self.nodes if node.name == robot)


@pytest.fixture
def admin(site, node, monkeypatch):
    made = Admin([node('dev-1', ('tag:iris', 'tag:ros-master')), node('dev-2', online=False, days=40, number='2'),
                  node('laptop-1', (), user='ana', number='3')])
    monkeypatch.setattr(robot_server, 'make_admin', lambda site: made)
    monkeypatch.setattr(robot_server, 'utc_now', lambda: NOW)
    return made


def test_robots_are_listed(admin, capsys):
    assert main(['robot', 'list']) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ['ROBOT', 'TEAM', 'MASTER', 'ONLINE']
    assert first.split() == ['dev-1', 'iris', 'yes', 'yes', 'now', '100.64.0.1', 'dev-1.overlay.internal']
    assert second.split()[:6] == ['dev-2', 'iris', '-', 'no', '40', 'd']


def test_json(admin, capsys):
    assert main(['robot', 'list', '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row['robot'], row['master'], row['sessions']) for row in rows] == [('dev-1', True, 1), ('dev-2', False, 0)]
    assert rows[0]['last_seen'] == '2026-11-24T14:25:00.000000Z' and rows[0]['expiry'] is None


def test_laptops_are_listed_with_their_users(admin, capsys):
    assert main(['robot', 'list', '--users']) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split()[1] == 'USER' and row.split()[:2] == ['laptop-1', 'ana']


@pytest.mark.parametrize('options, words', [
    (['--team', 'blue'], 'No robots yet in team blue. Next: ua-overlay invite blue ROBOT'),
    (['--stale', '90'], 'Every robot was online within the last 90 days.')])
def test_an_empty_list(admin, capsys, options, words):
    assert main(['robot', 'list'] + options) == 0
    assert capsys.readouterr().out.startswith(words)


def test_robots_are_stale_after_thirty_days_by_default(admin, capsys):
    assert main(['robot', 'list', '--stale', '--json']) == 0
    assert [row['robot'] for row in json.loads(capsys.readouterr().out)] == ['dev-2']


def test_one_identity_on_several_machines_is_reported(admin, capsys):
    admin.duplicates = {'1': 2}
    assert main(['robot', 'list']) == 0
    assert 'dev-1 has had 2 connections for more than 20 minutes' in capsys.readouterr().out


def test_moving(admin, capsys):
    assert main(['robot', 'move', 'dev-2', 'blue']) == 0
    assert capsys.readouterr().out == 'Moved dev-2 from team iris to team blue; it keeps its name and address.\n'
    assert main(['robot', 'move', 'dev-2', 'iris']) == 0
    assert capsys.readouterr().out == 'dev-2 is already in team iris.\n'


def test_moving_a_master_leaves_its_team_without_a_master(site, admin, capsys):
    assert main(['robot', 'move', 'dev-1', 'blue']) == 0
    assert capsys.readouterr().out.splitlines()[1] == (
        'Team iris has no master now: dev-1 was its master. Next: ' + site.command('team master iris ROBOT'))


@pytest.mark.parametrize('name, belongs, invite', [
    ('dev-2', 'team iris', 'invite iris dev-2'), ('laptop-1', 'the group of user ana', 'invite --user ana laptop-1')])
def test_removing(site, admin, capsys, name, belongs, invite):
    assert main(['robot', 'remove', name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Removed {} from the overlay; it was in {}.'.format(name, belongs)
    assert lines[1].endswith('ua-overlay leave --forget') and lines[2] == 'To let it return: ' + site.command(invite)


def test_pruning(admin, capsys):
    assert main(['robot', 'prune', '--older-than', '30d', '--dry-run']) == 0
    assert capsys.readouterr().out == 'dev-2 (team iris, last seen 40 d ago)\n' and admin.calls == []
    assert main(['robot', 'prune', '--older-than', '30d']) == 0
    assert capsys.readouterr().out == 'dev-2 (team iris, last seen 40 d ago): removed\n' and admin.calls == ['dev-2']
    assert main(['robot', 'prune', '--older-than', '30', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == [
        {'robot': 'dev-2', 'team': 'iris', 'last_seen': '2026-10-15T14:25:00.000000Z'}]
    assert main(['robot', 'prune', '--older-than', '90d']) == 0
    assert capsys.readouterr().out == 'Every robot was online within the last 90 days.\n'
