"""The team graph on three robots of one team: runner, master, mirror. Real headscale, tailscaled, roscore, roslaunch.

The tests have an order: each leaves three healthy robots behind. Deadlines are generous; figures are in bench/.
"""
import json
import os
import time

import pytest
from places import INSTALL, WORKSPACE
from topologies import THREE_NATS

from ua_overlay.lab.fleet import SITE_DIR, USER, Fleet
from ua_overlay.lab.wait import NotInTime, wait
from ua_overlay.toolchain import locate

ROBOTS = ('dev-1', 'dev-2', 'dev-3')
LAUNCH = os.path.join(WORKSPACE, 'src', 'ua_overlay', 'test', 'team', 'team.launch')
DEADLINE = 60


class Team(Fleet):
    """A fleet whose robots run test/team/team.launch."""

    def start_overlay(self, robot):
        self.launch(robot, 'team_launch:=' + LAUNCH)

    def runner(self, robot):
        return self.topic(robot, '/ua_overlay/team_runner')

    def environment(self, robot):
        return self.topic(robot, '/ua_overlay/ros_environment')

    def pids(self, robot, word):
        """Process ids on ``robot``, as it sees them, of the programs with ``word`` in their command line."""
        found = self.lab.host(robot).run(['pgrep', '-f', '--', word], check=False)
        return [int(pid) for pid in found.stdout.split()]

    def kill(self, robot, *pids):
        self.lab.host(robot).run(['kill', '-9'] + [str(pid) for pid in pids])

    def count(self, robot):
        """How many of the team's nodes run: (talkers, stubborn ones)."""
        # A launch-prefix keeps the node's own command behind it, so both have talker.py in theirs.
        stubborn = len(self.pids(robot, 'team/stubborn.py'))
        return len(self.pids(robot, '__name:=talker_')), stubborn

    def wait_running(self, robot, master, starts=None, timeout=DEADLINE):
        """Wait until the runner of ``robot`` runs with that master; returns its message."""
        uri = 'http://{}.overlay.internal:11312'.format(master)
        seen = {}

        def running():
            seen.update(self.runner(robot))
            return (seen['state'], seen['master_uri']) == ('RUNNING', uri) and starts in (None, seen['starts'])

        try:
            wait('A runner on {} with {}'.format(robot, master), running, timeout, poll=0.2)
            wait('One of each node on {}'.format(robot), lambda: self.count(robot) == (1, 1), timeout, poll=0.2)
        except NotInTime:
            print(seen, self.environment(robot), self.count(robot))
            raise
        return dict(seen)

    def wait_healthy(self, master, timeout=DEADLINE):
        """Every robot follows ``master`` in one and the same graph, whose roscore answers, with one of each node.

        :returns: dict robot -> its runner's message, read after all that was seen: one that was read earlier may be of
            the graph before, whose end that robot had not noticed yet.
        """
        nodes = {'/rosout'} | {name.format(robot.replace('-', '_')) for robot in ROBOTS
                               for name in ('/talker_{}', '/stubborn_{}', '/{}/overlay')}
        seen = {}

        def healthy():
            for robot in ROBOTS:
                self.wait_running(robot, master, timeout=timeout)
                wait('A healthy environment on ' + robot,
                     lambda robot=robot: self.environment(robot)['state'] == 'OK', timeout, poll=0.2)
            seen['missing'] = sorted(nodes - set(self.nodes()))
            seen['messages'] = {robot: self.runner(robot) for robot in ROBOTS}
            run_ids = {message['run_id'] for message in seen['messages'].values()}
            states = {message['state'] for message in seen['messages'].values()}
            return not seen['missing'] and states == {'RUNNING'} and len(run_ids) == 1 and '' not in run_ids

        try:
            wait('One graph of every robot\'s nodes with ' + master, healthy, timeout, poll=0.2)
        except NotInTime:
            print(seen)
            raise
        return seen['messages']

    def nodes(self):
        """What `rosnode list` says in a new shell on dev-3."""
        return self.ros('dev-3', 'rosnode', 'list', graph='shell', check=False).stdout.split()

    def tag(self, robot, *tags):
        """Give ``robot`` these tags and no other, as a person could with headscale's own command."""
        headscale = [locate('headscale'), '--config', SITE_DIR + '/headscale.yaml', 'nodes']
        server = self.lab.host(self.server)
        nodes = json.loads(server.run(headscale + ['list', '--output', 'json']).stdout)
        number = next(node['id'] for node in nodes if node['given_name'] == robot)
        server.run(headscale + ['tag', '--identifier', str(number), '--tags', ','.join(tags)])


@pytest.fixture(scope='module')
def team(new_lab, install):
    lab = new_lab(THREE_NATS, 'team')
    team = Team(lab, INSTALL)
    team.start_site()
    team.site('team', 'create', 'iris')
    for robot in ROBOTS:
        path = team.carry(robot, team.invite('iris', robot, *(['--master'] if robot == 'dev-1' else [])))
        team.prepare(robot, path)
        team.start_overlay(robot)
    yield team


def test_runner_waits_for_the_overlay_and_starts_with_the_join(team):
    for robot in ROBOTS:
        seen = team.runner(robot)
        assert (seen['state'], seen['why']) == ('WAITING', 'This robot is not in the overlay.')
        assert team.count(robot) == (0, 0)
    for robot in ROBOTS:
        assert team.join(robot, '/home/robot/invitation.yaml')['code'] == 0
    messages = team.wait_healthy('dev-1')
    assert {message['starts'] for message in messages.values()} == {1}
    assert len({message['run_id'] for message in messages.values()}) == 1


def test_every_uri_that_the_master_hands_out_answers_on_every_robot(team):
    for robot in ROBOTS:
        answer = team.ros(robot, 'rosnode', 'ping', '-a', graph='shell', timeout=60)
        assert 'ERROR' not in answer.stdout + answer.stderr, answer.stdout + answer.stderr
        assert answer.stdout.count('xmlrpc reply from http://dev-') >= 10


def test_the_mirror_shows_every_robot_in_the_team_graph(team):
    for robot in ROBOTS:
        topic = '/{}/overlay/state'.format(robot.replace('-', '_'))
        seen = team.ros('dev-3', 'rostopic', 'echo', '-n', '1', topic, graph='shell').stdout
        assert 'robot: "{}"'.format(robot) in seen
    names = team.ros('dev-1', 'rostopic', 'echo', '-n', '8', '/diagnostics/status[0]/name', graph='shell').stdout
    assert all('"{}: overlay: '.format(robot) in names for robot in ROBOTS), names


def test_join_and_leave_are_refused_in_the_team_graph_and_probe_is_not(team):
    for service, request in (('leave', 'false'), ('join', '/home/robot/invitation.yaml')):
        answer = team.ros('dev-3', 'rosservice', 'call', '/dev_2/overlay/' + service, request, graph='shell').stdout
        assert 'code: 18' in answer and 'ua-overlay ' + service in answer, answer
    answer = team.ros('dev-3', 'rosservice', 'call', '/dev_2/overlay/probe', 'dev-1', '5.0', graph='shell').stdout
    assert 'dev-1 answers by' in answer, answer
    assert team.topic('dev-2', '/ua_overlay/state')['state'] == 5


@pytest.mark.parametrize('also', ['nothing else', 'the subreaper', 'the subreaper and roslaunch'])
def test_overlay_node_killed_leaves_one_of_each_or_none(team, also):
    subreapers = team.pids('dev-2', 'subreaper.py')
    roslaunch = [pid for pid in team.pids('dev-2', 'roslaunch --wait') if pid not in subreapers]
    victims = team.pids('dev-2', 'ua_overlay/overlay ')
    assert victims
    if also != 'nothing else':
        victims += subreapers + (roslaunch if 'roslaunch' in also else [])
    before = team.pids('dev-2', 'team/stubborn.py')
    team.kill('dev-2', *sorted(set(victims)))
    end = time.monotonic() + DEADLINE
    while True:
        talkers, stubborn = team.count('dev-2')
        assert talkers <= 1 and stubborn <= 1
        now = team.pids('dev-2', 'team/stubborn.py')
        if now and now != before:
            break
        assert time.monotonic() < end, 'the nodes did not come back'
    # Its topics come back latched, and the other robots noticed nothing.
    team.wait_running('dev-2', 'dev-1', starts=1)
    assert team.runner('dev-1')['starts'] == team.runner('dev-3')['starts'] == 1
    team.wait_healthy('dev-1')


def test_leave_stops_the_nodes_and_join_starts_them(team):
    assert team.call('dev-3', '/ua_overlay/leave', '{forget: false}')['code'] == 0
    wait('The end of the nodes', lambda: team.count('dev-3') == (0, 0), DEADLINE)
    wait('The state WAITING', lambda: team.runner('dev-3')['state'] == 'WAITING', DEADLINE)
    assert team.pids('dev-3', 'ua_overlay.nodes.mirror') == []
    assert team.join('dev-3', '')['code'] == 0
    team.wait_healthy('dev-1')


def test_tailscaled_killed_restarts_no_node(team):
    """Neither on a follower nor on the master: the nodes and the roscore are the same afterwards."""
    for robot in ('dev-2', 'dev-1'):
        before = team.runner(robot), team.pids(robot, 'team/stubborn.py'), team.pids(robot, 'rosmaster --core -p 11312')
        team.lab.kill_service(robot, 'tailscaled')
        wait('NO_DAEMON', lambda robot=robot: team.topic(robot, '/ua_overlay/state')['state'] == 1, DEADLINE)
        team.start_daemon(robot)
        team.wait_healthy('dev-1')
        after = team.runner(robot), team.pids(robot, 'team/stubborn.py'), team.pids(robot, 'rosmaster --core -p 11312')
        assert before[1:] == after[1:] and before[0]['starts'] == after[0]['starts']


def test_roscore_killed_and_every_robot_follows(team):
    before = team.runner('dev-3')['run_id']
    team.kill('dev-1', *team.pids('dev-1', 'rosmaster --core -p 11312'))
    wait('Another run_id', lambda: team.runner('dev-3')['run_id'] not in ('', before), DEADLINE)
    messages = team.wait_healthy('dev-1')
    assert {message['run_id'] for message in messages.values()} == {team.runner('dev-3')['run_id']}


def test_master_moves(team):
    began = time.monotonic()
    said = team.site('team', 'master', 'iris', 'dev-2').stdout
    assert 'dev-2 is now the master of team iris; it was dev-1.' in said
    messages = team.wait_healthy('dev-2')
    print('moved within {:.1f} s'.format(time.monotonic() - began))
    assert len({message['run_id'] for message in messages.values()}) == 1
    wait('The end of the old roscore', lambda: not team.pids('dev-1', 'rosmaster --core -p 11312'), DEADLINE)
    shell = team.lab.host('dev-3').run(['bash', '-c', '. "$0/setup.bash"; echo $ROS_MASTER_URI', team.workspace],
                                       user=USER, env=team.user_environment())
    assert shell.stdout.strip() == 'http://dev-2.overlay.internal:11312'


def test_two_masters_are_an_error_that_stops_nothing(team):
    before = {robot: team.runner(robot)['starts'] for robot in ROBOTS}
    team.tag('dev-1', 'tag:iris', 'tag:ros-master')
    for robot in ROBOTS:
        wait('TWO_MASTERS', lambda robot=robot: team.environment(robot)['state'] == 'TWO_MASTERS', DEADLINE)
        assert 'dev-1, dev-2; dev-2 was it before' in team.environment(robot)['why']
    assert {robot: team.runner(robot)['starts'] for robot in ROBOTS} == before
    team.site('team', 'master', 'iris', 'dev-2')
    team.wait_healthy('dev-2')
    assert {robot: team.runner(robot)['starts'] for robot in ROBOTS} == before


def test_nobody_is_master(team):
    before = {robot: team.runner(robot)['starts'] for robot in ROBOTS}
    team.tag('dev-2', 'tag:iris')
    for robot in ROBOTS:
        wait('NO_MASTER', lambda robot=robot: team.environment(robot)['state'] == 'NO_MASTER', DEADLINE)
    assert {robot: team.runner(robot)['starts'] for robot in ROBOTS} == before
    team.site('team', 'master', 'iris', 'dev-1')
    team.wait_healthy('dev-1')


SENTENCE = 'This shell points to the team graph. Next: ua-overlay exec --local roslaunch ua_overlay overlay.launch'
BLACK_HOLE = 'table inet hole { chain in { type filter hook input priority -10; tcp dport 11312 drop; }; }\n'


def launch_from_team_shell(team, typed=True, timeout=60):
    """overlay.launch from a new shell of dev-3 ends with the sentence, and has started nothing.

    :param typed: as a person types it; else as a program runs it, past the shell's own look at the command line.
    """
    command = 'roslaunch ua_overlay overlay.launch'
    shell = ['bash', '-c', '. "$0/setup.bash"; echo "graph $ROS_MASTER_URI"; {}'.format(
        command if typed else 'exec ' + command), team.workspace]
    done = team.lab.host('dev-3').run(shell, user=USER, env=team.user_environment(), check=False, timeout=timeout)
    said = done.stdout + done.stderr
    assert 'graph http://dev-1.overlay.internal:11312' in done.stdout, said
    assert done.returncode != 0 and SENTENCE in said and 'process[' not in said, said


@pytest.mark.parametrize('typed', [True, False], ids=['typed', 'by a program'])
def test_overlay_launch_from_a_shell_that_points_to_the_team(team, typed):
    launch_from_team_shell(team, typed)
    # The local graph is there from any shell.
    assert '/ua_overlay' in team.ros('dev-3', 'rosnode', 'list').stdout


def test_master_black_holed(team):
    """Its port takes no packet and answers none: what asks it waits for TCP's two minutes. Nothing of ours does."""
    before = team.runner('dev-3')['starts']
    team.lab.host('dev-1').run(['nft', '-f', '-'], input=BLACK_HOLE)
    try:
        wait('NO_ROSCORE', lambda: team.environment('dev-3')['state'] == 'NO_ROSCORE', DEADLINE)
        launch_from_team_shell(team, timeout=30)
        # The local graph answers, and so do the commands; an unreachable master is no reason to restart anything.
        assert team.call('dev-3', '/ua_overlay/probe', '{peer: dev-1, timeout: 5.0}')['code'] == 0
        for command in (['status'], ['join'], ['leave'], ['join']):
            began = time.monotonic()
            done = team.overlay('dev-3', *command, user=USER, timeout=30, check=False)
            took = time.monotonic() - began
            assert done.returncode == 0 and took < 5, (command, took, done.stdout, done.stderr)
            print('{}: {:.1f} s'.format(command[0], took))
            if command == ['leave']:
                # Nodes end although their master takes no farewell.
                wait('The end of the nodes', lambda: team.count('dev-3') == (0, 0), DEADLINE)
    finally:
        team.lab.host('dev-1').run(['nft', 'delete', 'table', 'inet', 'hole'])
    team.wait_healthy('dev-1')
    # Once more after the leave; the black hole itself restarted nothing.
    assert team.runner('dev-3')['starts'] == before + 1


def power_off(team, robot):
    """What a power cut leaves: nothing that runs, and an empty /run."""
    for service in ('overlay', 'agent', 'tailscaled'):
        team.lab.kill_service(robot, service)
    team.lab.host(robot).run(['kill', '-9', '-1'], user=USER, check=False)
    team.lab.host(robot).run(['rm', '-f', '/run/ua_overlay/env'])


def power_on(team, robot):
    team.start_daemon(robot)
    team.lab.start_service(robot, 'agent', [team.command, 'robot', 'agent', '--user', USER],
                           env=team.base_environment())
    team.start_overlay(robot)


def test_master_rebooted(team):
    before = {robot: team.runner(robot) for robot in ('dev-2', 'dev-3')}
    power_off(team, 'dev-1')
    for robot in ('dev-2', 'dev-3'):
        wait('NO_ROSCORE or MASTER_OFFLINE',
             lambda robot=robot: team.environment(robot)['state'] in ('NO_ROSCORE', 'MASTER_OFFLINE'), DEADLINE)
        assert team.runner(robot)['starts'] == before[robot]['starts']
        assert team.runner(robot)['state'] == 'RUNNING'
    launch_from_team_shell(team)
    power_on(team, 'dev-1')
    messages = team.wait_healthy('dev-1')
    for robot in ('dev-2', 'dev-3'):
        assert messages[robot]['run_id'] != before[robot]['run_id']
        assert messages[robot]['starts'] == before[robot]['starts'] + 1


def test_server_down_for_two_minutes_and_the_master_moves_afterwards(team):
    before = {robot: team.runner(robot)['starts'] for robot in ROBOTS}
    team.stop_server()
    began = time.monotonic()
    for robot in ROBOTS:
        wait('UNREACHABLE', lambda robot=robot: team.topic(robot, '/ua_overlay/state')['server'] == 2, DEADLINE)
        assert team.environment(robot)['state'] == 'OK'
    # Two minutes: longer than any timer of tailscaled by which it gives up a server, or a path, that worked before.
    while time.monotonic() < began + 120:
        states = {robot: team.environment(robot)['state'] for robot in ROBOTS}
        assert set(states.values()) == {'OK'}, states
        assert {robot: team.runner(robot)['starts'] for robot in ROBOTS} == before
    team.start_server()
    team.site('team', 'master', 'iris', 'dev-3')
    messages = team.wait_healthy('dev-3', 120)
    assert {robot: message['starts'] - before[robot] for robot, message in messages.items()} == dict.fromkeys(ROBOTS, 1)


def test_robot_on_another_address_keeps_its_nodes(team):
    before = team.runner('dev-2')
    host = team.lab.host('dev-2')
    for command in ('addr flush dev eth0', 'addr add 10.0.2.77/24 dev eth0', 'route replace default via 10.0.2.2'):
        host.run(['ip'] + command.split())
    wait('A way to the master',
         lambda: team.ros('dev-2', 'rosnode', 'ping', '-c', '1', '/talker_dev_3', graph='shell',
                                check=False).stdout.count('xmlrpc reply'), DEADLINE)
    assert team.wait_healthy('dev-3')['dev-2']['starts'] == before['starts']


def test_robot_booted_without_a_network(team):
    power_off(team, 'dev-2')
    host = team.lab.host('dev-2')
    host.run(['ip', 'link', 'set', 'eth0', 'down'])
    power_on(team, 'dev-2')
    wait('WAITING', lambda: team.runner('dev-2')['state'] == 'WAITING', DEADLINE)
    assert team.count('dev-2') == (0, 0)
    host.run(['ip', 'link', 'set', 'eth0', 'up'])
    host.run(['ip', 'route', 'replace', 'default', 'via', '10.0.2.2'])
    team.wait_healthy('dev-3', 120)
