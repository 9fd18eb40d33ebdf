"""The team's roslaunch and the mirror: command, environment, life. The real ones are in test/lab/test_team.py."""
import io

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.rosenv.graph import Graph
from ua_overlay.rosenv.mirror import TeamMirror, ros_name
from ua_overlay.rosenv.runner import (
    LaunchSpec,
    TeamRunner,
    find_launch,
    graph_environ,
    launch_command,
    parse_team_launch,
)
from ua_overlay.system.supervised import RUNNING, STOPPED, STOPPING, WAITING

VARIABLES = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-3.overlay.internal',
             'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-3'}
GRAPH = Graph(tuple(sorted(VARIABLES.items())), 'a')
LOCAL = {'PATH': '/bin', 'ROS_MASTER_URI': 'http://localhost:11311', 'ROS_HOSTNAME': 'localhost', 'ROS_IP': '10.0.2.15',
         'ROS_NAMESPACE': '/x', 'UA_OVERLAY_OWNER': '1:2'}


@pytest.mark.parametrize('text, words', [
    ('', ()), ('  ', ()), ('arm/team.launch', ('arm', 'team.launch')),
    ('arm/launch/t.launch', ('arm', 'launch/t.launch')),
    ('/opt/t.launch rate:=5', ('/opt/t.launch', 'rate:=5')),
    ('arm/t.launch "name:=two words"', ('arm', 't.launch', 'name:=two words'))])
def test_team_launch(text, words):
    assert parse_team_launch(text) == words


@pytest.mark.parametrize('text', [
    'team.launch', 'arm/', '"arm/t.launch', 'arm/t.launch --wait', 'a/b.launch c/d.launch'])
def test_team_launch_that_is_none(text):
    with pytest.raises(UsageError) as caught:
        parse_team_launch(text)
    assert 'team_launch' in caught.value.sentence and 'team_launch:=' in caught.value.next_command


def test_robots_file_counts_when_there_is_no_argument(tmp_path):
    path = tmp_path / 'robot.yaml'
    assert find_launch('', str(path)) == ()
    path.write_text('team_launch: arm/t.launch rate:=5\n')
    assert find_launch('', str(path)) == ('arm', 't.launch', 'rate:=5')
    assert find_launch('leg/u.launch', str(path)) == ('leg', 'u.launch')
    path.write_text('other: 1\n')
    assert find_launch('', str(path)) == ()


@pytest.mark.parametrize('text', ['- a list', 'team_launch: [a, b]', 'team_launch: "unclosed', 'team_launch: t.launch'])
def test_robots_file_that_makes_no_sense(tmp_path, text):
    path = tmp_path / 'robot.yaml'
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        find_launch('', str(path))
    assert caught.value.next_command


def test_command_waits_and_is_short_with_stubborn_nodes():
    command = launch_command(LaunchSpec(GRAPH, ('arm', 't.launch')), lambda name: '/opt/' + name)
    assert command[:2] == ['/opt/roslaunch', '--wait'] and command[-2:] == ['arm', 't.launch']
    assert command[command.index('--sigint-timeout') + 1] == '2'
    with pytest.raises(OverlayError) as caught:
        launch_command(LaunchSpec(GRAPH, ()), lambda name: None)
    assert caught.value.code == 'NO_ROS'


def test_environment_is_the_teams_and_keeps_the_owner():
    found = graph_environ(GRAPH, LOCAL)
    assert {key: found[key] for key in VARIABLES} == VARIABLES
    assert (found['PATH'], found['UA_OVERLAY_OWNER']) == ('/bin', '1:2')
    assert 'ROS_IP' not in found and 'ROS_NAMESPACE' not in found


@pytest.mark.parametrize('robot, name', [('dev-1', 'dev_1'), ('dev-1-1', 'dev_1_1'), ('7up', 'R7up'), ('a', 'a')])
def test_ros_name(robot, name):
    assert ros_name(robot) == name


class Process:
    def __init__(self, command, **options):
        self.command, self.env, self.pid, self.returncode, self.stdin = command, options['env'], 7, None, io.BytesIO()

    def poll(self):
        return self.returncode


class World:
    def __init__(self, make=TeamRunner, first=('arm', 't.launch'), **options):
        self.now, self.started = 0.0, []
        self.child = make(first, environ=LOCAL, popen=self.popen, clock=lambda: self.now, **options)

    def popen(self, command, **options):
        self.started.append(Process(command, **options))
        return self.started[-1]


def test_another_run_id_is_another_process_after_the_first_has_gone():
    world = World(which=lambda name: '/opt/' + name)
    world.child.follow(GRAPH)
    world.child.follow(GRAPH)
    assert (world.child.state, len(world.started)) == (RUNNING, 1)
    world.child.follow(Graph(GRAPH.variables, 'b'))
    assert world.child.state == STOPPING and world.started[0].stdin.closed and len(world.started) == 1
    world.started[0].returncode = 0
    assert world.child.step() == RUNNING and world.child.starts == 2
    world.child.follow(None)
    world.started[1].returncode = 0
    assert world.child.step() == STOPPED


def test_crash_is_said_and_answered_with_a_pause():
    world = World(which=lambda name: '/opt/' + name)
    world.child.follow(GRAPH)
    world.started[0].returncode = 1
    assert world.child.step() == WAITING
    assert world.child.why == "The team's launch file arm/t.launch ended with status 1."
    world.now += 1
    assert world.child.step() == RUNNING


def test_the_mirror_has_the_robots_namespace():
    world = World(TeamMirror, '/run/x/mirror')
    world.child.follow(GRAPH)
    started = world.started[0]
    assert started.command[-2:] == ['ua_overlay.nodes.mirror', '/run/x/mirror']
    assert started.env['ROS_NAMESPACE'] == '/dev_3'
    assert started.env['ROS_MASTER_URI'] == VARIABLES['ROS_MASTER_URI']
