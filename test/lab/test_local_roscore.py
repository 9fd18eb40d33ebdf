"""The overlay node in the graph of the robot's own roscore, on loopback: that roscore is killed and starts anew."""
import contextlib
import os
import shutil
import signal
import subprocess
import xmlrpc.client

import pytest
from places import INSTALL
from test_team_roscore import free_port

from ua_overlay.lab.timeouts import START
from ua_overlay.lab.wait import wait
from ua_overlay.rosenv.master import MasterProbe

pytestmark = pytest.mark.skipif(shutil.which('roscore') is None, reason='roscore is not on the PATH')
NODE = '/ua_overlay'
TOPICS = {NODE + '/' + name for name in ('state', 'peers', 'links', 'ros_environment', 'team_runner')}
SERVICES = {NODE + '/' + name for name in ('join', 'leave', 'probe')}
#: Seconds: the node's check every 5 s (nodes/registration.py: PERIOD), and the registrations.
BACK = 15


@contextlib.contextmanager
def program(*argv, environ):
    """A program and its children, until the end of the block."""
    process = subprocess.Popen(argv, env=environ, start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        # roslaunch gives each of its children a session of its own, and ends them at SIGINT.
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        process.wait(START)


class Graph:
    """What a roscore knows of the overlay node."""

    def __init__(self, uri):
        self.uri = uri

    def ask(self, method, *arguments):
        with xmlrpc.client.ServerProxy(self.uri) as master:
            return getattr(master, method)('/test', *arguments)[2]

    def topics(self):
        published, _, _ = self.ask('getSystemState')
        return {name for name, nodes in published if NODE in nodes}

    def services(self):
        _, _, offered = self.ask('getSystemState')
        return {name for name, nodes in offered if NODE in nodes}

    def has_the_node(self):
        return self.topics() >= TOPICS and self.services() >= SERVICES


@pytest.mark.fault('case 4', "The robot's own roscore is killed and starts anew",
                   behaviour='The overlay node registers again, with its parameters; nodes of the team go on',
                   reported='5 s: log', recovery='15 s', lost='nothing')
def test_the_node_comes_back_into_the_graph_of_a_new_roscore(tmp_path, install):
    uri = 'http://localhost:{}'.format(free_port())
    environ = dict(os.environ, ROS_MASTER_URI=uri, ROS_HOSTNAME='localhost', ROS_LOG_DIR=str(tmp_path / 'log'),
                   ROS_HOME=str(tmp_path), UA_OVERLAY_RUN_DIR=str(tmp_path))
    environ.pop('ROS_IP', None)
    graph, port = Graph(uri), uri.split(':')[-1]
    with contextlib.ExitStack() as until:
        first = until.enter_context(program('roscore', '-p', port, environ=environ))
        run_id = wait('The roscore', lambda: MasterProbe()(uri).run_id, START)
        graph.ask('setParam', NODE, {'socket': str(tmp_path / 'none.sock'), 'state_dir': str(tmp_path),
                                     'team_face': False, 'heartbeat': 0.5, 'extra': {'deep': [1, 'two']}})
        node = until.enter_context(program(os.path.join(INSTALL, 'lib', 'ua_overlay', 'overlay'),
                                           '__name:=' + NODE[1:], environ=environ))
        wait('The node', graph.has_the_node, START)
        before = graph.ask('getParam', NODE)
        os.kill(graph.ask('getPid'), signal.SIGKILL)  # rosmaster; its roscore then ends
        first.wait(START)
        until.enter_context(program('roscore', '-p', port, environ=environ))
        assert wait('The new roscore', lambda: MasterProbe()(uri).run_id, START) != run_id
        # Somebody sets one of its parameters anew meanwhile: that stays.
        graph.ask('setParam', NODE + '/heartbeat', 7.0)
        wait('The node in the new graph', graph.has_the_node, BACK)
        assert graph.ask('getParam', NODE) == dict(before, heartbeat=7.0)
        assert node.poll() is None
        # A new subscriber gets the latched message, and a service answers.
        shown = subprocess.run(['rostopic', 'echo', '-n', '1', NODE + '/state/state'], env=environ, timeout=60,
                               stdout=subprocess.PIPE, universal_newlines=True)
        assert shown.stdout.split()[0] == '1'  # NO_DAEMON
        answer = subprocess.run(['rosservice', 'call', NODE + '/leave', '{forget: false}'], env=environ, timeout=60,
                                stdout=subprocess.PIPE, universal_newlines=True)
        assert 'No tailscaled answers' in answer.stdout
        assert NODE in subprocess.run(['rosnode', 'list'], env=environ, timeout=60, stdout=subprocess.PIPE,
                                      universal_newlines=True).stdout.split()
