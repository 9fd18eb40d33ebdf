"""Teams, users and robots, on a played Headscale. A real one: test/lab/test_site.py."""
import contextlib

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.rest import Node, RestError
from ua_overlay.headscale.rules import Rules, Talk, Team, User
from ua_overlay.site.admin import Admin, RobotError, TeamError

IRIS, MASTER = 'tag:iris', 'tag:ros-master'


class Server:
    """Nodes and the changes to them, as the REST interface has them."""

    def __init__(self, refuse=''):
        self.tags = {'dev-1': (IRIS, MASTER), 'dev-2': (IRIS, 'tag:user'), 'dev-3': (IRIS,),
                     'blue-1': ('tag:blue', MASTER), 'relay': ('tag:relay',)}
        self.refuse = refuse
        self.changes = []

    def nodes(self):
        return [Node(name, name, name, (), tags, True, None, None, None) for name, tags in sorted(self.tags.items())]

    def set_tags(self, node_id, tags):
        if node_id == self.refuse:
            raise RestError('The control server said no.')
        self.changes.append((node_id, tuple(tags)))
        self.tags[node_id] = tuple(tags)
        return next(node for node in self.nodes() if node.id == node_id)


class Site:
    teams = {'iris': None, 'blue': None}

    def command(self, words):
        return 'ua-overlay ' + words


@pytest.fixture
def server():
    return Server()


def admin(server):
    return Admin(Site(), lambda: server, None)


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


def test_a_laptop_is_removed_like_a_robot(server):
    laptop = Node('9', 'laptop', 'laptop', (), (), False, None, None, None, 'ana')
    gone = []
    server.nodes = lambda: [laptop]
    server.expire_node = server.delete_node = gone.append
    assert admin(server).remove_robot('laptop') == laptop and gone == ['9', '9']
    assert admin(server).laptops() == [laptop] and admin(server).robots() == []


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
