"""Teams, users and robots, on a played Headscale. A real one: test/lab/test_site.py."""
import contextlib
import dataclasses
import datetime
import os

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.model import Node, PreAuthKey
from ua_overlay.headscale.rest import RestError
from ua_overlay.headscale.rules import Rules, Talk, Team, User
from ua_overlay.site.admin import Admin, RobotError, TeamError
from ua_overlay.site.site import Site as RealSite
from ua_overlay.system import control_socket

NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.timezone.utc)
IRIS, MASTER = 'tag:iris', 'tag:ros-master'


class Server:
    """Nodes and the changes to them, as the REST interface has them."""

    def __init__(self, refuse=''):
        self.fault, self.done, self.others = '', [], {}
        self.tags = {'dev-1': (IRIS, MASTER), 'dev-2': (IRIS, 'tag:user'), 'dev-3': (IRIS,),
                     'blue-1': ('tag:blue', MASTER), 'relay': ('tag:relay',)}
        self.refuse = refuse
        self.changes = []

    def nodes(self):
        if self.fault == 'tags unread' and self.changes:
            raise RestError('The control server does not answer.')
        expired = {word.split()[1] for word in self.done if word.startswith('expire')}
        if self.fault == 'expire lies':
            expired = set()
        return [Node(name, name, name, (), tags, True, None, NOW if name in expired else None, None)
                for name, tags in sorted(self.tags.items())] + [
            dataclasses.replace(node, expiry=NOW if node.id in expired else None) for node in self.others.values()]

    def expire_node(self, node_id):
        if self.fault == 'expire':
            raise RestError('The control server said no.')
        self.done.append('expire ' + node_id)

    def delete_node(self, node_id):
        self.done.append('delete ' + node_id)
        if self.fault == 'delete':
            raise RestError('The control server said no.')
        if self.fault != 'delete lies':
            (self.tags if node_id in self.tags else self.others).pop(node_id)

    def set_tags(self, node_id, tags):
        if node_id == self.refuse or self.fault == 'tags':
            raise RestError('The control server said no.')
        stuck = self.fault in ('tags stuck', 'tags unread') and bool(self.changes)
        self.changes.append((node_id, tuple(tags)))
        if self.fault != 'tags lie' and not stuck:
            self.tags[node_id] = tuple(tags)
        if self.fault in ('tags late', 'tags stuck', 'tags unread'):
            raise RestError('The control server said no.')
        return next(node for node in self.nodes() if node.id == node_id)


class Site:
    teams = {'iris': None, 'blue': None}

    def command(self, words):
        return 'ua-overlay ' + words


@pytest.fixture
def server():
    return Server()


def admin(server):
    return Admin(Site(), lambda: server, lambda: NOW)


def test_the_old_master_loses_its_tag_first_and_other_tags_stay(server):
    node, before = admin(server).move_master('iris', 'dev-2')
    assert server.changes == [('dev-1', (IRIS,)), ('dev-2', (IRIS, 'tag:user', MASTER))]
    assert (node.name, node.tags, before) == ('dev-2', (IRIS, 'tag:user', MASTER), ['dev-1'])
    assert server.tags['blue-1'] == ('tag:blue', MASTER)


def test_setting_the_same_master_changes_nothing(server):
    assert admin(server).move_master('iris', 'dev-1')[1] == ['dev-1']
    assert server.changes == []


def test_two_masters_are_reduced_to_one(server):
    server.tags['dev-3'] = (IRIS, MASTER)
    assert admin(server).move_master('iris', 'dev-3')[1] == ['dev-1', 'dev-3']
    assert server.changes == [('dev-1', (IRIS,))]


@pytest.mark.parametrize('robot', ['dev-9', 'blue-1', 'relay'])
def test_a_robot_that_is_not_in_the_team(server, robot):
    with pytest.raises(RobotError) as caught:
        admin(server).move_master('iris', robot)
    assert robot in caught.value.sentence and 'dev-1, dev-2, dev-3' in caught.value.sentence
    assert server.changes == []


def test_an_unknown_team(server):
    with pytest.raises(TeamError):
        admin(server).move_master('rose', 'dev-1')


@pytest.mark.parametrize('rules, words', [
    (Rules({'iris': Team('iris'), 'rose': Team('rose')}, (Talk('iris', 'rose'),)), 'the rule from iris to rose'),
    (Rules({'rose': Team('rose')}, (), {'ana': User('ana', ('rose',))}), 'the user ana')])
def test_a_team_named_in_a_rule_cannot_be_removed(server, rules, words):
    site = Site()
    site.rules = rules
    site.changing = contextlib.nullcontext
    site.teams = rules.teams
    site.path = lambda name: '/site/' + name
    with pytest.raises(TeamError) as caught:
        Admin(site, lambda: server, None).remove_team('rose')
    assert words in caught.value.sentence and '/site/site.yaml' in caught.value.sentence


class Control:
    """Plays the control socket: each reload does what is next in ``results``."""

    def __init__(self, *results):
        self.results, self.teams = list(results), []

    def ask(self, path, operation, **_options):
        if operation == 'ping':
            return {}
        assert operation == 'reload'
        self.teams.append(sorted(RealSite.load(os.path.dirname(os.path.dirname(path))).teams))
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return {'changed': result}


LOST = control_socket.NoAnswer('The server did not answer.', 'ua-overlay server status')


@pytest.mark.parametrize('results, words, command, code', [
    ((LOST, True), 'site.yaml has the previous rules again, and they are in force.', 'ua-overlay server status',
     'SERVER_NO_ANSWER'),
    ((LOST, LOST), 'which rules are in force is unknown: The server did not answer.', 'policy show', 'POLICY_UNKNOWN'),
    ((LOST, control_socket.NotRunning('No.')), 'the server reads them when it starts.', 'server run',
     'SERVER_NO_ANSWER'),
    # The server has answered: its sentence says what is in force.
    ((OverlayError('Refused. The previous rules are in force.', 'look', 'POLICY'),), 'Refused.', 'look', 'POLICY')])
def test_a_change_that_failed_is_taken_back_in_the_file_and_in_the_server(make_site, tmp_path, results, words, command,
                                                                          code):
    site = make_site(tmp_path / 'site')
    site.rules = Rules({'iris': Team('iris')})
    site.write_settings()
    with open(site.path('site.yaml')) as stream:
        before = stream.read()
    control = Control(*results)
    with pytest.raises(OverlayError) as caught:
        Admin(site, None, lambda: NOW, control.ask).create_team(Team('blue'))
    assert words in caught.value.sentence and command in caught.value.next_command and caught.value.code == code
    with open(site.path('site.yaml')) as stream:
        assert stream.read() == before
    # The server read the new rules first, and then the previous ones, if its answer to the first was lost.
    assert control.teams == [['blue', 'iris'], ['iris']][:len(results)] and site.rules.teams == {'iris': Team('iris')}
    assert not [name for name in os.listdir(site.directory) if name.startswith('.')]


def test_a_team_whose_removal_failed_has_lost_its_invitations(make_site, tmp_path):
    site = make_site(tmp_path / 'site')
    site.rules = Rules({'iris': Team('iris')})
    site.write_settings()

    class Headscale(Server):
        usable = True

        def nodes(self):
            return []

        def keys(self):
            return [PreAuthKey('5', '', (IRIS,), False, False, NOW, NOW + datetime.timedelta(hours=self.usable))]

        def expire_key(self, _key_id):
            self.usable = False

    control = Control(OverlayError('Refused. The previous rules are in force.', 'look', 'POLICY'))
    with pytest.raises(TeamError, match='Refused. .*team iris stays, and its 1 unused invitation\\(s\\) are revoked'):
        Admin(site, Headscale, lambda: NOW, control.ask).remove_team('iris')
    assert list(RealSite.load(site.directory).teams) == ['iris']


def test_the_same_user_again_is_compared_with_what_headscale_runs(make_site, tmp_path):
    site = make_site(tmp_path / 'site')
    site.rules = Rules({'iris': Team('iris')}, (), {'ana': User('ana', ('iris',))})
    site.write_settings()
    control = Control(True, False)
    admin = Admin(site, None, lambda: NOW, control.ask)
    assert admin.set_user(User('ana', ('iris',))) is True and admin.set_user(User('ana', ('iris',))) is False


def test_a_laptop_is_removed_like_a_robot(server):
    laptop = Node('9', 'laptop', 'laptop', (), (), False, None, None, None, 'ana')
    server.others = {'9': laptop}
    assert admin(server).laptops() == [laptop]
    assert admin(server).remove_robot('laptop') == laptop and server.done == ['expire 9', 'delete 9']
    assert admin(server).laptops() == []


class Sessions:
    """Plays the control socket: the changes that Headscale has sent to dev-1."""

    def __init__(self, server, after):
        self.server, self.after, self.now, self.asked = server, after, 0.0, 0

    def ask(self, _path, operation, **_options):
        assert operation == 'status'
        self.asked += 1
        told = 4 + (self.server.done[:1] == ['expire dev-1'] and self.now >= self.after)
        return {'headscale': {'sessions': {'told': {'dev-1': told}}}}

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.fault('K7', 'A robot is removed', behaviour='the command waits until the robot was told',
                   reported='1.6 s: state on the robot', recovery='-', lost='nothing')
@pytest.mark.parametrize('after, seconds', [
    # Also when another change than the expiry was sent first.
    (0.0, 1.6), (0.8, 1.6), (2.0, 2.0), (1000.0, 5.0)])
def test_a_robot_is_deleted_once_headscale_has_told_it(server, after, seconds):
    sessions = Sessions(server, after)
    site = Site()
    site.control_socket = ''
    made = Admin(site, lambda: server, lambda: NOW, sessions.ask, lambda: sessions.now, sessions.sleep)
    assert made.remove_robot('dev-1').name == 'dev-1' and server.done == ['expire dev-1', 'delete dev-1']
    assert sessions.now == pytest.approx(seconds, abs=0.11)
    with pytest.raises(RobotError, match='no robot dev-1'):
        made.remove_robot('dev-1')


@pytest.mark.parametrize('fault, words', [
    ('expire lies', 'still lets dev-2 in'), ('delete lies', 'Headscale still lists it'),
    ('delete', 'reaches nobody any more.*was not deleted. The control server said no'),
    ('expire', '^The control server said no')])
def test_what_is_said_about_a_removal_was_read_back(server, fault, words):
    server.fault = fault
    site = Site()
    site.control_socket = ''
    sessions = Sessions(server, 0.0)
    with pytest.raises(OverlayError, match=words):
        Admin(site, lambda: server, lambda: NOW, sessions.ask, lambda: sessions.now,
              sessions.sleep).remove_robot('dev-2')
    assert ('delete dev-2' in server.done) is fault.startswith('delete')


@pytest.mark.parametrize('fault, words, tags', [
    ('tags', 'The control server said no. dev-2 has its old tags.', (IRIS, 'tag:user')),
    # Headscale's own order: memory first, then a database that is locked.
    ('tags late', 'The control server said no. dev-2 has its old tags.', (IRIS, 'tag:user')),
    ('tags lie', 'did not change the tags of dev-2. dev-2 has its old tags.', (IRIS, 'tag:user')),
    ('tags stuck', 'The control server said no. dev-2 has the tags tag:blue, tag:user.', ('tag:blue', 'tag:user')),
    ('tags unread', 'Which tags dev-2 has is unknown.', ('tag:blue', 'tag:user'))])
def test_what_is_said_about_tags_was_read_back(server, fault, words, tags):
    server.fault = fault
    with pytest.raises(RobotError) as caught:
        admin(server).move_robot('dev-2', 'blue')
    assert words in caught.value.sentence and server.tags['dev-2'] == tags


def test_a_half_finished_move_has_a_next_command():
    server = Server(refuse='dev-2')
    with pytest.raises(OverlayError) as caught:
        admin(server).move_master('iris', 'dev-2')
    assert 'has no master: moving it to dev-2 failed' in caught.value.sentence
    assert caught.value.next_command == 'ua-overlay team master iris dev-2'


def test_a_moved_robot_is_no_longer_master(server):
    node, before, was_master = admin(server).move_robot('dev-1', 'blue')
    assert (node.tags, before, was_master) == (('tag:blue',), 'iris', True)
    assert admin(server).move_robot('dev-1', 'blue')[1:] == ('blue', False)
    assert admin(server).move_robot('dev-2', 'blue')[0].tags == ('tag:blue', 'tag:user')
    changes = list(server.changes)
    for arguments in (('dev-9', 'blue'), ('relay', 'blue'), ('dev-3', 'rose')):
        with pytest.raises((RobotError, TeamError)):
            admin(server).move_robot(*arguments)
    assert server.changes == changes
