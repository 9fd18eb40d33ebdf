"""The link emulator: a program that carries packets between two TAP devices, with delay, loss and a rate.

It works where the kernel has no netem. It runs in the network of the host that has the link's bridge:
`program('emulator', PARAMETERS, INNER, OUTER)`. PARAMETERS is a JSON file with the numbers of shape.Shape; SIGHUP makes
it read the file again, SIGUSR1 makes it print its counts. It makes the two TAP devices, which disappear when it ends.
It imports nothing heavy and no site packages.

`ua-overlay lab link measure` measures its overhead.
"""
from __future__ import annotations

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

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Importing typing takes as long as starting Python itself.
    from typing import Any, Callable, Deque, List, Optional, Tuple

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
#: Bytes of preamble, checksum and gap of an Ethernet frame: on the wire, but not in the frame from a TAP device.
WIRE = 24
FRAME = 65536
#: Packets taken from one device before the other is served.
BATCH = 64
#: Seconds within which a busy link handles packets together, as a network card coalesces interrupts: on a small machine
#: a wakeup per packet costs more than the rest of the work. A packet is early or late by half of it at most; on an idle
#: link it is on time.
TICK = 0.00025


class Direction:
    """Packets in one direction, in and out by :meth:`put` and :meth:`due`. It has neither clock nor device.

    :param shape: an object with the numbers of shape.Shape.
    :ivar counts: of packets, by their fate.
    """

    def __init__(self, shape: Any, chance: random.Random) -> None:
        self.shape = shape
        self._chance = chance
        self._waiting: Deque[Tuple[float, bytes]] = deque()
        self._free = 0.0
        self._last = 0.0
        self.counts = {'passed': 0, 'lost': 0, 'dropped': 0, 'overtook': 0}

    def put(self, packet: bytes, now: float) -> None:
        """Take a packet at ``now`` (monotonic seconds)."""
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
        # Never before the packet ahead: jitter alone keeps the order.
        self._last = max(sent + late, self._last)
        self._waiting.append((self._last, packet))

    def due(self, now: float) -> List[bytes]:
        """Take out the packets that are due at ``now``, in their order."""
        packets = []
        while self._waiting and self._waiting[0][0] <= now:
            packets.append(self._waiting.popleft()[1])
        return packets

    def next_due(self) -> Optional[float]:
        """Return the monotonic seconds at which the next packet is due, None when no packet waits."""
        return self._waiting[0][0] if self._waiting else None


def open_tap(name: str) -> int:
    """Make a TAP device and return its descriptor; closing that removes the device.

    :raises OSError: not root, no TUN, or the name is taken.
    """
    handle = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_shape(path: str) -> Any:
    """Return the numbers of a parameter file as attributes; `seed`, if any, makes losses repeatable."""
    with open(path) as stream:
        return type('Numbers', (), json.load(stream))


def run(inner: int, outer: int, directions: Tuple[Direction, Direction], wake: int, on_wake: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic) -> None:
    """Carry packets until ``on_wake`` returns true.

    :param inner: and ``outer``: descriptors of the devices.
    :param directions: inner to outer, and outer to inner.
    :param wake: descriptor that a signal makes readable; then ``on_wake()`` returns whether to end.
    """
    flows = ((inner, outer, directions[0]), (outer, inner, directions[1]))
    while True:
        times = [due for due in (directions[0].next_due(), directions[1].next_due()) if due is not None]
        if times:
            time.sleep(TICK)
        wait = max(0.0, min(times) - clock()) if times else None
        ready = select.select((inner, outer, wake), (), (), wait)[0]
        for source, _, direction in flows:
            if source in ready:
                _take(source, direction, clock)
        now = clock() + TICK / 2
        for _, target, direction in flows:
            for packet in direction.due(now):
                _give(target, packet, direction)
        if wake in ready and on_wake():
            return


def _take(source: int, direction: Direction, clock: Callable[[], float]) -> None:
    for _ in range(BATCH):
        try:
            packet = os.read(source, FRAME)
        except BlockingIOError:
            return
        direction.put(packet, clock())


def _give(target: int, packet: bytes, direction: Direction) -> None:
    try:
        os.write(target, packet)
    except OSError:
        # The device is down or its queue is full: a loose cable loses packets, too.
        direction.counts['dropped'] += 1


def main() -> None:
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

    def say(text: str) -> None:
        print(text, flush=True)

    def on_wake() -> bool:
        numbers = os.read(reading, 512)
        if signal.SIGHUP in numbers:
            try:
                fresh = read_shape(parameters)
            except (OSError, ValueError) as error:
                say('The parameters stay as they were: {}'.format(error))
            else:
                for direction in directions:
                    direction.shape = fresh
        if signal.SIGUSR1 in numbers:
            say(json.dumps({'out': directions[0].counts, 'in': directions[1].counts}))
        return signal.SIGTERM in numbers or signal.SIGINT in numbers

    inner, outer = open_tap(inner_name), open_tap(outer_name)
    run(inner, outer, directions, reading, on_wake)


if __name__ == '__main__':
    main()
