"""lab.emulator: one direction of a link with a fake clock and fake random numbers, and its loop on real sockets."""
import os
import random
import socket
import threading

import pytest

from ua_overlay.lab.emulator import BATCH, WIRE, Direction, run
from ua_overlay.lab.shape import Shape


class Chance:
    """Returns the given numbers."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self):
        return self.numbers.pop(0)

    def uniform(self, low, high):
        return low + (high - low) * self.numbers.pop(0)


def test_a_plain_link_forwards_at_once():
    way = Direction(Shape(), Chance())
    assert way.next_due() is None and way.due(5.0) == []
    way.put(b'a', 5.0)
    way.put(b'b', 5.0)
    assert way.next_due() == 5.0 and way.due(5.0) == [b'a', b'b'] and way.due(9.0) == []


def test_delay():
    way = Direction(Shape(delay=0.01), Chance())
    way.put(b'a', 1.0)
    way.put(b'b', 1.004)
    assert way.due(1.0099) == [] and way.next_due() == pytest.approx(1.01)
    assert way.due(1.01) == [b'a'] and way.due(1.0141) == [b'b']


def test_jitter_keeps_the_order():
    way = Direction(Shape(delay=0.01, jitter=0.004), Chance(1.0, 0.0, 0.5))
    for number, packet in enumerate((b'a', b'b', b'c')):
        way.put(packet, number * 0.001)
    # 14 ms, then 7 ms, which waits for the one ahead, then 12 ms, which does as well.
    assert way.due(0.0139) == [] and way.due(0.0140001) == [b'a', b'b', b'c']


def test_the_rate_counts_bytes_on_the_wire():
    way = Direction(Shape(rate=1e6), Chance())
    packet = bytes(1000 - WIRE)
    for _ in range(3):
        way.put(packet, 2.0)
    assert [way.next_due() for _ in way.due(2.008)] == [pytest.approx(2.016)]
    assert len(way.due(2.0241)) == 2
    # An idle link has no backlog.
    way.put(packet, 3.0)
    assert way.next_due() == pytest.approx(3.008)


def test_a_full_queue_drops_new_packets():
    way = Direction(Shape(rate=1e6, queue=0.02), Chance())
    for _ in range(10):
        way.put(bytes(1000 - WIRE), 0.0)
    # The first goes out; two and a half more wait 20 ms: later packets are dropped.
    assert way.counts['passed'] == 3 and way.counts['dropped'] == 7


def test_loss_and_reordering():
    way = Direction(Shape(delay=0.01, loss=0.5, reorder=0.5), Chance(0.9, 0.9, 0.1, 0.9, 0.2))
    for packet in (b'a', b'lost', b'c'):
        way.put(packet, 1.0)
    assert way.due(1.0) == [b'c'] and way.due(1.01) == [b'a']
    assert way.counts == {'passed': 2, 'lost': 1, 'dropped': 0, 'overtook': 1}


def test_the_loss_rate_matches_the_setting():
    way = Direction(Shape(loss=0.02), random.Random(7))
    for _ in range(20000):
        way.put(b'x', 0.0)
    assert 300 < way.counts['lost'] < 500 and way.counts['lost'] + way.counts['passed'] == 20000


def test_the_loop_forwards_both_directions_until_stopped():
    """Datagram sockets stand for the TAP devices: one packet a read. The kernel's devices are in test/lab."""
    near, inner = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    far, outer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    reading, writing = os.pipe()
    for end in (inner, outer):
        end.setblocking(False)
    directions = (Direction(Shape(delay=0.005), random.Random(1)), Direction(Shape(), random.Random(1)))
    thread = threading.Thread(target=run, args=(inner.fileno(), outer.fileno(), directions, reading, lambda: True))
    thread.start()
    sent = [bytes([number]) * 10 for number in range(min(BATCH, 8))]
    for packet in sent:
        near.send(packet)
    far.settimeout(10)
    near.settimeout(10)
    assert [far.recv(100) for _ in sent] == sent
    far.send(b'back')
    assert near.recv(100) == b'back'
    os.write(writing, b'.')
    thread.join(10)
    assert not thread.is_alive()
    for end in (near, inner, far, outer):
        end.close()
    for end in (reading, writing):
        os.close(end)
