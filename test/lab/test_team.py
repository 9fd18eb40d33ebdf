"""The team graph on three robots of one team: runner, master, mirror. Real headscale, tailscaled, roscore, roslaunch.

The tests have an order: each leaves three healthy robots behind. The figures are in bench/.
"""
import json
import os
import signal
import threading
import time

import chaos
import pytest
from shifted_clock import DAY
from team_fleet import LAUNCH, ROBOTS, ROSCORE, Team
from topologies import THREE_NATS

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.lab import link, shape, timeouts
from ua_overlay.lab.fleet import USER
from ua_overlay.lab.timeouts import ANSWER, GRAPH
from ua_overlay.lab.wait import wait

#: Seconds without a server: longer than any timer of tailscaled by which it gives up a server, or a path, that worked
#: before.
OUTAGE = 120
#: Seconds for which tailscaled is stopped, and for which all NATs are off.
STOPPED, OFF = 15, 5
#: Seconds of loss; `make chaos` sets ten minutes.
LOSSY = float(os.environ.get('UA_OVERLAY_LOSS_SECONDS', '20'))
#: Seconds of chaos, and the seed of what is killed.
CHAOS, CHAOS_SEED = 45, 12
COUNT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'on_robot', 'count.py')


@pytest.fixture(scope='module')
def team(new_lab, install):
    team = Team(new_lab(THREE_NATS, 'team'), install)
    team.at_first = chaos.left_in(team.lab)
    team.start()
    yield team


def test_runner_waits_for_the_overlay_and_starts_with_the_join(team):
    for robot in ROBOTS:
        runner = team.runner(robot)
        assert (runner['state'], runner['why']) == ('WAITING', 'This robot is not in the overlay.')
        assert team.count(robot) == (0, 0)
    for robot in ROBOTS:
        assert team.join(robot, '/home/robot/invitation.yaml')['code'] == 0
    messages = team.wait_healthy('dev-1')
    assert {message['starts'] for message in messages.values()} == {1}
    assert len({message['run_id'] for message in messages.values()}) == 1


def test_every_uri_from_the_master_answers_on_every_robot(team):
    for robot in ROBOTS:
        answer = team.ros(robot, 'rosnode', 'ping', '-a', graph='shell', timeout=60)
        assert 'ERROR' not in answer.stdout + answer.stderr, answer.stdout + answer.stderr
        assert answer.stdout.count('xmlrpc reply from http://dev-') >= 10


def test_the_mirror_shows_every_robot_in_the_team_graph(team):
    for robot in ROBOTS:
        topic = '/{}/overlay/state'.format(robot.replace('-', '_'))
        message = team.ros('dev-3', 'rostopic', 'echo', '-n', '1', topic, graph='shell').stdout
        assert 'robot: "{}"'.format(robot) in message
    names = team.ros('dev-1', 'rostopic', 'echo', '-n', '8', '/diagnostics/status[0]/name', graph='shell').stdout
    assert all('"{}: overlay: '.format(robot) in names for robot in ROBOTS), names


def test_the_team_graph_refuses_join_and_leave_but_not_probe(team):
    for service, request in (('leave', 'false'), ('join', '/home/robot/invitation.yaml')):
        answer = team.ros('dev-3', 'rosservice', 'call', '/dev_2/overlay/' + service, request, graph='shell').stdout
        assert 'code: 18' in answer and 'ua-overlay ' + service in answer, answer
    answer = team.ros('dev-3', 'rosservice', 'call', '/dev_2/overlay/probe', 'dev-1', '5.0', graph='shell').stdout
    assert 'dev-1 answers by' in answer, answer
    assert team.topics['dev-2'].now('state')['state'] == 5


@pytest.mark.fault('new',
                   "The overlay node is killed, alone or with the subreaper and roslaunch of the team's launch file",
                   behaviour="The team's nodes end and start once; at no moment does one run twice", reported='-',
                   recovery='90 s', lost='nothing')
@pytest.mark.parametrize('also', ['nothing else', 'the subreaper', 'the subreaper and roslaunch'])
def test_killing_the_overlay_node_leaves_no_duplicate_node(team, also):
    subreapers = team.pids('dev-2', 'subreaper.py')
    roslaunch = [pid for pid in team.pids('dev-2', 'roslaunch --wait') if pid not in subreapers]
    victims = team.pids('dev-2', 'ua_overlay/overlay ')
    assert victims
    if also != 'nothing else':
        victims += subreapers + (roslaunch if 'roslaunch' in also else [])
    before = team.pids('dev-2', 'team/stubborn.py')
    killed = time.time()
    team.kill('dev-2', *sorted(set(victims)))

    def new_nodes():
        talkers, stubborn = team.count('dev-2')
        assert talkers <= 1 and stubborn <= 1
        return team.pids('dev-2', 'team/stubborn.py') not in ([], before)

    wait('The return of the nodes', new_nodes, GRAPH, poll=0.02)
    # Its topics come back latched, and the other robots noticed nothing.
    team.topics['dev-2'].now('team_runner', since=killed)
    team.wait_running('dev-2', 'dev-1', starts=1)
    assert team.runner('dev-1')['starts'] == team.runner('dev-3')['starts'] == 1
    team.wait_healthy('dev-1')


def test_leave_stops_the_nodes_and_join_starts_them(team):
    assert team.call('dev-3', '/ua_overlay/leave', '{forget: false}')['code'] == 0
    team.wait_no_nodes('dev-3')
    team.wait_runner('dev-3', 'WAITING')
    assert team.pids('dev-3', 'ua_overlay.nodes.mirror') == []
    assert team.join('dev-3', '')['code'] == 0
    team.wait_healthy('dev-1')


@pytest.mark.fault('new', "tailscaled is killed on a robot with the team's nodes, or on the master",
                   behaviour='Nodes and roscore stay the same processes', reported='90 s: topic state',
                   recovery='180 s', lost='nothing')
def test_a_killed_tailscaled_restarts_no_node(team):
    """Neither on a follower nor on the master: the nodes and the roscore are the same afterwards."""
    for robot in ('dev-2', 'dev-1'):
        before = team.runner(robot), team.pids(robot, 'team/stubborn.py'), team.pids(robot, ROSCORE)
        team.lab.kill_service(robot, 'tailscaled')
        team.topics[robot].wait('The state NO_DAEMON', 'state', lambda message: message['state'] == 1, GRAPH)
        team.start_daemon(robot)
        team.wait_healthy('dev-1')
        after = team.runner(robot), team.pids(robot, 'team/stubborn.py'), team.pids(robot, ROSCORE)
        assert before[1:] == after[1:] and before[0]['starts'] == after[0]['starts']


@pytest.mark.fault('new', "The team's roscore is killed",
                   behaviour='It starts again, and every robot starts its nodes in the new graph',
                   reported='90 s: team_runner', recovery='180 s', lost='parameters, latched messages')
def test_every_robot_follows_a_killed_roscore(team):
    before = team.runner('dev-3')['run_id']
    team.kill('dev-1', *team.pids('dev-1', ROSCORE))
    team.topics['dev-3'].wait('Another run_id', 'team_runner',
                              lambda message: message['run_id'] not in ('', before), GRAPH)
    messages = team.wait_healthy('dev-1')
    assert {message['run_id'] for message in messages.values()} == {team.runner('dev-3')['run_id']}


def test_the_master_moves(team):
    began = time.monotonic()
    output = team.site('team', 'master', 'iris', 'dev-2').stdout
    assert 'dev-2 is now the master of team iris; it was dev-1.' in output
    messages = team.wait_healthy('dev-2')
    print('moved within {:.1f} s'.format(time.monotonic() - began))
    assert len({message['run_id'] for message in messages.values()}) == 1
    wait('The end of the old roscore', lambda: not team.pids('dev-1', ROSCORE), GRAPH)
    assert team.shell('dev-3', 'echo $ROS_MASTER_URI').stdout.strip() == 'http://dev-2.overlay.internal:{}'.format(TEAM_PORT)


@pytest.mark.fault('new', "Two robots have the master's tag",
                   behaviour='Robots keep the master that they had and name both', reported='90 s: ros_environment',
                   recovery='180 s', lost='nothing')
def test_two_masters_are_an_error_that_stops_nothing(team):
    before = team.starts()
    team.tag('dev-1', 'tag:iris', 'tag:ros-master')
    for robot in ROBOTS:
        message = team.wait_environment(robot, 'TWO_MASTERS')
        assert 'dev-1, dev-2; dev-2 was the master before' in message['why']
    assert team.starts() == before
    team.site('team', 'master', 'iris', 'dev-2')
    team.wait_healthy('dev-2')
    assert team.starts() == before


@pytest.mark.fault('new', "No robot has the master's tag", behaviour='Nodes go on in the graph that they have',
                   reported='90 s: ros_environment', recovery='180 s', lost='nothing')
def test_no_master_is_an_error_that_stops_nothing(team):
    before = team.starts()
    team.tag('dev-2', 'tag:iris')
    for robot in ROBOTS:
        team.wait_environment(robot, 'NO_MASTER')
    assert team.starts() == before
    team.site('team', 'master', 'iris', 'dev-1')
    team.wait_healthy('dev-1')


SENTENCE = 'This shell points to the team graph. Next: ua-overlay exec --local roslaunch ua_overlay overlay.launch'
BLACK_HOLE = 'table inet hole {{ chain in {{ type filter hook input priority -10; tcp dport {} drop; }}; }}\n'.format(
    TEAM_PORT)


def launch_from_team_shell(team, typed=True, timeout=60):
    """overlay.launch in a new shell of dev-3 ends with the sentence, and has started nothing.

    :param typed: as a person types it; otherwise as a program runs it, past the shell's own check of the command line.
    """
    command = 'roslaunch ua_overlay overlay.launch'
    done = team.shell('dev-3', 'echo "graph $ROS_MASTER_URI"; {}'.format(command if typed else 'exec ' + command),
                      check=False, timeout=timeout)
    output = done.stdout + done.stderr
    assert 'graph http://dev-1.overlay.internal:{}'.format(TEAM_PORT) in done.stdout, output
    assert done.returncode != 0 and SENTENCE in output and 'process[' not in output, output


@pytest.mark.fault('new', 'overlay.launch is started in a shell of the team graph',
                   behaviour='It ends with a sentence and has started nothing', reported='60 s: roslaunch itself',
                   recovery='-', lost='nothing')
@pytest.mark.parametrize('typed', [True, False], ids=['typed', 'by a program'])
def test_overlay_launch_in_a_shell_that_points_to_the_team(team, typed):
    launch_from_team_shell(team, typed)
    # The local graph is there from any shell.
    assert '/ua_overlay' in team.ros('dev-3', 'rosnode', 'list').stdout


@pytest.mark.fault('new', "The master's port takes no packet",
                   behaviour='The local graph and the commands answer within 10 s; no node is restarted',
                   reported='90 s: ros_environment', recovery='180 s', lost='nothing')
def test_a_black_holed_master(team):
    """Its port takes no packet and answers none: a connection to it waits for TCP's two minutes. Nothing of ours
    does."""
    before = team.runner('dev-3')['starts']
    team.lab.host('dev-1').run(['nft', '-f', '-'], input=BLACK_HOLE)
    try:
        team.wait_environment('dev-3', 'NO_ROSCORE')
        launch_from_team_shell(team, timeout=30)
        # The local graph answers, and so do the commands; an unreachable master is no reason to restart anything.
        assert team.call('dev-3', '/ua_overlay/probe', '{peer: dev-1, timeout: 5.0}')['code'] == 0
        for command in (['status'], ['join'], ['leave'], ['join']):
            began = time.monotonic()
            done = team.overlay('dev-3', *command, user=USER, timeout=30, check=False)
            took = time.monotonic() - began
            assert done.returncode == 0 and took < timeouts.scaled(ANSWER), (command, took, done.stdout, done.stderr)
            print('{}: {:.1f} s'.format(command[0], took))
            if command == ['leave']:
                # Nodes end although their master takes no farewell.
                team.wait_no_nodes('dev-3')
    finally:
        team.lab.host('dev-1').run(['nft', 'delete', 'table', 'inet', 'hole'])
    team.wait_healthy('dev-1')
    # Once more after the leave; the black hole itself restarted nothing.
    assert team.runner('dev-3')['starts'] == before + 1


def power_off(team, robot):
    """Leave what a power cut leaves: no process, and an empty /run."""
    for service in ('overlay', 'agent', 'tailscaled'):
        team.lab.kill_service(robot, service)
    team.lab.host(robot).run(['kill', '-9', '-1'], user=USER, check=False)
    team.lab.host(robot).run(['rm', '-f', '/run/ua_overlay/env'])


def power_on(team, robot):
    team.start_daemon(robot)
    team.start_agent(robot)
    team.start_overlay(robot)


@pytest.mark.fault('new', 'The master loses its power',
                   behaviour='The other robots keep their nodes until it is back, then start them in the new graph',
                   reported='90 s: ros_environment', recovery='180 s', lost='parameters, latched messages')
def test_the_master_reboots(team):
    before = {robot: team.runner(robot) for robot in ('dev-2', 'dev-3')}
    power_off(team, 'dev-1')
    for robot in ('dev-2', 'dev-3'):
        team.wait_environment(robot, 'NO_ROSCORE', 'MASTER_OFFLINE')
        assert team.runner(robot)['starts'] == before[robot]['starts']
        assert team.runner(robot)['state'] == 'RUNNING'
    launch_from_team_shell(team)
    power_on(team, 'dev-1')
    messages = team.wait_healthy('dev-1')
    for robot in ('dev-2', 'dev-3'):
        assert messages[robot]['run_id'] != before[robot]['run_id']
        assert messages[robot]['starts'] == before[robot]['starts'] + 1


@pytest.mark.fault('new', 'The server is away for two minutes',
                   behaviour='No environment changes and no node restarts; the master can move afterwards',
                   reported='90 s: topic state', recovery='240 s', lost='nothing')
def test_two_minutes_without_a_server_stop_nothing_and_the_master_moves_afterwards(team):
    before = team.starts()
    team.stop_server()
    stopped = time.time()
    for robot in ROBOTS:
        team.topics[robot].wait('The server UNREACHABLE on ' + robot, 'state', lambda message: message['server'] == 2,
                                GRAPH)
    time.sleep(max(0.0, stopped + OUTAGE - time.time()))
    for robot in ROBOTS:
        environments = [team.environment(robot)] + team.topics[robot].since('ros_environment', stopped)
        assert [each for each in environments if each is None or each['state'] != 'OK'] == []
        runners = [team.runner(robot)] + team.topics[robot].since('team_runner', stopped)
        assert [each for each in runners if each is None or each['starts'] != before[robot]] == []
    team.start_server()
    team.site('team', 'master', 'iris', 'dev-3')
    messages = team.wait_healthy('dev-3', 120)
    assert {robot: message['starts'] - before[robot] for robot, message in messages.items()} == dict.fromkeys(ROBOTS, 1)


@pytest.mark.fault('new', 'A robot gets another address on its network', behaviour='Its nodes stay and answer',
                   reported='-', recovery='180 s', lost='nothing')
def test_a_robot_with_another_address_keeps_its_nodes(team):
    before = team.runner('dev-2')
    host = team.lab.host('dev-2')
    for command in ('addr flush dev eth0', 'addr add 10.0.2.77/24 dev eth0', 'route replace default via 10.0.2.2'):
        host.run(['ip'] + command.split())
    wait('An answer of the master\'s node',
         lambda: team.ros('dev-2', 'rosnode', 'ping', '-c', '1', '/talker_dev_3', graph='shell',
                          check=False).stdout.count('xmlrpc reply'), GRAPH, poll=1)
    assert team.wait_healthy('dev-3')['dev-2']['starts'] == before['starts']


@pytest.mark.fault('new', 'A robot boots without a network', behaviour='Its nodes wait; they start when there is one',
                   reported='90 s: team_runner', recovery='240 s', lost='nothing')
def test_a_robot_boots_without_a_network(team):
    power_off(team, 'dev-2')
    host = team.lab.host('dev-2')
    host.run(['ip', 'link', 'set', 'eth0', 'down'])
    power_on(team, 'dev-2')
    team.wait_runner('dev-2', 'WAITING')
    assert team.count('dev-2') == (0, 0)
    host.run(['ip', 'link', 'set', 'eth0', 'up'])
    host.run(['ip', 'route', 'replace', 'default', 'via', '10.0.2.2'])
    team.wait_healthy('dev-3', 120)


class Count:
    """Numbers from dev-1 to dev-2, at 10 Hz over TCP, for a block; `heard` are those that came."""

    def __init__(self, team):
        self.team, self.heard, self.processes = team, [], []

    def __enter__(self):
        for robot, role in (('dev-2', 'hear'), ('dev-1', 'say')):
            self.processes.append(self.team.ros_popen(robot, 'python3', COUNT, role, graph='shell'))
        threading.Thread(target=lambda: self.heard.extend(map(int, self.processes[0].stdout)), daemon=True).start()
        self.more('The first numbers')
        return self

    def more(self, what):
        """Wait until numbers come; returns how long that took."""
        began, before = time.monotonic(), len(self.heard)
        wait(what, lambda: len(self.heard) > before + 5, GRAPH)
        return time.monotonic() - began

    def __exit__(self, *exc_info):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(20)

    def complete(self):
        return self.heard == list(range(1, len(self.heard) + 1))


@pytest.mark.fault('new', 'tailscaled is stopped (SIGSTOP) for 15 s',
                   behaviour='status and join answer; no node restarts',
                   reported='15 s: topic state; 10 s: status, join', recovery='10 s', lost='nothing')
def test_a_stopped_tailscaled(team):
    before = team.starts()
    with Count(team) as count:
        process = team.lab.service('dev-2', 'tailscaled')
        process.send_signal(signal.SIGSTOP)
        stopped = time.time()
        try:
            team.topics['dev-2'].wait('A state other than RUNNING', 'state', lambda message: message['state'] != 5, 15)
            for command in ('status', 'join'):
                began = time.monotonic()
                done = team.overlay('dev-2', command, user=USER, check=False, timeout=60)
                took = time.monotonic() - began
                assert done.returncode == 1 and took < timeouts.scaled(ANSWER), (command, took, done.stdout)
                assert 'Traceback' not in done.stderr
            time.sleep(max(0.0, stopped + STOPPED - time.time()))
        finally:
            process.send_signal(signal.SIGCONT)
        assert count.more('Numbers after tailscaled went on') < timeouts.scaled(10)
        assert count.complete()
    team.wait_healthy(team.environment('dev-2')['master'])
    assert team.starts() == before


@pytest.mark.fault('new', 'All NATs reboot at once: no network for five seconds, and every path forgotten',
                   behaviour='Links come back by themselves; no node restarts', reported='-', recovery='60 s',
                   lost='nothing')
def test_all_nats_reboot(team):
    before = team.starts()
    with Count(team) as count:
        routers = [router.name for router in team.lab.topology.nats]
        kinds = {name: team.lab.nat_kind(name) for name in routers}
        links = {}
        for name in routers:
            host = team.lab.host(name)
            route = json.loads(host.run(['ip', '-json', 'route', 'show', 'default']).stdout)
            links[name] = json.loads(host.run(['ip', '-json', 'route', 'get', '203.0.113.10']).stdout)[0]['dev'], route
            host.run(['ip', 'link', 'set', links[name][0], 'down'])
            host.run(['nft', 'flush', 'ruleset'])
            host.run(['conntrack', '-F'])
        time.sleep(OFF)
        for name, (link, route) in links.items():
            host = team.lab.host(name)
            host.run(['ip', 'link', 'set', link, 'up'])
            for each in route:
                host.run(['ip', 'route', 'replace', 'default', 'via', each['gateway']])
            team.lab.nat(name, kinds[name])
        took = count.more('Numbers after the NATs are back')
        print('numbers {:.1f} s after the NATs were back'.format(took))
        assert took < timeouts.scaled(60)
        assert count.complete()
    team.wait_healthy(team.environment('dev-2')['master'])
    assert team.starts() == before


@pytest.mark.fault('new', 'Every robot loses 5 % of its packets, for 20 s or (`make chaos`) ten minutes',
                   behaviour='No environment changes, no node restarts, commands answer', reported='-',
                   recovery='with the loss', lost='nothing')
def test_a_lossy_network(team):
    before = team.starts()
    with Count(team) as count:
        for number, robot in enumerate(ROBOTS):
            link.set_shape(team.lab, robot, shape.parse({'loss': '5%'}), seed=number)
        lossy = time.time()
        try:
            count.more('Numbers over lossy links')
            while time.time() < lossy + LOSSY:
                began = time.monotonic()
                assert team.overlay('dev-2', 'status', user=USER).returncode == 0
                assert time.monotonic() - began < timeouts.scaled(ANSWER)
                count.more('Further numbers over lossy links')
            assert team.starts() == before
            for robot in ROBOTS:
                states = {each and each['state'] for each in team.topics[robot].since('ros_environment', lossy)}
                assert states <= {'OK'}, (robot, states)
            lost = link.counts(team.lab, 'dev-2')
            assert lost['out']['lost'] > 0 and lost['in']['lost'] > 0
        finally:
            for robot in ROBOTS:
                link.clear(team.lab, robot)
        count.more('Numbers after the loss')
        assert count.complete()
    team.wait_healthy(team.environment('dev-2')['master'])


@pytest.mark.fault('new', 'A robot gets another address every 10 s', behaviour='Its topics go on; no node restarts',
                   reported='-', recovery='10 s after each', lost='nothing')
def test_an_address_that_changes_every_ten_seconds(team):
    before, host = team.starts(), team.lab.host('dev-2')
    with Count(team) as count:
        for last in (81, 82, 77):
            changed = time.time()
            for command in ('addr flush dev eth0', 'addr add 10.0.2.{}/24 dev eth0'.format(last),
                            'route replace default via 10.0.2.2'):
                host.run(['ip'] + command.split())
            took = count.more('Numbers with the address 10.0.2.{}'.format(last))
            print('numbers {:.1f} s after the change'.format(took))
            assert took < timeouts.scaled(10)
            time.sleep(max(0.0, changed + 10 - time.time()))
        assert count.complete()
    assert team.starts() == before
    team.wait_healthy(team.environment('dev-2')['master'])


def clock_is_wrong(message):
    """Whether /diagnostics says that the robot's clock differs from the server's; None without a word about it."""
    for status in message['status']:
        for item in status['values']:
            if item['key'] == 'clock':
                return not item['value'].startswith('OK')
    return None


@pytest.mark.fault('new', "A robot's clock jumps by a day, forward and back, while everything runs",
                   behaviour='Topics, env file and nodes stay', reported='60 s: /diagnostics', recovery='60 s',
                   lost='nothing')
def test_a_clock_that_jumps(team, shifted_clock):
    """For the overlay node, the agent, the local graph and the team's nodes; tailscaled keeps the real clock."""
    for service in ('overlay', 'agent'):
        team.lab.stop_service('dev-2', service, timeout=60)
    team.lab.start_service('dev-2', 'agent', [team.command, 'robot', 'agent', '--user', USER],
                           env=dict(team.base_environment(), **shifted_clock.environment))
    log = team.lab.log_path('dev-2', 'overlay')
    written = os.path.getsize(log)
    team.lab.start_service('dev-2', 'overlay', team.ros_argv(
        ['roslaunch', 'ua_overlay', 'overlay.launch', 'team_launch:=' + LAUNCH]),
                           env=dict(team.user_environment(), **shifted_clock.environment), user=USER)
    master = team.environment('dev-3')['master']
    team.wait_healthy(master)
    before, began = team.starts(), time.time()
    with Count(team) as count:
        for days in (1, -1, 0):
            shifted_clock.set(days * DAY)
            count.more('Numbers after the clock jumped')
            message = team.topics['dev-2'].wait(
                'A state with a clock that is {} day(s) off'.format(days), 'state', lambda message, days=days: abs(
                    message['header']['stamp'] - time.time() - days * DAY) < 60, 60)
            # The certificate is valid from a day before it was made.
            assert (message['state'], message['server']) == (5, 1), message
            team.topics['dev-2'].wait(
                'Word of a clock that is {} day(s) off'.format(days), 'diagnostics',
                lambda message, days=days: clock_is_wrong(message) == bool(days), 60)
        assert count.complete()
    states = {each and each['state'] for each in team.topics['dev-2'].since('ros_environment', began)}
    assert states <= {'OK'} and team.starts() == before
    with open(log) as stream:
        stream.seek(written)
        assert 'Traceback' not in stream.read()
    team.wait_healthy(master)


@pytest.mark.fault('new', 'Anything of ours is killed at random, one or two at a time (`make chaos`: for half an hour)',
                   behaviour='One of each process; env file and report agree; nothing is left at the end', reported='-',
                   recovery='60 s after each; 30 s in `make chaos`',
                   lost='what the team graph keeps in memory, when its roscore was killed')
def test_chaos(team, tmp_path):
    """The last test: it takes the robots and the server down."""
    master = team.environment('dev-2')['master']
    run = chaos.Chaos(team, master, CHAOS_SEED, str(tmp_path / 'history.jsonl'), team.at_first)
    assert run.run(CHAOS) >= 3
    # Other groups of tests share the processors.
    assert run.finish(back=60) == []
