"""The team host and the overlay node's end of it, with real processes: one run at a time, and nothing left behind."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from paths import ROOT

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import hosted, team_host
from ua_overlay.rosenv.graph import Graph
from ua_overlay.rosenv.runner import TeamRunner
from ua_overlay.system import process, subreaper
from ua_overlay.system.leftovers import RUN
from ua_overlay.system.supervised import RUNNING, STOPPED, WAITING
from unit.rosenv.programs import GRAPH, VARIABLES

SRC = os.path.join(ROOT, 'src')
#: Like roslaunch: it starts a node in a session of its own; the node holds a lock, and says so when another has it.
ROSLAUNCH = '''#!/usr/bin/python3
import os, subprocess, sys
here = os.path.dirname(os.path.abspath(__file__))
node = """
import fcntl, os, sys, time
lock = open(sys.argv[1] + '/lock', 'w')
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    open(sys.argv[1] + '/twice', 'w')
open(sys.argv[1] + '/new', 'w').write('{} {}'.format(os.getpid(), os.environ['ROS_MASTER_URI']))
os.rename(sys.argv[1] + '/new', sys.argv[1] + '/node')
time.sleep(600)
"""
# Without our marks, as sudo or `env -i` start a program.
kept = {key: os.environ[key] for key in ('PATH', 'ROS_MASTER_URI')}
sys.exit(subprocess.Popen([sys.executable, '-c', node, here], start_new_session=True, env=kept).wait())
'''


class Robot:
    def __init__(self, directory):
        self.directory, self.host = directory, None
        self.path = str(directory / 'socket')
        (directory / 'roslaunch').write_text(ROSLAUNCH)
        (directory / 'roslaunch').chmod(0o755)
        self.start()

    def start(self, launch='arm/t.launch'):
        environ = dict(os.environ, PATH='{}:{}'.format(self.directory, os.environ['PATH']), PYTHONPATH=SRC,
                       ROS_MASTER_URI='http://localhost:11311', ROS_NAMESPACE='/x')
        self.host = subprocess.Popen([sys.executable, '-m', 'ua_overlay.rosenv.team_host', self.path,
                                      'team_launch:=' + launch, 'config:=/nonexistent', 'heartbeat:=3.0'], env=environ)
        until(lambda: os.path.exists(self.path))

    def runner(self):
        return TeamRunner(('arm', 't.launch'), environ=dict(os.environ, **VARIABLES), popen=hosted.popen_in(self.path),
                          which=lambda name: '/opt/' + name)

    def node(self, other_than=0):
        """The process id of a node that runs."""
        def found():
            path = self.directory / 'node'
            pid = int(path.read_text().split()[0]) if path.exists() else 0
            return pid if pid not in (0, other_than) and alive(pid) else None
        return until(found)

    def end(self):
        if self.host.poll() is None:
            for pid in subreaper.descendants(self.host.pid, subreaper.parents(process.list_pids())):
                os.kill(pid, signal.SIGKILL)
            self.host.kill()
        self.host.wait()
        assert not (self.directory / 'twice').exists()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid):
    return bool(subreaper.parents([pid]))


@pytest.fixture
def robot(tmp_path):
    made = Robot(tmp_path)
    yield made
    made.end()


def test_a_run_lasts_as_long_as_its_node_wants_it(robot):
    runner = robot.runner()
    runner.follow(GRAPH)
    node = robot.node()
    assert (robot.directory / 'node').read_text().split()[1] == VARIABLES['ROS_MASTER_URI']
    assert runner.step() == RUNNING and runner.running.graph == GRAPH
    # Another roscore: the old nodes end first.
    runner.follow(Graph(GRAPH.variables, 'b'))
    until(lambda: runner.step() == RUNNING and runner.starts == 2)
    second = robot.node(other_than=node)
    assert not alive(node)
    assert runner.stop() and runner.state == STOPPED and not alive(second)


@pytest.mark.fault('K8', 'kill -9 of the overlay node, the minder or the roslaunch under the boot service',
                   behaviour='the nodes of the team run once, never twice', reported='5 s: team_runner',
                   recovery='15 s', lost='what the nodes held in memory')
@pytest.mark.parametrize('victims', [('minder',), ('launcher',), ('minder', 'launcher'), ('overlay node',),
                                     ('overlay node', 'minder'), ('overlay node', 'minder', 'launcher')],
                         ids=' and '.join)
def test_whatever_is_killed_a_node_never_runs_twice(robot, victims):
    runner = robot.runner()
    runner.follow(GRAPH)
    node = robot.node()
    parents = subreaper.parents(process.list_pids())
    minder, = [pid for pid, parent in parents.items() if parent == robot.host.pid]
    launcher, = [pid for pid, parent in parents.items() if parent == minder]
    for name, pid in (('minder', minder), ('launcher', launcher)):
        if name in victims:
            os.kill(pid, signal.SIGKILL)
    if 'overlay node' in victims:
        runner._process._connection.close()  # as the kernel does
        runner = robot.runner()
        runner.follow(GRAPH)

    def again():
        runner.step()
        path = robot.directory / 'node'
        pid = int(path.read_text().split()[0])
        return pid if pid != node and alive(pid) else None

    after = until(again)
    assert not alive(node)
    assert runner.stop() and not alive(after)


def test_a_host_that_is_killed_is_reported_and_the_next_one_is_used(robot):
    runner = robot.runner()
    runner.follow(GRAPH)
    node = robot.node()
    robot.end()  # with all that is below it, as systemd does
    until(lambda: runner.step() == WAITING)
    assert runner.why == "The team's launch file arm/t.launch ended with status 1: The service ua-overlay-team ended."
    os.unlink(robot.path)
    until(lambda: 'cannot start' in (runner.step(), runner.why)[1])
    robot.start()
    until(lambda: runner.step() == RUNNING)
    assert robot.node(other_than=node) and runner.stop()


def test_the_last_lines_of_a_launch_file_that_fails(robot):
    (robot.directory / 'roslaunch').write_text('#!/bin/sh\necho RLException: broken.launch; exit 4\n')
    (robot.directory / 'roslaunch').chmod(0o755)
    runner = robot.runner()
    runner.follow(GRAPH)
    until(lambda: runner.step() == WAITING)
    assert runner.why == "The team's launch file arm/t.launch ended with status 4: RLException: broken.launch."
    assert runner.stop()


@pytest.mark.parametrize('request_text', [
    b'', b'\n', b'x\n', b'[]\n', b'{"variables": {}, "run": "a"}\n',
    b'{"variables": {"ROS_MASTER_URI": 3}, "run": "a"}\n',
    b'{"variables": {"PATH": "/evil"}, "run": "a"}\n', b'[' * 60000 + b'\n',
    json.dumps({'variables': VARIABLES, 'run': '../x'}).encode() + b'\n',
    json.dumps({'variables': dict(VARIABLES, LD_PRELOAD='/x'), 'run': 'a'}).encode() + b'\n',
    json.dumps({'variables': VARIABLES, 'run': 'a', 'words': ['x']}).encode() + b'\n', b'x' * 100000])
def test_a_request_can_choose_the_graph_and_nothing_else(robot, request_text):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(robot.path)
        try:
            client.sendall(request_text)
            client.shutdown(socket.SHUT_WR)
            answer = client.recv(4096)
        except ConnectionError:
            answer = b''  # it is too long to be read
    assert answer == b'' or json.loads(answer.decode())['status'] == 1
    assert robot.host.poll() is None and not (robot.directory / 'node').exists()


def test_the_environment_of_a_run_is_the_host_s_in_the_team_graph():
    request = team_host.parse_request(json.dumps({'variables': VARIABLES, 'run': 'ab12'}))
    environ = team_host.run_environ(request, {'PATH': '/bin', 'ROS_MASTER_URI': 'http://localhost:11311',
                                              'ROS_NAMESPACE': '/x', 'ROBOT_TYPE': 'arm'}, '7:8')
    assert {key: environ[key] for key in VARIABLES} == VARIABLES and environ['ROBOT_TYPE'] == 'arm'
    assert (environ[RUN], environ['UA_OVERLAY_OWNER']) == ('ab12', '7:8') and 'ROS_NAMESPACE' not in environ


def test_arguments_of_overlay_launch(tmp_path):
    (tmp_path / 'robot.yaml').write_text('team_launch: arm/t.launch rate:=5\n')
    config = 'config:={}/robot.yaml'.format(tmp_path)
    assert team_host.parse_arguments((config,)) == ('arm', 't.launch', 'rate:=5')
    assert team_host.parse_arguments((config, 'team_launch:=a/b.launch x:=1', 'y:=2')) == ('a', 'b.launch', 'x:=1')
    with pytest.raises(OverlayError):
        team_host.parse_arguments(('team_launch:=nonsense',))


def test_the_socket_is_this_user_s_alone(tmp_path):
    with team_host.listen(str(tmp_path / 'socket')):
        assert os.stat(str(tmp_path / 'socket')).st_mode & 0o777 == 0o600
    team_host.listen(str(tmp_path / 'socket')).close()  # that of a killed host is replaced
