"""Detect changes of this machine's network, because a key that is sent within a second of one can be lost.

tailscaled notices a change of links or addresses up to a second late (net/netmon: debounce) and then closes its
connections. If a registration is in progress at that moment, the server has used up the single-use key, the answer is
lost, and tailscaled tries again with another node key: "authkey already used" (observed with 1.98.10 and Headscale
0.29.3).
"""
import errno
import socket
import struct
import time
from typing import Callable, Optional, Set

from ua_overlay import defaults
from ua_overlay.protocols import Clock
from ua_overlay.system.thread import SupervisedThread

#: linux/rtnetlink.h: groups of links and of IPv4 addresses (each router advertisement repeats those of IPv6).
GROUPS = 0x1 | 0x10
_NEW_LINK, _DEL_LINK, _NEW_ADDRESS, _DEL_ADDRESS = 16, 17, 20, 21
_HEADER = struct.Struct('=IHHII')
#: Seconds without a change after which a key may be sent: tailscaled's debounce and a margin.
STABLE_AFTER = 2.5
#: Interfaces that do not lead to the server; tailscaled itself creates the last one.
IGNORED = frozenset(['lo', defaults.INTERFACE])


def changed_interfaces(data: bytes) -> Set[int]:
    """Return the indexes of the interfaces that changed, from one read of an rtnetlink socket.

    ifinfomsg and ifaddrmsg both have the index four bytes into their body.
    """
    found = set()
    while len(data) >= _HEADER.size + 8:
        length, kind = _HEADER.unpack_from(data)[:2]
        if length < _HEADER.size:
            break
        if kind in (_NEW_LINK, _DEL_LINK, _NEW_ADDRESS, _DEL_ADDRESS):
            found.add(int(struct.unpack_from('=i', data, _HEADER.size + 4)[0]))
        data = data[(length + 3) & ~3:]
    return found


class InterfaceWatcher:
    """Remembers when a link or an address last changed. Costs nothing while none changes; needs no privileges.

    :param assume: count the start as a change: a process that starts at boot may have missed the link coming up.
    :param ignored: () -> indexes of interfaces whose changes do not count.
    """

    def __init__(self, assume: bool = False, clock: Clock = time.monotonic,
                 ignored: Optional[Callable[[], Set[int]]] = None) -> None:
        self._clock = clock
        self._ignored = ignored_indexes if ignored is None else ignored
        self._last = clock() if assume else None
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)  # NETLINK_ROUTE
        self._socket.bind((0, GROUPS))
        SupervisedThread('interface watcher', self._read, self._lose_sight).start()

    def take(self, data: bytes) -> None:
        """Take one read of the socket into account."""
        if changed_interfaces(data) - self._ignored():
            self._last = self._clock()

    def wait_left(self) -> float:
        """Return the seconds until the interfaces have been stable for long enough; 0.0 when they have."""
        return 0.0 if self._last is None else max(0.0, self._last + STABLE_AFTER - self._clock())

    def _lose_sight(self, _sentence: str) -> None:
        """Count a failure of the thread as a change: nobody saw whether there was one."""
        self._last = self._clock()

    def _read(self) -> None:
        while True:
            try:
                self.take(self._socket.recv(65536))
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._last = self._clock()  # so many changes at once that some were dropped


def ignored_indexes() -> Set[int]:
    """Return the indexes of the interfaces in :data:`IGNORED` that exist now."""
    return {index for index, name in socket.if_nameindex() if name in IGNORED}
