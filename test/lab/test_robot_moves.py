"""A robot's life with ROS on it: to another team and back, and away and again under its name. ROS follows by itself.

dev-1 is the master of iris, dev-2 of blue, each with a port of its own; dev-3 is the robot that moves.
"""
import os

import pytest

from ua_overlay.lab.fleet import USER, Fleet, wait_until
from ua_overlay.lab.lab import Lab

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORKSPACE = os.path.realpath(os.path.join(ROOT, '.workspace'))
DEADLINE = 120
PORTS = {'iris': 11312, 'blue': 11400}
MASTERS = {'iris': 'dev-1', 'blue': 'dev-2'}
TEAMS = {'dev-1': 'iris', 'dev-2': 'blue', 'dev-3': 'iris'}


@pytest.fixture(scope='module')
def fleet(lab_possible, lab_root, three_nats):
    assert os.path.isdir(WORKSPACE), 'The workspace is not built. Next: make prepare'
    with Lab.up(three_nats, 'moves-{}'.format(os.getpid()), lab_root, bound=True) as lab:
        made = Fleet(lab, os.path.join(WORKSPACE, 'install'))
        made.start_site()
        for team, port in PORTS.items():
            made.site('team', 'create', team, '--team-port', str(port))
        for robot, team in TEAMS.items():
            path = made.carry(robot, made.invite(team, robot, *(['--master'] if robot in MASTERS.values() else [])))
            made.prepare(robot, path)
            made.launch(robot)
            answer = made.join(robot, path)
            assert answer['code'] == 0, answer['message']
        yield made


def uri(team):
    return 'http://{}.overlay.internal:{}'.format(MASTERS[team], PORTS[team])


def wait_in(fleet, robot, team):
    """Until ROS on ``robot`` is in the graph of ``team``: the node, a new shell, and the roscore's own word."""
    def there():
        environment = fleet.topic(robot, '/ua_overlay/ros_environment', timeout=30)
        return environment if (environment['state'], environment['actual_master_uri']) == ('OK', uri(team)) else None

    environment = wait_until(there, DEADLINE, 'ROS of {} in team {}'.format(robot, team), poll=0.3)
    assert environment['names_ok'] and environment['hostname'] == robot + '.overlay.internal'
    shell = fleet.lab.host(robot).run(['bash', '-c', '. "$0/setup.bash"; echo $ROS_MASTER_URI $UA_OVERLAY_TEAM',
                                       fleet.workspace], user=USER, env=fleet.user_environment())
    assert shell.stdout.split() == [uri(team), team]
    mirror = '/{}/overlay'.format(robot.replace('-', '_'))
    wait_until(lambda: mirror in fleet.ros(MASTERS[team], 'rosnode', 'list', graph='shell', check=False).stdout.split(),
               DEADLINE, 'The team mirror of {} in the graph of {}'.format(robot, team), poll=0.3)


def address(fleet, robot):
    return next(each['addresses'][0] for each in fleet.robots() if each['robot'] == robot)


def peers(fleet, robot):
    return {peer['name'] for peer in fleet.topic(robot, '/ua_overlay/peers', timeout=30)['peers']} - {'relay'}


def test_ros_follows_a_robot_to_another_team_and_back(fleet):
    wait_in(fleet, 'dev-3', 'iris')
    before = address(fleet, 'dev-3')
    for team, other in (('blue', 'iris'), ('iris', 'blue')):
        fleet.site('robot', 'move', 'dev-3', team)
        wait_in(fleet, 'dev-3', team)
        assert address(fleet, 'dev-3') == before
        # The old team has lost it, the new one has it, and it sees nobody else.
        wait_until(lambda team=team: peers(fleet, 'dev-3') == {MASTERS[team]}, DEADLINE, 'The peers of dev-3')
        wait_until(lambda team=team: peers(fleet, MASTERS[team]) == {'dev-3'}, DEADLINE, 'dev-3 with its new team')
        wait_until(lambda other=other: peers(fleet, MASTERS[other]) == set(), DEADLINE, 'dev-3 gone from its old team')
    # After a restart as well, when the invitation is long gone: the node kept what the network map said.
    fleet.lab.stop_service('dev-3', 'overlay')
    fleet.launch('dev-3')
    wait_in(fleet, 'dev-3', 'iris')


def test_everything_follows_a_robot_that_comes_again_under_its_name(fleet):
    before = address(fleet, 'dev-3')
    answer = fleet.call('dev-3', '/ua_overlay/leave', '{forget: true}')
    assert answer['code'] == 0, answer['message']
    fleet.site('robot', 'remove', 'dev-3')
    wait_until(lambda: 'dev-3' not in peers(fleet, 'dev-1'), DEADLINE, 'dev-3 gone from its team')
    path = fleet.carry('dev-3', fleet.invite('iris', 'dev-3'))
    answer = fleet.join('dev-3', path)
    assert answer['code'] == 0 and answer['dns_name'] == 'dev-3.overlay.internal', answer['message']
    now = address(fleet, 'dev-3')
    assert now == answer['addresses'][0] and now != before
    wait_in(fleet, 'dev-3', 'iris')
    found = fleet.lab.host('dev-1').run(['getent', 'ahostsv4', 'dev-3.overlay.internal']).stdout.split()
    assert found[0] == now
