"""Decide whether a peer relay carries traffic, and which repair is due. Pure: facts in, verdict and repair out.

Known faults (tailscale issues): the relay is missing after a reboot until its tailscaled restarts (20137); its data
plane is dead although it reports that it runs (20452); it grants sessions, but no handshake ever arrives (19784,
20785). In tailscale 1.98 a relay server that lost its socket closes itself, yet stays in place and refuses every robot
(net/udprelay: packetReadLoop, AllocateEndpoint). Then setting the same port again has no effect (feature/relayserver:
profileStateChanged); the relay server must be removed first.
"""
import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ua_overlay.protocols import JsonObject
from ua_overlay.tailscale import fields

#: Seconds. Robots without a path request a session again every 30 s (magicsock: discoverUDPRelayPathsInterval).
UNANSWERED_AFTER = 45.0
#: Seconds without a request after which no robot counts as requesting.
FORGOTTEN_AFTER = 75.0
#: Number of repairs that a mere suspicion may trigger.
SUSPICION_TRIES = 2
#: Seconds within which a repair should take effect.
REPAIR_TIME = 15.0
#: Seconds between unsuccessful repairs: the first pause, which doubles each time, and the longest.
PAUSES = (30.0, 900.0)

#: Repairs: rejoin the overlay, set the port again, restart tailscaled.
JOIN, PORT, RESTART = 'join', 'port', 'restart'


@dataclass(frozen=True)
class Session:
    """A session of two robots on this relay (status.ServerSession).

    :param vni: number of the session.
    :param bound: for each robot, whether it has completed its handshake.
    :param packets: for each robot, the number of its forwarded packets.
    """

    vni: int
    bound: Tuple[bool, ...]
    packets: Tuple[int, ...]


@dataclass(frozen=True)
class RelayFacts:
    """The observed facts about a relay.

    :param error: why its tailscaled does not answer, or ''.
    :param state: BackendState.
    :param online: whether the control server considers it connected.
    :param port: UDP port that its relay server reports; None when there is no relay server.
    :param listening: whether its process has a socket on that port.
    :param backlog: bytes in those sockets that are unread although it had time to read them.
    :param asked: number of session requests since its tailscaled started.
    :param answered: number of granted ones.
    """

    error: str = ''
    state: str = ''
    online: bool = False
    port: Optional[int] = None
    listening: bool = False
    backlog: int = 0
    sessions: Tuple[Session, ...] = ()
    asked: int = 0
    answered: int = 0


@dataclass(frozen=True)
class Verdict:
    """The health of a relay.

    :param text: for people.
    :param repair: JOIN, PORT or RESTART; '' if only waiting helps.
    :param note: a suspicion, or ''.
    """

    ok: bool
    text: str
    repair: str = ''
    note: str = ''


def judge(facts: RelayFacts, port: int, refused: float = 0.0, unheard: float = 0.0) -> Verdict:
    """Judge the health of a relay.

    :param port: the desired UDP port.
    :param refused: seconds for which robots have requested sessions without getting one.
    :param unheard: seconds for which robots have got sessions without any of their packets arriving. The cause may be
        the robots' own networks, if those block UDP: a suspicion, not a fault.
    """
    if facts.error:
        return Verdict(False, 'its tailscaled does not answer ({})'.format(facts.error), RESTART)
    if facts.state in ('NeedsLogin', 'NoState', 'Stopped'):
        return Verdict(False, 'it is not in the overlay ({})'.format(facts.state), JOIN)
    if facts.port != port:
        return Verdict(False, 'it does not relay: no relay server on UDP {}'.format(port), PORT)
    if not facts.listening:
        return Verdict(False, 'it does not relay: its socket on UDP {} is gone'.format(port), PORT)
    if facts.backlog:
        return Verdict(False, 'it does not read its packets on UDP {}'.format(port), RESTART)
    if refused >= UNANSWERED_AFTER:
        return Verdict(False, 'it does not relay: robots have asked for a session in vain for {:.0f} s'.format(refused),
                       PORT)
    if facts.state != 'Running' or not facts.online:
        return Verdict(False, 'waiting for the control server ({}, {})'.format(
            facts.state, 'online' if facts.online else 'offline'))
    if unheard >= UNANSWERED_AFTER:
        return Verdict(True, 'up', PORT, 'robots ask for it, but none of their packets arrives: is UDP {} open from '
                                         'outside, or do their networks block UDP?'.format(port))
    return Verdict(True, 'up')


class Unanswered:
    """Measures for how long robots have requested sessions in vain."""

    def __init__(self) -> None:
        self._before: Optional[RelayFacts] = None
        self._asked_at: Optional[float] = None
        self._refused_since: Optional[float] = None
        self._unheard_since: Optional[float] = None

    def step(self, facts: RelayFacts, now: float) -> Tuple[float, float]:
        """Take new facts at monotonic time ``now``.

        :returns: (``refused``, ``unheard``) as for :func:`judge`.
        """
        before, self._before = self._before, facts
        if before is None or facts.asked < before.asked:
            # The first facts, or those of a tailscaled that has just started.
            self._asked_at = self._refused_since = self._unheard_since = None
            return 0.0, 0.0
        if facts.asked > before.asked:
            self._asked_at = now
        nobody = self._asked_at is None or now - self._asked_at > FORGOTTEN_AFTER
        if nobody or facts.answered > before.answered:
            self._refused_since = None
        elif self._refused_since is None and facts.asked > before.asked:
            self._refused_since = now
        if nobody or _progress(before.sessions, facts.sessions):
            self._unheard_since = None
        elif self._unheard_since is None:
            self._unheard_since = now
        return (0.0 if self._refused_since is None else now - self._refused_since,
                0.0 if self._unheard_since is None else now - self._unheard_since)


def _progress(before: Sequence[Session], after: Sequence[Session]) -> bool:
    """Return whether a robot's packet arrived in between: a handshake was completed, or a packet was forwarded."""
    earlier = {session.vni: session for session in before}
    for session in after:
        old = earlier.get(session.vni, Session(session.vni, (False, False), (0, 0)))
        if sum(session.bound) > sum(old.bound) or sum(session.packets) > sum(old.packets):
            return True
    return False


class Repairs:
    """Chooses the due repair: first the one in the verdict, then a restart, then restarts with growing pauses.

    :ivar count: number of repairs so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._tries = 0
        self._next: Optional[float] = None
        self._good_since: Optional[float] = None

    def step(self, verdict: Verdict, now: float) -> str:
        """Return the repair to do at monotonic time ``now``, or ''."""
        if not verdict.repair:
            if verdict.ok:
                if self._good_since is None:
                    self._good_since = now
                if now - self._good_since >= 2 * REPAIR_TIME:
                    self._tries, self._next = 0, None
            return ''
        self._good_since = None
        if verdict.note and self._tries >= SUSPICION_TRIES:
            return ''
        if self._next is not None and now < self._next:
            return ''
        self._tries += 1
        self.count += 1
        if self._tries == 1:
            self._next = now + REPAIR_TIME
            return verdict.repair
        self._next = now + min(PAUSES[0] * 2 ** (self._tries - 2), PAUSES[1])
        return verdict.repair if verdict.repair == JOIN else RESTART


def parse_sessions(value: JsonObject) -> Tuple[Optional[int], Tuple[Session, ...]]:
    """Return (port or None, sessions) of tailscale's status.ServerStatus.

    :raises InvalidAnswer: a field has another type.
    """
    sessions: List[Session] = []
    for each in fields.objects(value, 'Sessions'):
        clients = [fields.mapping(each, name) for name in ('Client1', 'Client2')]
        sessions.append(Session(
            fields.count(each, 'VNI'),
            # netip.AddrPort's zero value is the empty text, older ones 'invalid AddrPort'.
            tuple(fields.text(client, 'Endpoint') not in ('', 'invalid AddrPort', ':0') for client in clients),
            tuple(fields.count(client, 'PacketsTx') for client in clients)))
    return None if value.get('UDPPort') is None else fields.count(value, 'UDPPort'), tuple(sessions)


def parse_counters(text: str) -> Tuple[int, int]:
    """Return (asked, answered) of tailscaled's client metrics (Prometheus text)."""
    counters: Dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(' ')
        if name in _COUNTERS and _COUNT.fullmatch(value.strip()):
            counters[name] = int(value)
    asked, answered = (counters.get(name, 0) for name in _COUNTERS)
    return asked, answered


_COUNT = re.compile('[0-9]{1,20}')
_COUNTERS = ('magicsock_disco_recv_alloc_udp_relay_endpoint_request',
             'magicsock_disco_sent_alloc_udp_relay_endpoint_response')
