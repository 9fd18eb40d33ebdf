"""The overlay node against a played tailscaled, without a ROS master: its topics when an observer fails or hangs.

In a graph: test/lab/test_ros.py and others.
"""
import socket
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import hostile
import pytest

from ua_overlay.lab.wait import wait

rospy = pytest.importorskip('rospy', reason='ROS is not installed')
overlay = pytest.importorskip('ua_overlay.nodes.overlay', reason='the workspace is not built')

from ua_overlay import msg  # noqa: E402
from ua_overlay.defaults import ADMISSION_MEMORY  # noqa: E402
from ua_overlay.nodes import interface  # noqa: E402
from ua_overlay.rosenv import envfile  # noqa: E402
from ua_overlay.rosenv.names import NameReport  # noqa: E402
from ua_overlay.tags import memory_fact  # noqa: E402
from ua_overlay.tailscale import map_stamp, path_keeper  # noqa: E402
from ua_overlay.tailscale.remembered_team import RememberedTeam  # noqa: E402

#: Seconds for what the node does at once, on a busy machine.
SOON = 20.0


class Topic:
    """A publisher that keeps what was published."""

    def __init__(self):
        self.messages = []

    def publish(self, message):
        self.messages.append(message)

    @property
    def last(self):
        return self.messages[-1] if self.messages else None


class Node:
    """A running overlay node, its topics, and the env file."""

    def __init__(self, tmp_path, monkeypatch):
        parameters = {'~socket': str(tmp_path / hostile.SOCKET), '~state_dir': str(tmp_path), '~team_face': False,
                      '~ca_file': str(tmp_path / 'ca.pem'), '~heartbeat': 0.5, '~server_period': 0.2,
                      '~team_roscore': False}
        monkeypatch.setattr(rospy, 'get_param', lambda name, default=None: parameters.get(name, default))
        monkeypatch.setattr(rospy, 'on_shutdown', lambda hook: None)
        monkeypatch.setattr(interface, 'serve', lambda handle: None)
        self.topics = {name: Topic() for name in interface.TOPICS}
        monkeypatch.setattr(interface, 'advertise', lambda: self.topics)
        (tmp_path / 'run').mkdir()
        monkeypatch.setenv('UA_OVERLAY_RUN_DIR', str(tmp_path / 'run'))
        self.env = tmp_path / 'run' / envfile.FILE_NAME
        self.node = overlay.OverlayNode()
        # This machine resolves no names of the recorded team.
        self.node._keeper._names.check = lambda *args: NameReport(True)
        self.thread = threading.Thread(target=self.node.run, daemon=True)
        self.thread.start()

    def state(self):
        return self.topics['state'].last

    def environment(self):
        return self.topics['ros_environment'].last

    def groups(self):
        last = self.topics['diagnostics'].last
        return {} if last is None else {status.name.split(': ')[-1]: status for status in last.status}

    def stop(self):
        self.node._events.put(None)
        self.thread.join(SOON)


@pytest.fixture
def node(tmp_path, monkeypatch):
    server = hostile.LocalApi(tmp_path, 'it never answers', hostile.RUNNING, ('status', 'prefs'))
    made = Node(tmp_path, monkeypatch)
    wait('The state', lambda: made.state() and made.state().state == msg.OverlayState.RUNNING, SOON)
    wait('The env file', made.env.exists, SOON)
    yield made
    made.stop()
    server.close()
    assert not made.env.exists()


@pytest.mark.fault('K1', 'The thread that probes the server fails unexpectedly',
                   behaviour='its last result is not published any more', reported='at once: topic, diagnostics',
                   recovery='20 s', lost='nothing')
def test_a_probe_that_fails_unexpectedly(node):
    """A certificate that the library cannot parse was such a failure."""
    real = node.node._probe.ask
    wait('A probe', lambda: node.state().server == msg.OverlayState.SERVER_UNTRUSTED, SOON)
    failures = [ValueError('invalid subjectAltName')]

    def ask():
        if failures:
            raise failures.pop()
        return real()

    node.node._probe.ask = ask
    wait('The failure in the topic', lambda: any(
        message.server == msg.OverlayState.SERVER_UNKNOWN and 'subjectAltName' in message.server_text
        for message in node.topics['state'].messages), SOON)
    wait('The next probe', lambda: node.state().server == msg.OverlayState.SERVER_UNTRUSTED, SOON)


@pytest.mark.fault('K1', 'The thread that keeps the ROS environment fails unexpectedly',
                   behaviour='the env file is removed, nodes go on', reported='at once: topic, diagnostics',
                   recovery='20 s', lost='nothing')
def test_an_environment_keeper_that_fails_unexpectedly(node):
    real = node.node._keeper._names.check
    broken = threading.Event()
    broken.set()
    seen = []

    def check(*args):
        if broken.is_set():
            raise RecursionError('odd')
        return real(*args)

    node.node._keeper._names.check = check
    node.node._keeper._checked = (None, 0.0, None)
    wait('The end of the env file', lambda: not node.env.exists(), SOON)
    wait('The failure in the topic', lambda: 'environment failed' in node.environment().why, SOON)
    assert node.environment().state == 'NO_OVERLAY' and node.environment().actual_master_uri == ''
    wait('The failure in the diagnostics', lambda: 'environment failed' in str(node.groups().get('environment')), SOON)
    seen.append(node.groups()['environment'].level)
    broken.clear()
    wait('The env file', node.env.exists, 2 * SOON)
    assert seen == [2]


@pytest.mark.fault('new', 'A thread of the overlay node hangs', behaviour='its last result is not published any more',
                   reported='70 s: topic, diagnostics, log with the place', recovery='with its next report',
                   lost='nothing')
@pytest.mark.parametrize('name', ['tailscale-status', 'server probe', 'environment'])
def test_a_thread_that_hangs(node, monkeypatch, name):
    logged, go_on = [], threading.Event()
    monkeypatch.setattr(rospy, 'logerr', lambda text, *args: logged.append(text % args if args else text))
    limits = node.node._watchdog._limits
    assert limits[name] <= 70.0
    hang = {'tailscale-status': (node.node._watcher, '_ask'), 'server probe': (node.node._probe, 'ask'),
            'environment': (node.node._keeper, 'step')}[name]
    real = getattr(*hang)

    def hangs_here(*args):
        go_on.wait(60)
        return real(*args)

    setattr(hang[0], hang[1], hangs_here)
    limits[name] = 1.0
    wait('The place where it hangs', lambda: any('hangs_here' in text for text in logged), SOON)
    if name == 'tailscale-status':
        wait('An unknown state', lambda: node.state().state == msg.OverlayState.UNKNOWN, SOON)
        assert 'has reported nothing for' in node.state().text
    elif name == 'server probe':
        wait('An unknown server', lambda: 'has reported nothing' in node.state().server_text, SOON)
        assert node.state().server == msg.OverlayState.SERVER_UNKNOWN
    if name != 'server probe':
        wait('The end of the env file', lambda: not node.env.exists(), SOON)
    limits[name] = 60.0
    go_on.set()
    setattr(hang[0], hang[1], real)
    wait('The env file', node.env.exists, SOON)
    wait('The state', lambda: node.state().state == msg.OverlayState.RUNNING, SOON)


def test_the_stamp_of_the_map_follows_the_site_and_ends_with_the_connection(node, monkeypatch, tmp_path):
    """It is renewed while tailscaled is connected, and says when that was last."""
    logged = []
    monkeypatch.setattr(rospy, 'logwarn', lambda text, *args: logged.append(text % args if args else text))
    inner = node.node
    wait('A stamp', lambda: map_stamp.read(str(tmp_path)) is not None, SOON)
    stamp = map_stamp.read(str(tmp_path))
    assert stamp.until - stamp.seen == pytest.approx(ADMISSION_MEMORY, abs=1.0)
    real = inner._watcher._ask

    def change(online, *attributes):
        def ask(api):
            snapshot = real(api)
            own = replace(snapshot.status.self_node, online=online, attributes=attributes)
            return replace(snapshot, status=replace(snapshot.status, self_node=own))
        inner._watcher._ask = ask
        inner._watcher.poke()

    change(True, memory_fact(3000))
    wait('The attribute', lambda: inner._state.snapshot.status.self_node.attributes == (memory_fact(3000),), SOON)
    change(False, memory_fact(3000))
    wait('The topic', lambda: node.state().remembered, SOON)
    stamp = map_stamp.read(str(tmp_path))
    assert stamp.until - stamp.seen == pytest.approx(3000, abs=1.0) and abs(time.time() - stamp.seen) < SOON
    assert node.state().remembered_until.to_sec() == pytest.approx(stamp.until, abs=1.0)
    wait('The log', lambda: any('The server has been away since' in text for text in logged), SOON)
    wait('The counts', lambda: {pair.key for pair in node.groups()['links'].values} >= {
        'path keeper: ' + what for what in path_keeper.COUNTS}, SOON)
    wait('The diagnostics', lambda: 'remembered-team' in str(node.groups().get('server')), SOON)
    change(True)
    wait('The topic', lambda: not node.state().remembered, SOON)
    assert sum('has been away' in text for text in logged) == 1


def test_the_log_says_once_that_the_server_is_away_and_once_that_tailscaled_is_connected_again(monkeypatch):
    logged = []
    for level in ('loginfo', 'logwarn'):
        monkeypatch.setattr(rospy, level, lambda text, *args: logged.append(text % args if args else text))
    team, alone, connected = RememberedTeam(1000.0, 90000.0), *(
        SimpleNamespace(status=SimpleNamespace(running=True, self_node=SimpleNamespace(online=online)))
        for online in (False, True))
    played = SimpleNamespace(_memory='', _state=None)
    # In the third moment the server answers, and tailscaled has not noticed that yet.
    for found, snapshot in ((team, alone), (team, alone), (None, alone), (None, connected), (None, connected)):
        played._state = SimpleNamespace(remembered_team=found, snapshot=snapshot)
        overlay.OverlayNode._notice_memory(played, 2000.0)
    assert logged == [team.sentences(2000.0), 'The server is back; the team is the one that it sends.']


def test_a_service_call_that_fails_is_answered_at_once(node):
    """The mirror in the team graph would wait for two minutes."""
    failed = interface.MirrorServer(lambda name, request: 1 / 0)
    mirror = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mirror.connect('\0' + failed.address)
    mirror.settimeout(SOON)
    began = time.monotonic()
    mirror.send(interface.pack('leave', interface.SERVICES['leave']._request_class(), 7))
    number, name, content = interface.unpack(mirror.recv(interface.PACKET))
    assert (number, name) == (7, interface.FAILED) and b'ZeroDivisionError' in content
    assert time.monotonic() - began < SOON
    mirror.send(b'')  # the end of a mirror
    mirror.close()
