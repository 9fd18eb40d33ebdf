"""The duties of a daemon: which of them fails or hangs, and since when, for other programs of this machine.

The daemon answers on the abstract socket by which it is the only one of its kind (system.instance.claim_name): its
sandbox has no directory to write to, and what a file says would outlive it.
"""
import json
import socket
import threading
import time
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from ua_overlay.printable import printable
from ua_overlay.protocols import Clock, Json
from ua_overlay.system import foreign_json, instance
from ua_overlay.system.process import peer_of

#: What a duty does: it works; its rounds fail; it failed unexpectedly and is started again; it reports nothing.
OK, FAILS, CRASHES, HANGS = 'OK', 'FAILS', 'CRASHES', 'HANGS'
STATES = (OK, FAILS, CRASHES, HANGS)
#: Bytes of an answer, and of a sentence in it; seconds for an answer.
_LONGEST, _SENTENCE, TIMEOUT = 65536, 500, 1.0


class Duty(NamedTuple):
    """A duty, its state, for how many seconds it has that (0 for OK), and the last problem as a sentence, or ''."""

    name: str
    state: str = OK
    seconds: float = 0.0
    problem: str = ''


class Daemon(NamedTuple):
    """A daemon that has duties: its process, its systemd unit or '', and its duties; None: it does not answer."""

    pid: int
    unit: str
    duties: Optional[Tuple[Duty, ...]]


class Duties:
    """What each duty of this process reported last; any thread may report.

    :param limits: {name of a duty: seconds without a report after which it hangs}.
    """

    def __init__(self, limits: Mapping[str, float], clock: Clock = time.monotonic) -> None:
        self._limits = dict(limits)
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: Dict[str, float] = dict.fromkeys(limits, clock())
        #: Name -> the first time of a row of failures, the state, the last sentence.
        self._failed: Dict[str, Tuple[float, str, str]] = {}

    def report(self, name: str, problem: str) -> None:
        """Take note of a round of a duty: '' if it went well, else why it failed."""
        with self._lock:
            self._heard[name] = self._clock()
            if problem:
                self._fail(name, FAILS, problem)
            else:
                self._failed.pop(name, None)

    def crash(self, name: str, problem: str) -> None:
        """Take note of a failure that nobody expected; it lasts until a round goes well."""
        with self._lock:
            self._heard[name] = self._clock()
            self._fail(name, CRASHES, problem)

    def _fail(self, name: str, state: str, problem: str) -> None:
        since, before, _ = self._failed.get(name, (self._clock(), state, ''))
        self._failed[name] = (since, CRASHES if before == CRASHES else state, problem)

    def list(self) -> Tuple[Duty, ...]:
        """Return the duties, in the order of their names."""
        with self._lock:
            now = self._clock()
            return tuple(self._judge(name, now) for name in sorted(self._limits))

    def _judge(self, name: str, now: float) -> Duty:
        silent = now - self._heard[name]
        since, state, problem = self._failed.get(name, (now, OK, ''))
        if silent > self._limits[name]:
            return Duty(name, HANGS, silent, problem)
        return Duty(name, state, now - since, problem)


def write_duties(duties: Tuple[Duty, ...]) -> str:
    """Return the text that :func:`parse_duties` reads."""
    return json.dumps({'duties': [duty._replace(problem=duty.problem[:_SENTENCE])._asdict() for duty in duties]})


def parse_duties(text: str) -> Tuple[Duty, ...]:
    """Read the answer of a daemon.

    :raises ValueError: it is invalid.
    """
    found = foreign_json.parse_object(text).get('duties')
    if not isinstance(found, list):
        raise ValueError('no list of duties')
    return tuple(_parse_duty(each) for each in found)


def _parse_duty(data: Json) -> Duty:
    if not isinstance(data, dict) or set(data) != set(Duty._fields):
        raise ValueError('not a duty')
    name, state, seconds, problem = (data[key] for key in Duty._fields)
    if not (isinstance(name, str) and isinstance(problem, str) and state in STATES):
        raise ValueError('not a duty')
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e10:
        raise ValueError('a number in it is out of range')
    return Duty(printable(name), state, float(seconds), printable(problem, _SENTENCE))


def serve(listening: socket.socket, answer: Callable[[], str]) -> None:
    """Answer everybody who connects, for ever.

    :raises OSError: no further connection is possible; the socket was shut down.
    """
    while True:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(TIMEOUT)
            try:
                # It fits the buffer of the socket: a reader that does not read keeps nobody waiting.
                connection.sendall(answer().encode('ascii'))
            except OSError:
                continue  # the reader left early, as the second instance of a daemon does


def read(name: str, user: int = 0, timeout: float = TIMEOUT) -> Optional[Daemon]:
    """Return the daemon with this name in this network namespace; None if there is none of this user.

    :param timeout: seconds.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        # Without waiting: a daemon that accepts nothing any more has a full queue.
        client.setblocking(False)
        try:
            client.connect(instance.address_of(name))
        except BlockingIOError:
            return Daemon(0, '', None)
        except OSError:
            return None
        pid, uid = peer_of(client)
        if uid != user:
            return None
        try:
            duties: Optional[Tuple[Duty, ...]] = parse_duties(_receive(client, time.monotonic() + timeout))
        except (OSError, ValueError):
            duties = None
    try:
        return Daemon(pid, instance.holder_of(pid).unit, duties)
    except OSError:
        return None  # it has just ended


def _receive(client: socket.socket, deadline: float) -> str:
    """:raises OSError: the end does not come in time. :raises ValueError: it is longer than an answer."""
    received = b''
    while True:
        client.settimeout(max(0.001, deadline - time.monotonic()))
        part = client.recv(65536)
        if not part:
            return received.decode('ascii')
        received += part
        if len(received) > _LONGEST:
            raise ValueError('too long')
