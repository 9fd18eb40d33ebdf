"""Stale robots, and the tags of a moved robot."""
import datetime

import pytest

from ua_overlay.headscale.model import Node
from ua_overlay.site import fleet

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)


def node(name, days=None, online=False, joined=400):
    def before(count):
        return None if count is None else NOW - datetime.timedelta(days=count)
    return Node(name, name, name, (), ('tag:iris',), online, before(days), None, before(joined))


def test_a_robot_is_stale_after_a_long_time_offline():
    nodes = [node('here', 40, online=True), node('lately', 29), node('gone', 31), node('never'),
             node('new', joined=1), node('unknown', joined=None)]
    assert [each.name for each in fleet.stale(nodes, NOW, 30)] == ['gone', 'never']


@pytest.mark.parametrize('tags, moved', [
    (('tag:iris',), ['tag:blue']), (('tag:iris', 'tag:ros-master'), ['tag:blue']),
    (('tag:iris', 'tag:user'), ['tag:blue', 'tag:user']), ((), ['tag:blue'])])
def test_a_move_replaces_the_team_and_removes_the_mastership(tags, moved):
    assert fleet.moved_tags(tags, 'blue') == moved
