"""Does a peer relay carry? Facts in, verdict and repair out; no socket, file or clock here.

What is known to go wrong (tailscale's issues): the relay is absent after a reboot until its tailscaled starts again
(20137); its data plane is dead while everything says that it runs (20452); it hands out sessions and no handshake ever
arrives (19784, 20785). In tailscale 1.98 a relay server that lost its socket closes itself, yet stays in place and
refuses every robot (net/udprelay: packetReadLoop, AllocateEndpoint); to set the same port again changes nothing then
(feature/relayserver: profileStateChanged), it has to be taken away first.
"""
from dataclasses import dataclass

#: Robots without a path ask again every 30 s (magicsock: discoverUDPRelayPathsInterval).
UNANSWERED_AFTER = 45.0
#: Nobody asks any more after this long without a question.
FORGOTTEN_AFTER = 75.0
#: Repairs on a mere suspicion.
SUSPICION_TRIES = 2
#: A repair is given this long to show.
REPAIR_TIME = 15.0
#: Pauses between repairs that did not help: doubled each time, up to the last number.
PAUSES = (30.0, 900.0)

JOIN, PORT, RESTART = 'join', 'port', 'restart'


@dataclass(frozen=True)
class Session:
    """Two robots and this relay (status.ServerSession): whether each has completed its handshake, packets of each."""

    vni: int
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
    :param asked: how often robots asked for a session since its tailscaled started.
    :param answered: how often they got one.
    """

    error: str = ''
    state: str = ''
    online: bool = False
    port: object = None
    listening: bool = False
    backlog: int = 0
    sessions: tuple = ()
    asked: int = 0
    answered: int = 0


@dataclass(frozen=True)
class Verdict:
    """ok; text for people; repair: what would mend it ('' when only waiting can); note: a suspicion, or ''."""

    ok: bool
    text: str
    repair: str = ''
    note: str = ''


def judge(facts, port, refused=0.0, unheard=0.0):
    """A Verdict.

    :param port: UDP port that it should have.
    :param refused: seconds for which robots have asked and got no session.
    :param unheard: seconds for which they got sessions and no packet of theirs arrived. That can be the robots' own
        networks as well, where those let no UDP out: a suspicion, not a fault.
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
        return Verdict(False, 'it does not relay: it has given robots that ask no session for {:.0f} s'.format(refused),
                       PORT)
    if facts.state != 'Running' or not facts.online:
        return Verdict(False, 'waiting for the control server ({}, {})'.format(
            facts.state, 'online' if facts.online else 'offline'))
    if unheard >= UNANSWERED_AFTER:
        return Verdict(True, 'up', PORT, 'robots ask for it and no packet of theirs arrives: is UDP {} open from '
                                         'outside, or do their networks block UDP?'.format(port))
    return Verdict(True, 'up')


class Unanswered:
    """For how long robots have asked in vain. Counters and sessions in, seconds out."""

    def __init__(self):
        self._before = None
        self._asked_at = None
        self._refused_since = self._unheard_since = None

    def step(self, facts, now):
        """(seconds without a session for those who ask, seconds without a packet from them) at monotonic ``now``."""
        before, self._before = self._before, facts
        if before is None or facts.asked < before.asked:
            # The first look, or a tailscaled that has just started.
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
        return tuple(0.0 if since is None else now - since for since in (self._refused_since, self._unheard_since))


def _progress(before, after):
    """Whether a robot's packet has arrived between two looks: a handshake was completed, or something carried."""
    known = {session.vni: session for session in before}
    for session in after:
        old = known.get(session.vni, Session(session.vni, (False, False), (0, 0)))
        if sum(session.bound) > sum(old.bound) or sum(session.packets) > sum(old.packets):
            return True
    return False


class Repairs:
    """Which repair is due: what the verdict names first, then a restart, then restarts with growing pauses."""

    def __init__(self):
        self.count = 0
        self._tries = 0
        self._next = None
        self._good_since = None

    def step(self, verdict, now):
        """'' or the repair to do at monotonic time ``now``."""
        if not verdict.repair:
            if verdict.ok and self._good_since is None:
                self._good_since = now
            if verdict.ok and now - self._good_since >= 2 * REPAIR_TIME:
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


def parse_sessions(value):
    """tailscale's status.ServerStatus (JSON as a dict) -> (port or None, tuple of Session)."""
    sessions = []
    for each in value.get('Sessions') or ():
        clients = [each.get(name) or {} for name in ('Client1', 'Client2')]
        sessions.append(Session(
            int(each.get('VNI') or 0),
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


def parse_counters(text):
    """(asked, answered) out of tailscaled's client metrics (Prometheus text)."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(' ')
        if name in _COUNTERS and value.strip().isdigit():
            found[name] = int(value)
    return tuple(found.get(name, 0) for name in _COUNTERS)


_COUNTERS = ('magicsock_disco_recv_alloc_udp_relay_endpoint_request',
             'magicsock_disco_sent_alloc_udp_relay_endpoint_response')
