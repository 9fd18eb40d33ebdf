"""The mirror: its name, command and environment. The real one is in test/lab/test_team.py."""
import pytest

from ua_overlay.rosenv.mirror_process import TeamMirror, ros_name
from ua_overlay.system.supervised import STOPPED, WAITING
from unit.rosenv.programs import GRAPH, VARIABLES, World


@pytest.mark.parametrize('robot, name', [('dev-1', 'dev_1'), ('dev-1-1', 'dev_1_1'), ('7up', 'R7up'), ('a', 'a')])
def test_ros_name(robot, name):
    assert ros_name(robot) == name


def test_the_mirror_has_the_namespace_of_the_robot():
    world = World(TeamMirror, '/run/x/mirror')
    world.child.follow(GRAPH)
    started = world.started[0]
    assert started.command[-2:] == ['ua_overlay.nodes.mirror', '/run/x/mirror']
    assert started.env['ROS_NAMESPACE'] == '/dev_3'
    assert started.env['ROS_MASTER_URI'] == VARIABLES['ROS_MASTER_URI']


def test_without_a_graph_there_is_no_mirror():
    world = World(TeamMirror, '/run/x/mirror')
    world.child.follow(None)
    assert world.started == [] and world.child.state == STOPPED


def test_a_crash_names_the_graph():
    world = World(TeamMirror, '/run/x/mirror')
    world.child.follow(GRAPH)
    world.started[0].returncode = 1
    assert world.child.step() == WAITING
    assert world.child.why == 'The mirror in the graph of {} ended with status 1.'.format(VARIABLES['ROS_MASTER_URI'])
