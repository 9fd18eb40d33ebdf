"""The team's roscore with the real roscore, on loopback: it runs under the given name, and leaves nothing behind."""
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import xmlrpc.client
from xmlrpc.server import SimpleXMLRPCServer

import pytest
from places import ROOT

from ua_overlay.lab.timeouts import ANSWER, START
from ua_overlay.lab.wait import wait
from ua_overlay.rosenv import envfile, local_graph
from ua_overlay.rosenv.environment import OK, RosEnvironment
from ua_overlay.rosenv.graph import Graph
from ua_overlay.rosenv.master import MasterProbe
from ua_overlay.rosenv.roscore import TeamRoscore
from ua_overlay.rosenv.runner import TeamRunner
from ua_overlay.system import instance, process, subreaper
from ua_overlay.system.supervised import RUNNING, STOPPED, WAITING

pytestmark = pytest.mark.skipif(shutil.which('roscore') is None, reason='roscore is not on the PATH')
#: Seconds that roslaunch waits for the end of its processes after SIGINT (roslaunch/nodeprocess.py:
#: DEFAULT_TIMEOUT_SIGINT).
ROSLAUNCH_PATIENCE = 15


def free_port():
    """A free port that no outgoing connection of this machine takes meanwhile: below the ephemeral ones."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(('', port))
            except OSError:
                continue
            return port


def wait_stepping(roscore, what, condition, seconds=START):
    """As wait(), with a step of ``roscore`` before each further poll, as its node does it."""
    def value_or_step():
        value = condition()
        if not value:
            roscore.step()
        return value

    return wait(what, value_or_step, seconds)


def family(pid):
    """Names of the processes below ``pid`` by process id."""
    pids = [int(name) for name in os.listdir('/proc') if name.isdigit()]
    found = {}
    for child in subreaper.descendants(pid, subreaper.parents(pids)):
        try:
            found[child] = process.read_stat(child).name
        except OSError:
            continue  # ended since
    return found


def alive(pids):
    return sorted(subreaper.parents(pids))


def member(pids, name):
    return next(pid for pid, comm in pids.items() if comm == name)


@pytest.fixture
def team():
    """Environment of the master robot; its overlay name resolves to loopback and differs from the machine's host name.
    """
    return RosEnvironment(master_uri='http://localhost:{}'.format(free_port()), hostname='localhost', master='dev-1',
                          robot='dev-1', team='iris', state=OK, names_ok=True, usable=True)


@pytest.fixture
def environ(tmp_path):
    """The environment of a shell of the local graph: none of it may reach the team's roscore."""
    return dict(os.environ, ROS_LOG_DIR=str(tmp_path / 'log'), ROS_MASTER_URI='http://localhost:11311',
                ROS_HOSTNAME='not-resolving.invalid', ROS_IP='192.0.2.1')


@pytest.fixture
def roscore(tmp_path, environ):
    made = TeamRoscore(log_path=str(tmp_path / 'roscore.log'), environ=environ)
    yield made
    assert made.stop()


def start(roscore, team):
    """Follow ``team`` until rosmaster and rosout are there; returns their process ids and names."""
    roscore.follow(team)
    wait_stepping(roscore, 'A master', lambda: MasterProbe()(team.master_uri).run_id)
    master = xmlrpc.client.ServerProxy(team.master_uri)
    wait_stepping(roscore, 'rosout', lambda: master.lookupNode('/test', '/rosout')[0] == 1)
    return family(roscore.pid)


def test_runs_under_the_overlay_name_and_stops_without_a_trace(roscore, team):
    begin = time.monotonic()
    pids = start(roscore, team)
    up = time.monotonic() - begin
    assert sorted(pids.values()) == ['roscore', 'rosmaster', 'rosout']
    master = xmlrpc.client.ServerProxy(team.master_uri)
    assert master.getUri('/test')[2] == team.master_uri + '/'
    assert master.lookupNode('/test', '/rosout')[2].startswith('http://localhost:')
    uris = master.getParam('/test', '/roslaunch/uris')[2]
    assert uris and all(uri.startswith('http://localhost:') for uri in uris.values())
    begin = time.monotonic()
    assert roscore.stop()
    assert roscore.state == STOPPED and roscore.pid is None and roscore.why == ''
    assert alive(pids) == []
    assert not MasterProbe()(team.master_uri).alive
    print('up {:.2f} s, stopped {:.2f} s'.format(up, time.monotonic() - begin))


@pytest.mark.parametrize('moment', ['started', 'master'])
def test_stop_while_it_starts(roscore, team, moment):
    """roslaunch hangs when it is interrupted before rosout runs; leaving right after joining must not wait for it."""
    roscore.follow(team)
    if moment == 'master':
        wait_stepping(roscore, 'A master', lambda: MasterProbe()(team.master_uri).alive)
    pids = family(roscore.pid)
    begin = time.monotonic()
    assert roscore.stop()
    took = time.monotonic() - begin
    assert alive(pids) == [] and not MasterProbe()(team.master_uri).alive
    print('stopped while {}: {:.2f} s'.format(moment, took))
    assert took < ROSLAUNCH_PATIENCE


def test_follow_stops_it_when_this_robot_is_no_longer_the_master(roscore, team):
    pids = start(roscore, team)
    roscore.follow(RosEnvironment(**dict(team.__dict__, robot='dev-2')))
    wait('The end of roscore', lambda: roscore.step() == STOPPED, START)
    assert alive(pids) == []


@pytest.mark.fault('new', 'roscore or rosmaster is killed with -9',
                   behaviour='What is left of it ends, and exactly one starts again', reported='30 s', recovery='60 s',
                   lost='parameters, latched messages')
@pytest.mark.parametrize('victim', ['roscore', 'rosmaster'])
def test_after_a_hard_kill_exactly_one_roscore_returns(roscore, team, victim):
    pids = start(roscore, team)
    first_run = MasterProbe()(team.master_uri).run_id
    os.kill(member(pids, victim), signal.SIGKILL)
    wait('The crash', lambda: roscore.step() == WAITING, START)
    assert 'port {}'.format(team.master_uri.rpartition(':')[2]) in roscore.why
    assert alive(pids) == []
    assert wait_stepping(roscore, 'A new master', lambda: MasterProbe()(team.master_uri).run_id) != first_run
    assert roscore.state == RUNNING
    wait('One of each process', lambda: sorted(family(roscore.pid).values()) == ['roscore', 'rosmaster', 'rosout'],
         START)


class Listener:
    """A subscriber of /topic as its master knows it: counts the notifications of publishers."""

    def __init__(self, master, name):
        self.heard = threading.Event()
        self.server = SimpleXMLRPCServer(('127.0.0.1', 0), logRequests=False)
        self.server.register_function(self._update, 'publisherUpdate')
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        assert master.registerSubscriber(name, '/topic', 'std_msgs/String', 'http://127.0.0.1:{}/'.format(
            self.server.server_address[1]))[0] == 1

    def _update(self, *_):
        self.heard.set()
        return 1, '', 0

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.fault('case 5', 'Robots with nodes of the team lose power: their sockets answer nothing',
                   behaviour='new publishers reach the others', reported='-',
                   recovery='1 s for up to 31 silent nodes, 10 s for 40', lost='nothing')
@pytest.mark.parametrize('silent, limit', [(3, 1.0), (40, 10.0)])
def test_silent_nodes_stall_nobody(roscore, team, silent, limit):
    """ros_comm issue 1555. With rosmaster's defaults, three of them stall every new publisher for ever."""
    start(roscore, team)
    master = xmlrpc.client.ServerProxy(team.master_uri)
    with contextlib.ExitStack() as stack:
        for number in range(silent):
            dead = stack.enter_context(socket.socket())
            dead.bind(('127.0.0.1', 0))
            dead.listen(16)  # the kernel takes the connection, and nobody answers: as behind a link that has just died
            master.registerSubscriber('/dead_{}'.format(number), '/topic', 'std_msgs/String',
                                      'http://127.0.0.1:{}/'.format(dead.getsockname()[1]))
        live = Listener(master, '/live')
        stack.callback(live.close)
        for number in range(3):
            live.heard.clear()
            began = time.monotonic()
            master.registerPublisher('/talker_{}'.format(number), '/topic', 'std_msgs/String', 'http://127.0.0.1:9/')
            assert live.heard.wait(limit), 'publisher {}: no word of it in {:.1f} s'.format(
                number, time.monotonic() - began)


@pytest.mark.fault('K9', 'The launch file of the team does not exist', behaviour='the report has what roslaunch says',
                   reported='10 s: team_runner', recovery='30 s after it is there', lost='nothing')
def test_last_words_of_a_launch_file_that_fails(roscore, team, environ, tmp_path):
    start(roscore, team)
    graph = Graph(tuple(sorted(team.variables().items())), MasterProbe()(team.master_uri).run_id)
    (tmp_path / 'broken.launch').write_text('<launch><node pkg="no_such_package" type="x" name="x"/></launch>\n')
    for launch, words in (('/nonexistent/drive.launch', 'drive.launch'), (str(tmp_path / 'broken.launch'),
                                                                         'no_such_package')):
        runner = TeamRunner((launch,), environ=environ)
        try:
            runner.follow(graph)
            wait('The end of roslaunch', lambda step=runner.step: step() == WAITING, START)
            assert words in runner.why.partition(' ended with status ')[2], runner.why
        finally:
            assert runner.stop()


@pytest.mark.fault('new', "rosout of the team's roscore is killed", behaviour='roscore starts it again', reported='-',
                   recovery='30 s', lost='nothing')
def test_roscore_respawns_a_killed_rosout(roscore, team):
    pids = start(roscore, team)
    old = member(pids, 'rosout')
    os.kill(old, signal.SIGKILL)
    wait_stepping(roscore, 'Another rosout',
                  lambda: 'rosout' in family(roscore.pid).values() and not alive([old]))
    assert roscore.state == RUNNING


@pytest.mark.fault('new', "The process that runs the team's roscore is killed, alone or with a helper",
                   behaviour='roscore, rosmaster and rosout end', reported='-', recovery='10 s', lost='nothing')
@pytest.mark.parametrize('also', [None, 'roscore', 'subreaper'])
def test_the_roscore_dies_with_its_parent(team, environ, also):
    """The process that holds the TeamRoscore is killed with -9, and at the same time perhaps one of its helpers."""
    code = ('import sys, time\n'
            'from ua_overlay.rosenv.environment import RosEnvironment\n'
            'from ua_overlay.rosenv.roscore import TeamRoscore\n'
            'roscore = TeamRoscore(log_path=sys.argv[1])\n'
            'roscore.follow(RosEnvironment(**eval(sys.argv[2])))\n'
            'print(roscore.pid, flush=True)\n'
            'while True: roscore.step(); time.sleep(0.1)\n')
    holder = subprocess.Popen([sys.executable, '-c', code, environ['ROS_LOG_DIR'] + '.txt', repr(team.__dict__)],
                              env=dict(environ, PYTHONPATH=os.path.join(ROOT, 'src')), stdout=subprocess.PIPE)
    with holder.stdout:
        subreaper_pid = int(holder.stdout.readline())
    try:
        master = xmlrpc.client.ServerProxy(team.master_uri)
        wait('rosout', lambda: MasterProbe()(team.master_uri).run_id and
             master.lookupNode('/test', '/rosout')[0] == 1, START)
        pids = family(subreaper_pid)
        assert sorted(pids.values()) == ['roscore', 'rosmaster', 'rosout']
        holder.kill()
        if also is not None:
            os.kill(subreaper_pid if also == 'subreaper' else member(pids, also), signal.SIGKILL)
        holder.wait(10)
        wait('The end of {}'.format(pids), lambda: not alive(list(pids) + [subreaper_pid]), ANSWER)
    finally:
        holder.kill()
        holder.wait(10)


def test_the_local_graph_stays(roscore, team, environ, tmp_path):
    """Two graphs on one robot: the team's comes and goes, the local one does not notice."""
    port = free_port()
    local = TeamRoscore(log_path=str(tmp_path / 'local.log'), environ=environ)
    uri = 'http://localhost:{}'.format(port)
    try:
        start(local, RosEnvironment(**dict(team.__dict__, master_uri=uri)))
        before = MasterProbe()(uri)
        start(roscore, team)
        assert roscore.stop()
        assert MasterProbe()(uri) == before
    finally:
        assert local.stop()


@pytest.mark.fault('new', "Another roscore has the team's port",
                   behaviour='Ours waits, names the reason and leaves the other alone; it starts when the port is free',
                   reported='30 s', recovery='30 s', lost='nothing')
def test_a_port_taken_by_another_master_is_reported(roscore, team, environ, tmp_path):
    other = TeamRoscore(log_path=str(tmp_path / 'other.log'), environ=environ)
    try:
        start(other, team)
        roscore.follow(team)
        wait('The refusal', lambda: roscore.step() == WAITING, START)
        assert 'another roscore/master is already running' in roscore.why
        assert MasterProbe()(team.master_uri).alive
    finally:
        assert other.stop()
    # When the other has ended, ours starts by itself.
    wait('Our own master', lambda: roscore.step() == RUNNING and MasterProbe()(team.master_uri).alive, START)


def test_talker_and_listener_through_exec(roscore, team, environ, tmp_path):
    """`ua-overlay exec --wait` before anything runs; then a message, without any export."""
    location = envfile.Location(str(tmp_path / 'run'), True)
    environ = dict(environ, UA_OVERLAY_RUN_DIR=location.directory)
    command = [sys.executable, os.path.join(ROOT, 'scripts', 'ua-overlay'), 'exec', '--wait', 'rostopic']
    listener = subprocess.Popen(command + ['echo', '-n', '1', '/chatter'], env=environ, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
    talker = subprocess.Popen(command + ['pub', '-r', '10', '/chatter', 'std_msgs/String', 'hello'], env=environ,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        envfile.write(location, team.variables())
        start(roscore, team)
        output, errors = listener.communicate(timeout=START)
        assert output.decode() == 'data: "hello"\n---\n'
        assert 'Waiting for the team graph' in errors.decode()
    finally:
        talker.send_signal(signal.SIGINT)
        listener.kill()
        listener.communicate()
        talker.wait(20)


class OverlayLaunch:
    """A real `roslaunch … overlay.launch`, without a tailscaled.

    :param words: after `roslaunch`.
    """

    def __init__(self, tmp_path, environ, words, name):
        self.log = tmp_path / (name + '.log')
        with open(str(self.log), 'wb') as output:
            self.process = subprocess.Popen(['roslaunch', '--disable-title'] + words, env=environ, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True)

    def text(self):
        return self.log.read_text(errors='replace')

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


@pytest.fixture
def launch(tmp_path, environ):
    """Function (words, port of the master, name) -> OverlayLaunch; all of them on one robot."""
    made = []

    def start(words, port, name):
        local = dict(environ, ROS_MASTER_URI='http://localhost:{}'.format(port), ROS_HOSTNAME='localhost',
                     UA_OVERLAY_RUN_DIR=str(tmp_path / 'run'))
        local.pop('ROS_IP')
        made.append(OverlayLaunch(tmp_path, local, words, name))
        return made[-1]

    yield start
    for each in reversed(made):
        each.end()


def holder(tmp_path):
    return instance.read_holder(str(tmp_path / 'run'), local_graph.NODE)


@pytest.mark.fault('K6', 'overlay.launch is started while one runs, on the same master or on another one',
                   behaviour='the second says who runs and ends; the first and its parameters are unchanged',
                   reported='at once: roslaunch', recovery='does not apply', lost='nothing')
@pytest.mark.parametrize('same', [True, False], ids=['the same master', 'another master'])
def test_a_second_overlay_launch_ends_and_touches_nothing(launch, tmp_path, same):
    port = free_port()
    direct = ['ua_overlay', 'overlay.launch', 'socket:=' + str(tmp_path / 'none')]
    first = launch(direct + ['team_launch:=my_robot/drive.launch'], port, 'first')
    wait('The first node', lambda: holder(tmp_path), START)
    master = xmlrpc.client.ServerProxy('http://localhost:{}'.format(port))
    wait('Its services', lambda: answers(master.lookupService, '/t', '/ua_overlay/join'), START)
    pid = holder(tmp_path).pid
    parameters = master.getParam('/t', '/ua_overlay')[2]
    assert parameters['team_launch'] == 'my_robot/drive.launch' and parameters['heartbeat'] == 10.0
    second = launch(direct + ['heartbeat:=3.0'], port if same else free_port(), 'second')
    wait('The end of the second roslaunch', lambda: second.process.poll() is not None, START)
    said = 'The overlay node runs already: process {} of '.format(pid)
    assert second.text().count(said) == 1 and 'overlay.launch' in second.text().partition(said)[2], second.text()
    assert master.getParam('/t', '/ua_overlay')[2] == parameters
    assert holder(tmp_path).pid == pid and first.process.poll() is None
    assert master.lookupNode('/t', '/ua_overlay')[0] == 1


@pytest.mark.fault('K6', 'A launch file of the robot includes overlay.launch while one runs',
                   behaviour='its other nodes go on, its overlay node takes over when the first one ends',
                   reported='at once: roslaunch', recovery='10 s after the end of the first', lost='nothing')
def test_an_included_overlay_launch_takes_over(launch, tmp_path):
    port = free_port()
    first = launch(['ua_overlay', 'overlay.launch', 'socket:=' + str(tmp_path / 'none')], port, 'first')
    wait('The first node', lambda: holder(tmp_path), START)
    pid = holder(tmp_path).pid
    (tmp_path / 'robot.launch').write_text(
        '<launch><include file="$(find ua_overlay)/launch/overlay.launch"><arg name="socket" value="{}"/></include>'
        '<node name="talker" pkg="ua_overlay" type="talker.py"/></launch>\n'.format(tmp_path / 'none'))
    other = free_port()
    robot = launch([str(tmp_path / 'robot.launch')], other, 'robot')
    master = xmlrpc.client.ServerProxy('http://localhost:{}'.format(other))
    wait('The other node of the robot', lambda: answers(master.lookupNode, '/t', '/talker'), START)
    wait('The sentence', lambda: 'This one takes over when that one ends.' in robot.text(), START)
    assert holder(tmp_path).pid == pid
    first.end()
    wait('The second node', lambda: holder(tmp_path) and holder(tmp_path).pid != pid, START)
    wait('Its services', lambda: answers(master.lookupService, '/t', '/ua_overlay/join'), START)
    assert robot.text().count('This one takes over') == 1


def answers(method, *args):
    """Whether a method of a master says yes; False while the master is not there."""
    try:
        return method(*args)[0] == 1
    except OSError:
        return False


@pytest.mark.fault('K9', 'A person asks roslaunch for the arguments of overlay.launch (--ros-args)',
                   behaviour='each one is documented, in any locale', reported='-', recovery='-', lost='nothing')
def test_roslaunch_documents_every_argument(environ):
    done = subprocess.run(['roslaunch', '--ros-args', 'ua_overlay', 'overlay.launch'], env=dict(environ, LC_ALL='C'),
                          stdout=subprocess.PIPE, universal_newlines=True, timeout=60, check=True)
    assert 'team_launch' in done.stdout and 'undocumented' not in done.stdout
