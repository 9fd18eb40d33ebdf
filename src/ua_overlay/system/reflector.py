"""Answer a neighbour's datagram with this machine's time, and connect back to it if it asks for that.

One exchange gives the offset of two clocks as in NTP (RFC 5905, section 8) and, without trust in either end, whether
new TCP connections reach the one that asked. The answer is never longer than the question, and connections go only to
the address that asked, so nobody can be made to bother a third machine.
"""
import contextlib
import socket
import struct
import threading
import time
from typing import NamedTuple, Optional, Tuple

from ua_overlay.protocols import WallClock
from ua_overlay.system.thread import SupervisedThread

#: Word of a question and of an answer, the asker's time, our times of arrival and departure (seconds since 1970, 0 in a
#: question), and the TCP port to connect back to (0: none).
_PACKET = struct.Struct('>8sdddH')
_QUESTION, _ANSWER = b'ua-time?', b'ua-time!'
#: Seconds for a connection back, and the largest number of them at one time.
BACK, _MOST_BACK = 2.0, 8


class Offset(NamedTuple):
    """How far the other clock is ahead, and the largest error of that (half the round trip), in seconds."""

    offset: float
    error: float


class Reflector:
    """Answers on one UDP socket until it is closed.

    :param address: the address to answer on, '' for all.
    :param port: UDP port.
    :raises OSError: the port is taken.
    """

    def __init__(self, address: str, port: int, now: WallClock = time.time) -> None:
        self._now = now
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self._back = threading.Semaphore(_MOST_BACK)

    def run(self) -> None:
        """Answer until :meth:`close`."""
        while True:
            try:
                data, asker = self._socket.recvfrom(_PACKET.size + 1)
            except OSError:
                if self._socket.fileno() < 0:
                    return
                raise
            arrival = self._now()
            try:
                word, asked, _, _, port = _PACKET.unpack(data)
            except struct.error:
                continue
            if word != _QUESTION:
                continue
            if port and self._back.acquire(blocking=False):
                self._connect_back(asker[0], port)
            try:
                self._socket.sendto(_PACKET.pack(_ANSWER, asked, arrival, self._now(), 0), asker)
            except OSError:
                continue  # the asker went away, or the socket was closed

    def close(self) -> None:
        """End :meth:`run`."""
        # A datagram socket is not connected, so this is an error; it wakes up recvfrom nevertheless.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _connect_back(self, address: str, port: int) -> None:
        def connect() -> None:
            try:
                socket.create_connection((address, port), BACK).close()
            except OSError:
                return  # the asker waits for this connection, and sees that none came
            finally:
                self._back.release()

        SupervisedThread('connect back', connect, restart=False).start()


def ask(address: str, port: int, timeout: float, back: int = 0, tries: int = 4,
        now: WallClock = time.time) -> Optional[Offset]:
    """Return the offset of the clock behind ``address``, of the exchange with the shortest round trip; None without an
    answer.

    :param timeout: seconds for all tries together.
    :param back: TCP port on which the other end shall connect to us, in the first exchange; 0: none.
    :raises OSError: no route.
    """
    best: Optional[Offset] = None
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((address, port))
        for attempt in range(tries):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            asker.settimeout(remaining / (tries - attempt))
            sent = now()
            try:
                asker.send(_PACKET.pack(_QUESTION, sent, 0.0, 0.0, back if attempt == 0 else 0))
                data = asker.recv(_PACKET.size + 1)
            except OSError:
                continue  # lost, or refused: the next try tells
            found = _offset(data, sent, now())
            if found is not None and (best is None or found.error < best.error):
                best = found
    return best


def _offset(data: bytes, sent: float, received: float) -> Optional[Offset]:
    """Return the offset in an answer, None for another datagram. Pure."""
    try:
        word, asked, arrival, departure, _ = _PACKET.unpack(data)
    except struct.error:
        return None
    values: Tuple[float, ...] = (arrival, departure)
    if word != _ANSWER or asked != sent or not all(0.0 < value < _LATEST for value in values):
        return None
    round_trip = (received - sent) - (departure - arrival)
    return Offset((arrival - sent + departure - received) / 2, max(0.0, round_trip / 2))


#: No clock shows a later time (the year 9999), and a NaN is not below it.
_LATEST = 253402300800.0
