"""A robot's life with ROS on it: to another team and back, and away and again under its name. ROS follows by itself.

dev-1 is the master of iris, dev-3 of blue, each with a port of its own; dev-2 is the robot that moves.
"""
import pytest
from fleets import PORTS

from ua_overlay.lab.timeouts import GRAPH
from ua_overlay.lab.wait import wait

MASTERS = {'iris': 'dev-1', 'blue': 'dev-3'}
#: Seconds within which a removed robot knows it: the next two probes of the server, 10 s apart at most, where Headscale
#: does not say so itself.
REMOVED = 15


@pytest.fixture(scope='module')
def fleet(three_robots):
    for team, robot in MASTERS.items():
        three_robots.arrange(robot, team, master=True)
    three_robots.arrange('dev-2', 'iris')
    return three_robots


def uri(team):
    return 'http://{}.overlay.internal:{}'.format(MASTERS[team], PORTS[team])


def wait_in(fleet, robot, team):
    """Wait until ROS on ``robot`` is in the graph of ``team``: for the node, a new shell, and the team's roscore."""
    environment = fleet.topics[robot].wait(
        'ROS of {} in team {}'.format(robot, team), 'ros_environment',
        lambda message: (message['state'], message['actual_master_uri']) == ('OK', uri(team)), GRAPH)
    assert environment['names_ok'] and environment['hostname'] == robot + '.overlay.internal'
    assert fleet.shell(robot, 'echo $ROS_MASTER_URI $UA_OVERLAY_TEAM').stdout.split() == [uri(team), team]
    mirror = '/{}/overlay'.format(robot.replace('-', '_'))
    wait('The mirror of {} in the graph of {}'.format(robot, team),
         lambda: mirror in fleet.ros(MASTERS[team], 'rosnode', 'list', graph='shell', check=False).stdout.split(),
         GRAPH, poll=1)


def wait_peers(fleet, robot, names):
    """Wait until ``robot`` sees these robots of its team and no other."""
    fleet.topics[robot].wait('The peers {} of {}'.format(sorted(names), robot), 'peers',
                             lambda message: {peer['name'] for peer in message['peers']} - {'relay'} == names, GRAPH)


def address(fleet, robot):
    return next(row['addresses'][0] for row in fleet.robots() if row['robot'] == robot)


def test_ros_follows_a_robot_to_another_team_and_back(fleet):
    wait_in(fleet, 'dev-2', 'iris')
    before = address(fleet, 'dev-2')
    for team, other in (('blue', 'iris'), ('iris', 'blue')):
        fleet.site('robot', 'move', 'dev-2', team)
        wait_in(fleet, 'dev-2', team)
        assert address(fleet, 'dev-2') == before
        # The old team has lost it, the new one has it, and it sees nobody else.
        wait_peers(fleet, 'dev-2', {MASTERS[team]})
        wait_peers(fleet, MASTERS[team], {'dev-2'})
        wait_peers(fleet, MASTERS[other], set())
    # After a restart as well, when the invitation is long gone: the node kept the values of the network map.
    fleet.lab.stop_service('dev-2', 'overlay')
    fleet.launch('dev-2')
    wait_in(fleet, 'dev-2', 'iris')


@pytest.mark.fault('new', 'A robot forgets its identity and joins again under its name',
                   behaviour='It gets another address; team mates and ROS follow', reported='-', recovery='90 s',
                   lost='nothing')
def test_ros_follows_a_robot_that_joins_again_under_its_name(fleet):
    before = address(fleet, 'dev-2')
    answer = fleet.call('dev-2', '/ua_overlay/leave', '{forget: true}')
    assert answer['code'] == 0, answer['message']
    fleet.site('robot', 'remove', 'dev-2')
    wait_peers(fleet, 'dev-1', set())
    path = fleet.carry('dev-2', fleet.invite('iris', 'dev-2'))
    answer = fleet.join('dev-2', path)
    assert answer['code'] == 0 and answer['dns_name'] == 'dev-2.overlay.internal', answer['message']
    now = address(fleet, 'dev-2')
    assert now == answer['addresses'][0] and now != before
    wait_in(fleet, 'dev-2', 'iris')
    addresses = fleet.lab.host('dev-1').run(['getent', 'ahostsv4', 'dev-2.overlay.internal']).stdout.split()
    assert addresses[0] == now


@pytest.mark.fault('K7', 'A robot is removed on the server while it runs',
                   behaviour='It is in no team at once, in topic and status; their next command works', reported='15 s',
                   recovery='with a new invitation, also to another team', lost='nothing')
def test_a_removed_robot_knows_it_and_joins_another_team(fleet):
    fleet.arrange('dev-2', 'iris')
    wait_in(fleet, 'dev-2', 'iris')
    fleet.site('robot', 'remove', 'dev-2')
    state = fleet.topics['dev-2'].wait('The removal', 'state', lambda message: message['removed'], REMOVED)
    assert (state['online'], state['robot'], state['team'], state['addresses']) == (False, '', '', []), state
    assert 'does not know dev-2 any more' in state['text'] and 'Next: a new invitation' in state['text']
    shown = fleet.overlay('dev-2', 'status', check=False)
    assert shown.returncode == 3 and shown.stdout.startswith('The server does not know dev-2 any more'), shown.stdout
    assert fleet.topics['dev-2'].latest('state')['online'] is False
    # The advice: a new invitation. To another team, as the old one is gone with the removal.
    answer = fleet.join('dev-2', fleet.carry('dev-2', fleet.invite('blue', 'dev-2')))
    assert answer['code'] == 0, answer['message']
    wait_in(fleet, 'dev-2', 'blue')
