"""`ua-overlay team`: changes to site.yaml, and output."""
import json

import pytest

from ua_overlay import defaults
from ua_overlay.cli import main, team
from ua_overlay.headscale.rules import Team
from ua_overlay.site.site import Site


class Admin:
    """Plays the Admin of a site whose server runs."""

    def __init__(self, nodes, master):
        self.nodes, self.master = nodes, master

    def server_running(self):
        return True

    def robots(self):
        return self.nodes

    def open_invitations(self):
        return {'iris': 2}

    def move_master(self, name, robot):
        return next(node for node in self.nodes if node.name == robot), self.master

    def remove_team(self, name):
        return 1


@pytest.fixture
def admin(site, node, monkeypatch):
    made = Admin([node('dev-1', ('tag:iris', defaults.MASTER_TAG)), node('dev-2', online=False)], ['dev-1'])
    monkeypatch.setattr(team, 'make_admin', lambda site: made)
    return made


def test_a_team_is_created_while_the_server_is_stopped(site, capsys):
    assert main(['team', 'create', 'rose', '--team-port', '11399', '--inside', 'ros,8765']) == 0
    assert Site.load(site.directory).teams['rose'] == Team('rose', 11399, inside=('ros', 8765))
    assert capsys.readouterr().out == ('Team rose created; the server is not running and reads it when it starts.\n'
                                       'Next: {}\n'.format(site.command('server run')))


@pytest.mark.parametrize('argv, status, words', [
    (['create', 'iris'], 1, 'The team iris exists already'), (['create', 'relay'], 2, 'relay'),
    (['create', 'rose', '--inside', 'http'], 2, "'http'"), (['create', 'rose', '--team-port', '70000'], 2, '70000')])
def test_an_invalid_team_changes_nothing(site, capsys, argv, status, words):
    with open(site.path('site.yaml')) as stream:
        before = stream.read()
    assert main(['team'] + argv) == status
    assert words in capsys.readouterr().err
    with open(site.path('site.yaml')) as stream:
        assert stream.read() == before


def test_the_list_of_a_stopped_server_shows_only_settings(site, capsys):
    assert main(['team', 'list']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ['iris', '-', '-', '-', str(defaults.TEAM_PORT), 'names', '-']
    assert lines[-1].endswith('only the settings of site.yaml are shown. Next: ' + site.command('server run'))


def test_the_list_of_a_running_server(admin, capsys):
    assert main(['team', 'list', '--json']) == 0
    blue, iris = json.loads(capsys.readouterr().out)
    assert (blue['robots'], blue['masters']) == (0, [])
    assert (iris['robots'], iris['online'], iris['masters'], iris['open_invitations']) == (2, 1, ['dev-1'], 2)
    assert main(['team', 'list']) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:4] == ['iris', '2', '1', 'dev-1']


def test_a_site_without_teams(site, capsys):
    site.rules.teams.clear()
    site.rules.users.clear()
    site.write_settings()
    assert main(['team', 'list']) == 0
    assert capsys.readouterr().out == 'No teams yet. Next: {}\n'.format(site.command('team create NAME'))


def test_the_master_moves(site, admin, capsys):
    assert main(['team', 'master', 'iris', 'dev-2']) == 0
    assert capsys.readouterr().out.splitlines() == [
        'dev-2 is now the master of team iris; it was dev-1.',
        'dev-2 is offline: the team has no roscore until it returns. Next: ' + site.command('robot list')]
    assert main(['team', 'master', 'iris', 'dev-1']) == 0
    assert capsys.readouterr().out == 'dev-1 is already the master of team iris.\n'


def test_a_team_is_removed(admin, capsys):
    assert main(['team', 'remove', 'blue']) == 0
    assert capsys.readouterr().out == 'Team blue removed; 1 unused invitation(s) revoked.\n'
