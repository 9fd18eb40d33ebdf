"""A robot's life with ROS on it: to another team and back, and away and again under its name. ROS follows by itself.

dev-1 is the master of iris, dev-2 of blue, each with a port of its own; dev-3 is the robot that moves.
"""

import pytest
from places import INSTALL
from topologies import THREE_NATS

from ua_overlay.lab.fleet import USER, Fleet
from ua_overlay.lab.wait import wait

DEADLINE = 120
PORTS = {'iris': 11312, 'blue': 11400}
MASTERS = {'iris': 'dev-1', 'blue': 'dev-2'}
TEAMS = {'dev-1': 'iris', 'dev-2': 'blue', 'dev-3': 'iris'}


@pytest.fixture(scope='module')
def fleet(new_lab, install):
    lab = new_lab(THREE_NATS, 'moves')
    made = Fleet(lab, INSTALL)
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

    environment = wait('ROS of {} in team {}'.format(robot, team), there, DEADLINE, poll=0.3)
    assert environment['names_ok'] and environment['hostname'] == robot + '.overlay.internal'
    shell = fleet.lab.host(robot).run(['bash', '-c', '. "$0/setup.bash"; echo $ROS_MASTER_URI $UA_OVERLAY_TEAM',
                                       fleet.workspace], user=USER, env=fleet.user_environment())
    assert shell.stdout.split() == [uri(team), team]
    mirror = '/{}/overlay'.format(robot.replace('-', '_'))
    wait('The team mirror of {} in the graph of {}'.format(robot, team),
         lambda: mirror in fleet.ros(MASTERS[team], 'rosnode', 'list', graph='shell', check=False).stdout.split(),
         DEADLINE, poll=0.3)


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
        wait('The peers of dev-3', lambda team=team: peers(fleet, 'dev-3') == {MASTERS[team]}, DEADLINE)
        wait('dev-3 with its new team', lambda team=team: peers(fleet, MASTERS[team]) == {'dev-3'}, DEADLINE)
        wait('dev-3 gone from its old team', lambda other=other: peers(fleet, MASTERS[other]) == set(), DEADLINE)
    # After a restart as well, when the invitation is long gone: the node kept what the network map said.
    fleet.lab.stop_service('dev-3', 'overlay')
    fleet.launch('dev-3')
    wait_in(fleet, 'dev-3', 'iris')


def test_everything_follows_a_robot_that_comes_again_under_its_name(fleet):
    before = address(fleet, 'dev-3')
    answer = fleet.call('dev-3', '/ua_overlay/leave', '{forget: true}')
    assert answer['code'] == 0, answer['message']
    fleet.site('robot', 'remove', 'dev-3')
    wait('dev-3 gone from its team', lambda: 'dev-3' not in peers(fleet, 'dev-1'), DEADLINE)
    path = fleet.carry('dev-3', fleet.invite('iris', 'dev-3'))
    answer = fleet.join('dev-3', path)
    assert answer['code'] == 0 and answer['dns_name'] == 'dev-3.overlay.internal', answer['message']
    now = address(fleet, 'dev-3')
    assert now == answer['addresses'][0] and now != before
    wait_in(fleet, 'dev-3', 'iris')
    found = fleet.lab.host('dev-1').run(['getent', 'ahostsv4', 'dev-3.overlay.internal']).stdout.split()
    assert found[0] == now
