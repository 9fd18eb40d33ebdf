"""Does a peer relay carry? Facts in, verdict and repair out; no socket, file or clock here.

What is known to go wrong (tailscale's issues): the relay is absent after a reboot until its tailscaled starts again
(20137); its data plane is dead while everything says that it runs (20452); it hands out sessions and no handshake ever
arrives (19784, 20785). In tailscale 1.98 a relay server that lost its socket closes itself, yet stays in place and
refuses every robot (net/udprelay: packetReadLoop, AllocateEndpoint); to set the same port again changes nothing then
(feature/relayserver: profileStateChanged), it has to be taken away first.
"""
from dataclasses import dataclass

#: Robots that ask have a session each 30 s, and one without a handshake is forgotten after 30 to 60 s.
UNANSWERED_AFTER = 45.0
#: A repair is given this long to show.
SETTLE = 15.0
#: Pauses between repairs that did not help: doubled each time, up to the last number.
PAUSES = (30.0, 900.0)

JOIN, PORT, RESTART = 'join', 'port', 'restart'


@dataclass(frozen=True)
class Session:
    """Two robots and this relay (status.ServerSession): whether each has completed its handshake, packets of each."""

    bound: tuple
    packets: tuple


@dataclass(frozen=True)
class RelayFacts:
    """What was seen of a relay.

    :param error: why its tailscaled does not answer, or ''.
    :param state: BackendState.
    :param online: whether the control server sees it.
    :param port: UDP port that its relay server says it has, or None when there is no relay server.
    :param listening: whether its process holds a socket on that port.
    :param backlog: bytes that wait in those sockets although it was given time to read them.
    :param sessions: tuple of Session.
    """

    error: str = ''
    state: str = ''
    online: bool = False
    port: object = None
    listening: bool = False
    backlog: int = 0
    sessions: tuple = ()


@dataclass(frozen=True)
class Verdict:
    """ok; text for people; repair: what would mend it ('' when only waiting can)."""

    ok: bool
    text: str
    repair: str = ''


def judge(facts, port, unanswered):
    """A Verdict.

    :param port: UDP port that it should have.
    :param unanswered: seconds for which robots have had sessions and not one handshake arrived.
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
    if unanswered >= UNANSWERED_AFTER:
        return Verdict(False, 'robots ask for it, and for {:.0f} s no packet of theirs has arrived on UDP {}'.format(
            unanswered, port), PORT)
    if facts.state != 'Running' or not facts.online:
        return Verdict(False, 'waiting for the control server ({}, {})'.format(
            facts.state, 'online' if facts.online else 'offline'))
    return Verdict(True, 'up')


class Unanswered:
    """For how long robots have asked in vain."""

    def __init__(self):
        self._since = None

    def step(self, sessions, now):
        """Seconds, at monotonic time ``now``; 0 while a handshake is there or nobody asks."""
        if not sessions or any(any(session.bound) for session in sessions):
            self._since = None
            return 0.0
        if self._since is None:
            self._since = now
        return now - self._since


class Repairs:
    """Which repair is due: what the verdict names first, then a restart, then restarts with growing pauses."""

    def __init__(self):
        self.count = 0
        self._tries = 0
        self._next = None
        self._good_since = None

    def step(self, verdict, now):
        """'' or the repair to do at monotonic time ``now``."""
        if verdict.ok or not verdict.repair:
            if verdict.ok and self._good_since is None:
                self._good_since = now
            if verdict.ok and now - self._good_since >= 2 * SETTLE:
                self._tries, self._next = 0, None
            return ''
        self._good_since = None
        if self._next is not None and now < self._next:
            return ''
        self._tries += 1
        self.count += 1
        if self._tries == 1:
            self._next = now + SETTLE
            return verdict.repair
        self._next = now + min(PAUSES[0] * 2 ** (self._tries - 2), PAUSES[1])
        return verdict.repair if verdict.repair == JOIN else RESTART


def parse_sessions(value):
    """tailscale's status.ServerStatus (JSON as a dict) -> (port or None, tuple of Session)."""
    sessions = []
    for each in value.get('Sessions') or ():
        clients = [each.get(name) or {} for name in ('Client1', 'Client2')]
        sessions.append(Session(
            # netip.AddrPort's zero value is the empty text, older ones 'invalid AddrPort'.
            tuple(client.get('Endpoint') not in (None, '', 'invalid AddrPort', ':0') for client in clients),
            tuple(int(client.get('PacketsTx') or 0) for client in clients)))
    return value.get('UDPPort'), tuple(sessions)


def parse_udp(text, port):
    """The lines of /proc/net/udp or udp6 that are about ``port``: list of (inode as text, bytes waiting)."""
    found = []
    for line in text.splitlines()[1:]:
        parts = line.split()
        if len(parts) > 9 and int(parts[1].rpartition(':')[2], 16) == port:
            found.append((parts[9], int(parts[4].rpartition(':')[2], 16)))
    return found
