"""Clocks and connections of the team's robots: real datagrams and connections on loopback."""
import contextlib
import socket
import threading
import time
from dataclasses import replace

import pytest

from ua_overlay.checks.facts import Graph
from ua_overlay.checks.observe import neighbours
from ua_overlay.checks.observe.neighbours import Neighbours, observe_neighbours
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.system.reflector import Reflector
from unit.checks.healthy import MASTER, MATE, URI
from unit.checks.observe.test_master import answering

HERE = replace(MATE, addresses=('127.0.0.1',))


@contextlib.contextmanager
def robot(ahead=0.0):
    """The reflector of a robot on loopback; its graph entry."""
    reflector = Reflector('127.0.0.1', 0, now=lambda: time.time() + ahead)
    thread = threading.Thread(target=reflector.run)
    thread.start()
    try:
        yield (('/dev_3/overlay', 'http://dev-3.overlay.internal:{}/'.format(reflector.port)),)
    finally:
        reflector.close()
        thread.join()


def test_a_robot_with_another_clock_that_connects_back():
    with robot(0.5) as nodes:
        found = observe_neighbours([HERE], Graph(URI, True, nodes=nodes), Questions(), 2.0)
    assert found.reached == (('dev-3', True),)
    offset, = found.clocks
    assert offset.peer == 'dev-3' and abs(offset.offset - 0.5) < 0.1 and offset.error < 0.1


@pytest.mark.fault('K7', 'New connections to a robot are dropped while an old one lives',
                   behaviour='doctor has a robot connect anew, and says that it did not arrive',
                   reported='at once: doctor', recovery='-', lost='new connections')
def test_a_robot_whose_connection_is_dropped(monkeypatch):
    """Its datagram gets through, its connection does not: an older connection would prove nothing."""
    monkeypatch.setattr(Reflector, '_connect_back', lambda self, address, port: None)
    with robot() as nodes:
        began = time.monotonic()
        found = observe_neighbours([HERE], Graph(URI, True, nodes=nodes), Questions(), 0.6)
        assert time.monotonic() - began < 2
    assert found.reached == (('dev-3', False),) and len(found.clocks) == 1


def test_a_connection_of_another_machine_does_not_count(monkeypatch):
    def connect(self, address, port):
        socket.create_connection(('127.0.0.1', port), 2, ('127.0.0.2', 0)).close()
    monkeypatch.setattr(Reflector, '_connect_back', connect)
    with robot() as nodes:
        found = observe_neighbours([HERE], Graph(URI, True, nodes=nodes), Questions(), 0.6)
    assert found.reached == (('dev-3', False),)


def test_robots_without_an_overlay_node_and_silent_ones():
    assert observe_neighbours([MASTER, HERE], Graph(URI, True, nodes=()), Questions(), 1.0) == Neighbours((), ())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(('127.0.0.1', 0))
        nodes = (('/dev_3/overlay', 'http://x:{}/'.format(silent.getsockname()[1])),)
        assert observe_neighbours([HERE], Graph(URI, True, nodes=nodes), Questions(), 0.4) == Neighbours((), ())


def test_the_clock_of_one_robot():
    def look_up(caller, name):
        return [1, '', dict(nodes)[name]] if name in dict(nodes) else [-1, 'unknown', '']

    with robot(-0.2) as nodes:
        with answering(lookupNode=look_up) as uri:
            offset = neighbours.clock_of(uri, HERE, 2.0)
            assert abs(offset.offset + 0.2) < 0.1
            with pytest.raises(ValueError):
                neighbours.clock_of(uri, MASTER, 2.0)
