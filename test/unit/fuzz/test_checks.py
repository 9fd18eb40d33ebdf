"""Whatever a master, a node, the kernel or tailscaled says, the checks judge it: findings, and no exception."""
import contextlib
import http.server
import socket
import time
import xmlrpc.client
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import serving

from ua_overlay.checks import table
from ua_overlay.checks.facts import (
    Attempt,
    Callback,
    ClockOffset,
    Disk,
    Graph,
    Holder,
    Packets,
    RosProcess,
    Route,
)
from ua_overlay.checks.hosts import host_of, port_of
from ua_overlay.checks.observe import packets, processes
from ua_overlay.checks.observe.callback import ask_callback
from ua_overlay.checks.observe.master import launched_with_master, observe_graph, registered_nodes
from ua_overlay.checks.observe.neighbours import observe_neighbours
from ua_overlay.checks.observe.observer import Observer
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.printable import printable
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.master import ERRORS
from ua_overlay.system import procnet
from ua_overlay.system.duties import STATES, Daemon, Duty
from ua_overlay.tailscale.localapi import LocalApi
from unit.checks.healthy import FACTS, GRAPH, MATE

TEXTS = st.text(max_size=30) | st.sampled_from(['', '\x1b[2J', '/talker', 'a\nb', '²', 'http://[', '日本'])
URIS = TEXTS | st.builds('http://{}:{}/'.format, TEXTS, TEXTS | st.integers().map(str))
VARIABLES = st.dictionaries(st.sampled_from(['ROS_MASTER_URI', 'ROS_IP', 'ROS_HOSTNAME']), URIS, max_size=3)
PIDS = st.integers(0, 2 ** 22)
PROCESSES = st.builds(RosProcess, PIDS, TEXTS, VARIABLES, TEXTS, st.lists(TEXTS, max_size=3).map(tuple), PIDS)
DISKS = st.builds(Disk, TEXTS, st.integers(0, 9))
DAEMONS = st.builds(Daemon, PIDS, TEXTS, st.none() | st.lists(st.builds(
    Duty, TEXTS, st.sampled_from(STATES), st.floats(0, 1e10), TEXTS), max_size=3).map(tuple))
FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@given(st.lists(st.tuples(TEXTS, URIS), max_size=4).map(tuple), st.none() | st.lists(TEXTS, max_size=3).map(tuple),
       st.lists(PROCESSES, max_size=3).map(tuple), VARIABLES,
       st.lists(st.builds(ClockOffset, TEXTS, FLOATS, FLOATS), max_size=2).map(tuple),
       st.none() | st.builds(Holder, st.integers(1, 65535), TEXTS, st.integers(0, 9), TEXTS, TEXTS))
def test_what_nodes_and_processes_say(nodes, launched, running, shell, clocks, holder):
    graph = Graph(GRAPH.uri, True, nodes=nodes, launched=launched, callback=Callback(None, None, 'x'))
    lines(replace(FACTS, graph=graph, processes=running, shell=shell, actual=shell, clocks=clocks, team_holder=holder,
                  local_holder=holder, desired=replace(FACTS.desired, master=FACTS.desired.robot)))


@given(st.lists(TEXTS | st.text(max_size=400), max_size=4).map(tuple), st.lists(st.builds(
    Attempt, TEXTS, st.integers(1, 65535), TEXTS, TEXTS, st.none() | st.booleans()), max_size=3).map(tuple),
    st.lists(st.builds(Packets, TEXTS, st.booleans(), st.booleans(), st.none() | st.integers(0, 1280)), max_size=3
             ).map(tuple), st.lists(st.builds(Route, TEXTS, st.integers(0, 65535)), max_size=3).map(tuple),
    st.lists(st.tuples(TEXTS, st.booleans()), max_size=3).map(tuple), st.lists(DISKS, max_size=2).map(tuple), DAEMONS)
def test_what_tailscaled_and_the_kernel_say(health, attempts, sizes, routes, reached, disks, agent):
    lines(replace(FACTS, status=replace(FACTS.status, health=health), attempts=attempts, packets=sizes, routes=routes,
                  reached=reached, disks=disks, agent=agent))


def lines(facts):
    """Every check judges; what comes from the daemon is printable."""
    for finding in table.run_checks(facts):
        assert finding.level in ('OK', 'UNKNOWN', 'WARN', 'ERROR') and finding.what
        assert finding.id != 'health' or is_shown(finding.what)


def is_shown(text):
    """Whether a terminal shows every character of a text as itself."""
    return printable(text, 10000) == text


@given(URIS | st.text())
def test_addresses_in_foreign_uris(uri):
    assert isinstance(host_of(uri), str) and 0 <= port_of(uri) < 65536


@given(st.text() | TEXTS)
def test_endpoints(text):
    assert isinstance(packets.endpoint_host(text), str)


@given(st.lists(st.text(max_size=20), max_size=5))
def test_command_lines_of_other_programs(words):
    assert is_shown(processes.process_name(words)) and isinstance(processes.state_path(words), str)


@given(st.binary(max_size=300))
def test_processes_of_any_content(tmp_path_factory, data):
    proc = tmp_path_factory.mktemp('proc')
    (proc / '7').mkdir()
    for name in ('cmdline', 'environ', 'cgroup', 'stat'):
        (proc / '7' / name).write_bytes(data)
    (proc / '7' / 'fd').mkdir()
    (proc / '7' / 'fd' / '3').symlink_to('socket:[77]')
    sockets = [procnet.Socket('0.0.0.0', 11312, '0.0.0.0', 0, procnet.LISTEN, 0, 77, 0)]
    assert is_shown(processes.holder_of(11312, sockets, str(proc)).command)
    processes.daemon_state(str(proc))
    for node in processes.ros_processes(sockets, str(proc)):
        assert all(map(is_shown, node.variables.values())) and is_shown(node.unit)


# -- masters

def answering(body):
    """The URI of an HTTP server that answers every POST with ``body``: bytes, or a function that returns them."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            # A server that closes a connection with unread bytes resets it, perhaps before its answer is read.
            self.rfile.read(int(self.headers['Content-Length']))
            data = body() if callable(body) else body
            self.send_response(200)
            self.send_header('Content-Type', 'text/xml')
            self.send_header('Content-Length', str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data)

        def log_message(self, *_):
            """Quiet."""

    return serving(http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler))


VALUES = st.recursive(st.none() | st.booleans() | st.integers(-2 ** 31, 2 ** 31 - 1) | st.floats() | TEXTS.filter(
    lambda text: all(character >= ' ' for character in text)) | st.binary(max_size=5), lambda inner: st.lists(
        inner, max_size=4) | st.dictionaries(st.sampled_from(['a', 'b']), inner, max_size=2), max_leaves=12)
ANSWERS = VALUES | st.tuples(st.sampled_from([1, 0, -1, True]), VALUES, VALUES).map(list)


@settings(max_examples=60)
@given(ANSWERS)
def test_a_master_that_answers_anything(value):
    body = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True).encode('utf-8')
    with answering(body) as uri:
        ask(uri)


@settings(max_examples=20)
@given(st.binary(max_size=300))
def test_a_master_that_answers_no_xml(body):
    with answering(body) as uri:
        ask(uri)


def ask(uri):
    """Every question to a master: a value or one of ERRORS."""
    for question in (registered_nodes, launched_with_master):
        try:
            found = question(uri, 5.0)
        except ERRORS:
            continue
        assert found is None or isinstance(found, tuple)
    graph = observe_graph(uri, Questions(), 5.0)
    assert isinstance(graph.alive, bool)
    assert isinstance(ask_callback(uri, '127.0.0.1', '', 0.05), Callback)
    observe_neighbours([replace(MATE, addresses=('127.0.0.1',))], graph, Questions(), 0.1)


class PlayedApi:
    """A tailscaled whose robot is in team iris with a master, of which the names resolve nowhere."""

    def status(self, peers=True):
        return {'BackendState': 'Running', 'HaveNodeKey': True, 'Self': {
            'DNSName': 'dev-2.overlay.internal.', 'Online': True, 'Tags': ['tag:iris'], 'TailscaleIPs': ['127.0.0.1']},
            'Peer': {str(number): {'DNSName': 'dev-{}.overlay.internal.'.format(number), 'Online': True, 'Tags': [
                'tag:iris'] + ['tag:ros-master'] * (number == 3), 'TailscaleIPs': ['127.0.0.1'], 'InNetworkMap': True,
                'HostName': 'x', 'PublicKey': 'nodekey:{}'.format(number)} for number in range(3, 23)}}

    def _silent(self, *_, **__):
        time.sleep(60)

    prefs = whois = derp_map = ping = _silent


@pytest.mark.fault('K1', 'Nothing that doctor asks answers: tailscaled, server, master, 20 robots',
                   behaviour='it ends, and says what it knows', reported='10 s: doctor', recovery='-', lost='nothing')
def test_the_observer_ends_when_nothing_answers(tmp_path):
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(silent_port())
        settings = {'team': 'iris', 'team_port': int(uri.rpartition(':')[2]), 'addressing': 'addresses'}
        began = time.monotonic()
        facts = Observer(PlayedApi(), settings, str(tmp_path / 'ca.pem'),
                         locate=lambda: envfile.Location(str(tmp_path), True)).observe()
        assert time.monotonic() - began < 10
    findings = table.run_checks(facts)
    assert 'login' in {finding.id for finding in findings}


@contextlib.contextmanager
def silent_port():
    """The URI of a port that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(100)
        yield 'http://127.0.0.1:{}'.format(listener.getsockname()[1])


def test_the_observer_ends_when_tailscaled_hangs(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        path = str(tmp_path / 's')
        listener.bind(path)
        listener.listen(10)
        began = time.monotonic()
        facts = Observer(LocalApi(path, timeout=2.0), locate=lambda: envfile.Location(str(tmp_path), True)).observe()
        assert time.monotonic() - began < 10 and facts.daemon_problem is not None
