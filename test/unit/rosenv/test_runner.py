"""The team's roslaunch: command, environment, life. The real one is in test/lab/test_team.py."""
import os

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.rosenv.graph import Graph
from ua_overlay.rosenv.runner import (
    LaunchSpec,
    TeamRunner,
    find_launch,
    graph_environ,
    launch_command,
    parse_team_launch,
)
from ua_overlay.system.supervised import RUNNING, STOPPED, STOPPING, WAITING
from unit.rosenv.programs import GRAPH, LOCAL, VARIABLES, World


@pytest.mark.parametrize('text, words', [
    ('', ()), ('  ', ()), ('arm/team.launch', ('arm', 'team.launch')),
    ('arm/launch/t.launch', ('arm', 'launch/t.launch')),
    ('/opt/t.launch rate:=5', ('/opt/t.launch', 'rate:=5')),
    ('arm/t.launch "name:=two words"', ('arm', 't.launch', 'name:=two words'))])
def test_parsing_team_launch(text, words):
    assert parse_team_launch(text) == words


@pytest.mark.parametrize('text', [
    'team.launch', 'arm/', '"arm/t.launch', 'arm/t.launch --wait', 'a/b.launch c/d.launch'])
def test_an_invalid_team_launch(text):
    with pytest.raises(UsageError) as caught:
        parse_team_launch(text)
    assert 'team_launch' in caught.value.sentence and 'team_launch:=' in caught.value.next_command


def test_the_robot_s_launch_file_is_the_default(tmp_path):
    path = tmp_path / 'robot.yaml'
    assert find_launch('', str(path)) == ()
    path.write_text('team_launch: arm/t.launch rate:=5\n')
    assert find_launch('', str(path)) == ('arm', 't.launch', 'rate:=5')
    assert find_launch('leg/u.launch', str(path)) == ('leg', 'u.launch')
    path.write_text('other: 1\n')
    assert find_launch('', str(path)) == ()


@pytest.mark.parametrize('text', ['- a list', 'team_launch: [a, b]', 'team_launch: "unclosed', 'team_launch: t.launch'])
def test_an_invalid_file_of_the_robot(tmp_path, text):
    path = tmp_path / 'robot.yaml'
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        find_launch('', str(path))
    assert caught.value.next_command


@pytest.mark.fault('K4', 'robot.yaml is a pipe, a device, a directory or a bomb', behaviour='the node runs and says so',
                   reported='at once: team_runner', recovery='with the next start', lost='nothing')
@pytest.mark.parametrize('how', ['pipe', 'device', 'directory', 'bomb', 'deep', 'twice'])
def test_an_odd_file_of_the_robot(tmp_path, how):
    path = tmp_path / 'robot.yaml'
    if how == 'pipe':
        os.mkfifo(str(path))
    elif how == 'device':
        path = '/dev/zero'
    elif how == 'directory':
        path.mkdir()
    else:
        lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'] + [
            'a{0}: &a{0} [{1}]'.format(number, ', '.join(['*a{}'.format(number - 1)] * 9)) for number in range(1, 9)]
        path.write_text({'bomb': '\n'.join(lines), 'deep': '[' * 10000,
                         'twice': 'team_launch: a/b.launch\nteam_launch: c/d.launch\n'}[how])
    with pytest.raises(UsageError) as caught:
        find_launch('', str(path))
    assert str(path) in caught.value.sentence and caught.value.next_command.endswith(str(path))


def test_the_command_waits_for_the_master_and_limits_the_stop():
    command = launch_command(LaunchSpec(GRAPH, ('arm', 't.launch')), lambda name: '/opt/' + name)
    assert command[:2] == ['/opt/roslaunch', '--wait'] and command[-2:] == ['arm', 't.launch']
    assert command[command.index('--sigint-timeout') + 1] == '2'
    with pytest.raises(OverlayError) as caught:
        launch_command(LaunchSpec(GRAPH, ()), lambda name: None)
    assert caught.value.code == 'NO_ROS'


def test_the_environment_is_the_team_s_and_keeps_the_owner():
    environ = graph_environ(GRAPH, LOCAL)
    assert {key: environ[key] for key in VARIABLES} == VARIABLES
    assert (environ['PATH'], environ['UA_OVERLAY_OWNER']) == ('/bin', '1:2')
    assert 'ROS_IP' not in environ and 'ROS_NAMESPACE' not in environ


def test_a_new_run_id_starts_another_process_after_the_first_ended():
    world = World(TeamRunner, ('arm', 't.launch'), which=lambda name: '/opt/' + name)
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


def test_a_crash_is_reported_and_followed_by_a_pause():
    world = World(TeamRunner, ('arm', 't.launch'), which=lambda name: '/opt/' + name)
    world.child.follow(GRAPH)
    world.started[0].returncode = 1
    assert world.child.step() == WAITING
    assert world.child.why == "The team's launch file arm/t.launch ended with status 1."
    world.now += 1
    assert world.child.step() == RUNNING
