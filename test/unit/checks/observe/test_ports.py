"""Connecting to the ports of team mates."""
import socket
from dataclasses import replace

from ua_overlay.checks.facts import DROPPED, EPHEMERAL, NODE, OPEN, REFUSED, TEAM, Attempt, Graph
from ua_overlay.checks.observe import ports
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.tailscale.model import PingResult
from unit.checks.healthy import GRAPH, MASTER, MATE, URI


def test_a_real_connection():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        port = server.getsockname()[1]
        assert ports.connect('127.0.0.1', port, 5) == 'REFUSED'
        server.listen(1)
        assert ports.connect('127.0.0.1', port, 5) == 'OPEN'


def test_a_black_hole_and_a_missing_route(monkeypatch):
    def fail(error):
        def raise_it(address, timeout):
            raise error
        monkeypatch.setattr(ports.socket, 'create_connection', raise_it)
        return ports.connect('192.0.2.1', 1, 0.1)
    assert fail(socket.timeout()) == 'DROPPED'
    assert fail(OSError(113, 'No route to host')) == fail(OSError(101, 'unreachable')) == 'NO_ROUTE'


def test_selected_ports():
    """An ephemeral one always, one of a node that runs there, and the team port of the master."""
    assert ports.ports_of(MATE, None, 'dev-1', 11312) == {ports.EPHEMERAL_PORT: EPHEMERAL}
    assert ports.ports_of(MASTER, GRAPH, 'dev-1', 11312) == {
        ports.EPHEMERAL_PORT: EPHEMERAL, 40001: NODE, 11312: TEAM}
    nodes = (('/gone', ''), ('/far', 'http://dev-9.overlay.internal:40009/'), ('/near', 'http://100.64.0.3:40003/'))
    assert ports.ports_of(MATE, replace(GRAPH, nodes=nodes), 'dev-1', 11312)[40003] == NODE
    assert ports.ports_of(MATE, Graph(URI, False), 'dev-1', 11312) == {ports.EPHEMERAL_PORT: EPHEMERAL}


class PlayedApi:
    """Only dev-3 answers a ping."""

    def ping(self, address, timeout):
        return PingResult(error='no matching peer' if address == '100.64.0.1' else '')


def test_only_silent_robots_are_pinged(monkeypatch):
    monkeypatch.setattr(ports, 'connect', lambda address, port, timeout: {
        ('100.64.0.1', 11312): OPEN, ('100.64.0.1', ports.EPHEMERAL_PORT): REFUSED}.get((address, port), DROPPED))
    attempts = ports.observe_ports(PlayedApi(), [MASTER, MATE], None, 'dev-1', 11312, Questions(), 0.1)
    assert attempts == (
        Attempt('dev-1', 11312, TEAM, OPEN, None), Attempt('dev-1', ports.EPHEMERAL_PORT, EPHEMERAL, REFUSED, None),
        Attempt('dev-3', ports.EPHEMERAL_PORT, EPHEMERAL, DROPPED, True))


def test_a_robot_that_does_not_answer_pings(monkeypatch):
    monkeypatch.setattr(ports, 'connect', lambda address, port, timeout: DROPPED)
    attempts = ports.observe_ports(PlayedApi(), [MASTER], None, '', 11312, Questions(), 0.1)
    assert [item.ping for item in attempts] == [False]
