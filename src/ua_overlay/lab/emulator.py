"""A link in user space: two TAP devices and, between them, what the link does to packets.

It works where a kernel has no netem. It is a program of its own in the network of the host whose bridge the link hangs
on: `program('emulator', PARAMETERS, INNER, OUTER)`, with the names of two TAP devices that it makes and that go with
it, and a JSON file of shape.Shape's numbers that SIGHUP makes it read again. Imports nothing heavy and needs no site
packages.

What it costs packets by itself is measured by `ua-overlay lab link measure`.
"""
import fcntl
import json
import os
import random
import select
import signal
import struct
import sys
import time
from collections import deque

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
#: Preamble, checksum and gap of an Ethernet frame: on the wire, and not in what a TAP device hands over.
WIRE = 24
FRAME = 65536
#: Packets taken from one device before the other has a turn.
BATCH = 64
#: Seconds within which packets on a busy link are taken and given together, as by the interrupts of a network card: on
#: a small machine one wakeup a packet costs more than all that is done with it. Each is early or late by half of it at
#: most; one that travels alone is on time.
TICK = 0.00025


class Direction:
    """Packets in one direction. Driven by :meth:`put` and :meth:`due`; no clock and no device of its own.

    :param shape: anything with the numbers of shape.Shape.
    :param chance: random.Random.
    """

    def __init__(self, shape, chance):
        self.shape = shape
        self._chance = chance
        self._waiting = deque()
        self._free = 0.0
        self._last = 0.0
        self.counts = {'passed': 0, 'lost': 0, 'dropped': 0, 'overtook': 0}

    def put(self, packet, now):
        """Take a packet (bytes) at ``now`` (monotonic seconds)."""
        shape = self.shape
        if shape.loss and self._chance.random() < shape.loss:
            self.counts['lost'] += 1
            return
        sent = now
        if shape.rate:
            begins = max(now, self._free)
            if begins - now > shape.queue:
                self.counts['dropped'] += 1
                return
            sent = self._free = begins + (len(packet) + WIRE) * 8 / shape.rate
        self.counts['passed'] += 1
        if shape.reorder and self._chance.random() < shape.reorder:
            self.counts['overtook'] += 1
            self._waiting.appendleft((now, packet))
            return
        late = shape.delay + (self._chance.uniform(-shape.jitter, shape.jitter) if shape.jitter else 0.0)
        # Never before the one ahead: jitter alone changes no order.
        self._last = max(sent + late, self._last)
        self._waiting.append((self._last, packet))

    def due(self, now):
        """The packets whose time has come, in their order, as a list of bytes."""
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            found.append(self._waiting.popleft()[1])
        return found

    def next_due(self):
        """Monotonic seconds at which the next packet is due; None when there is none."""
        return self._waiting[0][0] if self._waiting else None


def open_tap(name):
    """Make a TAP device, which goes with the returned descriptor.

    :raises OSError: no root, no TUN, or the name is taken.
    """
    handle = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_shape(path):
    """The numbers in a parameter file, as an object; `seed` is for repeatable chance."""
    with open(path) as stream:
        return type('Numbers', (), json.load(stream))


def run(inner, outer, directions, wake, on_wake, clock=time.monotonic):
    """Carry packets until ``on_wake`` says so.

    :param inner: and ``outer``: descriptors of the devices.
    :param directions: pair of Direction, inner to outer and outer to inner.
    :param wake: descriptor that becomes readable by a signal; ``on_wake()`` returns whether to end.
    """
    ways = ((inner, outer, directions[0]), (outer, inner, directions[1]))
    while True:
        times = [way.next_due() for way in directions if way.next_due() is not None]
        if times:
            time.sleep(TICK)
        wait = max(0.0, min(times) - clock()) if times else None
        ready = select.select((inner, outer, wake), (), (), wait)[0]
        for source, _, way in ways:
            if source in ready:
                _take(source, way, clock)
        now = clock() + TICK / 2
        for _, target, way in ways:
            for packet in way.due(now):
                _give(target, packet, way)
        if wake in ready and on_wake():
            return


def _take(source, way, clock):
    for _ in range(BATCH):
        try:
            packet = os.read(source, FRAME)
        except BlockingIOError:
            return
        way.put(packet, clock())


def _give(target, packet, way):
    try:
        os.write(target, packet)
    except OSError:
        # The device is down, or the other side's queue is full: a cable without an end loses packets too.
        way.counts['dropped'] += 1


def main():
    parameters, inner_name, outer_name = sys.argv[1:]
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    shape = read_shape(parameters)
    chance = random.Random(getattr(shape, 'seed', None))
    directions = (Direction(shape, chance), Direction(shape, chance))

    def say(text):
        print(text, flush=True)

    def on_wake():
        numbers = os.read(reading, 512)
        if signal.SIGHUP in numbers:
            try:
                fresh = read_shape(parameters)
            except (OSError, ValueError) as error:
                say('The parameters stay as they were: {}'.format(error))
            else:
                for way in directions:
                    way.shape = fresh
        if signal.SIGUSR1 in numbers:
            say(json.dumps({'out': directions[0].counts, 'in': directions[1].counts}))
        return signal.SIGTERM in numbers or signal.SIGINT in numbers

    inner, outer = open_tap(inner_name), open_tap(outer_name)
    run(inner, outer, directions, reading, on_wake)


if __name__ == '__main__':
    main()
