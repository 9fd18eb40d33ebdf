"""Decide when a path is dead, so that tailscaled has to abandon it now and not after its own 6.5 s. Pure.

tailscaled trusts a UDP path for 6.5 s after its last pong (tailscale.com v1.102.5, wgengine/magicsock/endpoint.go,
trustUDPAddrDuration). A rebind (LocalAPI `debug?action=rebind`, magicsock.go Conn.Rebind) makes it forget the best
address of every peer: the next packet goes by DERP, and disco pings look for a better path beside it.

A link is suspected when it was heard a moment ago, and now only sends, or falls silent in the middle of a stream. Proof
that its path is dead takes two answers:

- pings through the tunnel (TSMP, along the path that the traffic takes) bring back nothing within the patience that the
  link's round trip, its load and its habits ask for. Other bytes from the peer are no answer: the peer may have found
  another way to us already, while what we send still goes into the dead path;
- a disco ping over DERP is answered: the peer lives, and there is another way to it. So a peer that is switched off, or
  a network that is gone, causes no rebind.

A path may die in one direction only: what A sends to B is lost, and A hears B as before, so A suspects nothing. B
suspects, finds no answer through the tunnel and an answer over DERP, and rebinds. That mends nothing, since a rebind
concerns what B sends. But B then pings A, by DERP, until it hears A; and A's tailscaled counts bytes by DERP although
none of A's links goes there. That is A's sign (:meth:`DeadPaths.note_other_way`): it suspects the links that it hears,
and each ping that is answered acquits one. While A has another link by DERP there is no sign, and tailscaled's own
6.5 s remain.

Every time is in seconds of one monotonic clock.
"""
from dataclasses import dataclass, field
from typing import Dict, List, Mapping, Optional, Union

from ua_overlay import link_types
from ua_overlay.link_types import LinkType

#: A link is suspected after this long without a byte received. A stream of 10 Hz misses three messages in it.
SUSPECT = 0.3
#: The same for a link that only sends (a camera by UDP): it is silent all the time, and each suspicion costs pings.
SUSPECT_ONE_WAY = 1.0
#: A link must have been heard within this time to be suspected: before it, there was no path that could die.
HEARD_WITHIN = 30.0
#: A link that was received from in this many of the last HISTORY samples is a stream; its silence alone is suspicious.
HISTORY, STREAM = 8, 4
#: Seconds between two pings of a suspected link.
PING_PERIOD = 0.1
#: The shortest patience: four pings. With a loss of 5 % each way one of 11,000 suspicions loses all of them, and a
#: stream of 10 Hz is suspected some ten times an hour.
PATIENCE = 0.4
#: The patience of a link that only sends, and is suspected once a second for as long as it does: nine pings.
PATIENCE_ONE_WAY = 0.9
#: Patience in round trips, and the round trip of a link that was never measured.
ROUND_TRIPS, ASSUMED_ROUND_TRIP = 2.5, 0.2
#: A link that sends more bytes per second than this may have a full queue in front of it (bufferbloat of 1 s), and its
#: pings wait in it.
BULK, PATIENCE_BULK = 100_000.0, 2.0
#: At most one rebind in this time, whatever happens.
REBIND_PERIOD = 10.0
#: An answer over DERP counts for this long.
DERP_ANSWER = 5.0
#: Seconds between two pings of a link that was never measured: before a suspicion its round trip, and whether the peer
#: answers pings at all, should be known.
INTRODUCTION = 10.0
#: Seconds between two signs that some peer sends by DERP; and how long ago a link was heard at most that may be meant.
OTHER_WAY_PERIOD, OTHER_WAY_HEARD = 5.0, 2.0
#: Seconds between two pings of a link that is not heard after a rebind, and how long after it they go on.
TELL_PERIOD, TELL = 1.0, 5.0
#: Seconds between two questions over DERP, and the time after which an unanswered suspicion ends: the peer is off.
DERP_PERIOD, GIVE_UP = 1.0, 10.0


@dataclass(frozen=True)
class LinkSample:
    """A link at one moment. ``tx`` and ``rx`` count bytes since the daemon started."""

    type: LinkType
    tx: int
    rx: int


@dataclass(frozen=True)
class Ping:
    """Send one ping through the tunnel; report its answer with :meth:`DeadPaths.note_round_trip`."""

    peer: str


@dataclass(frozen=True)
class AskDerp:
    """Send one disco ping over DERP; report its answer with :meth:`DeadPaths.note_derp_answer`."""

    peer: str


@dataclass(frozen=True)
class Rebind:
    """Ask tailscaled to rebind.

    ``silent``: peer -> seconds since it was heard, of each link whose path is proven dead.
    """

    silent: Mapping[str, float]


@dataclass(frozen=True)
class Healed:
    """A link is heard again after a rebind, ``silent`` seconds after it was heard last."""

    peer: str
    silent: float


@dataclass(frozen=True)
class Passed:
    """A suspicion ended because the path carries packets."""

    peer: str


@dataclass(frozen=True)
class Unanswered:
    """A suspicion ended because the peer answers on no path: it is off, or its network or this robot's is gone."""

    peer: str


Action = Union[Ping, AskDerp, Rebind, Healed, Passed, Unanswered]


@dataclass
class _Watch:
    """What is remembered about one link."""

    sample: LinkSample
    at: float
    #: When bytes were received last, and sent last; None: never since the watch began.
    heard: Optional[float] = None
    sent: Optional[float] = None
    #: Whether each of the last samples received something, the newest last.
    history: List[bool] = field(default_factory=list)
    #: Bytes per second sent, smoothed over a second.
    rate: float = 0.0
    #: Smoothed, in seconds. None: the peer never answered a ping through the tunnel, so it is judged by what is heard.
    round_trip: Optional[float] = None
    #: Samples since the last suspicion that received something; suspicions in a row with nothing between them, which is
    #: how a link looks that only sends.
    receipts: int = 0
    only_answers: int = 0
    #: Since when it is suspected; None: it is not.
    suspected: Optional[float] = None
    last_ping: float = float('-inf')
    last_ask: Optional[float] = None
    derp_answered: Optional[float] = None
    #: Heard last before the rebind that is to heal this link.
    healing_since: Optional[float] = None
    #: When the peer was pinged last so that it learns by which way we send now.
    told: float = float('-inf')
    #: The peer did not answer anybody: leave it alone until it is heard.
    given_up: bool = False


class DeadPaths:
    """Suspects, proves and decides for all links of one tailscaled. Not thread safe."""

    def __init__(self) -> None:
        self._watches: Dict[str, _Watch] = {}
        self._last_rebind: Optional[float] = None
        self._last_other_way = float('-inf')
        #: Peers whose suspicions passed since the last step.
        self._passed: List[str] = []

    def step(self, now: float, samples: Mapping[str, LinkSample]) -> List[Action]:
        """Take the samples of all links and return what to do now, in order.

        Call it with each status, and again after PING_PERIOD while :meth:`is_busy` (with the last samples).
        """
        actions: List[Action] = []
        for peer in [peer for peer in self._watches if peer not in samples]:
            del self._watches[peer]
        dead: Dict[str, float] = {}
        for peer, sample in samples.items():
            watch = self._watches.get(peer)
            if watch is None or sample.rx < watch.sample.rx or sample.tx < watch.sample.tx:  # new, or a new daemon
                self._watches[peer] = _Watch(sample, now)
                continue
            before = watch.sample.rx
            healed = _take(watch, now, sample)
            if healed is not None:
                actions.append(Healed(peer, healed))
            if watch.suspected is not None and sample.rx > before and watch.round_trip is None:
                self._acquit(peer, watch)
            actions.extend(_suspect(watch, now, peer))
            if _is_dead(watch, now) and watch.heard is not None:
                dead[peer] = now - watch.heard
        if dead and (self._last_rebind is None or now - self._last_rebind >= REBIND_PERIOD):
            self._last_rebind = now
            for peer, watch in self._watches.items():
                if watch.suspected is not None:  # a rebind heals every link, also one whose proof was a moment behind
                    watch.healing_since, watch.suspected, watch.given_up = watch.heard, None, peer in dead
            actions.append(Rebind(dead))
        actions.extend(map(Passed, self._passed))
        self._passed.clear()
        if self._last_rebind is not None and now - self._last_rebind <= TELL:
            for peer, watch in self._watches.items():
                if watch.healing_since is not None and now - watch.told >= TELL_PERIOD:
                    watch.told = now
                    actions.append(Ping(peer))
        return actions

    def is_busy(self) -> bool:
        """Return whether a link is suspected, so that the next step is due after PING_PERIOD."""
        return any(watch.suspected is not None for watch in self._watches.values())

    def note_round_trip(self, peer: str, seconds: float) -> None:
        """Take the round trip of a ping through the tunnel: the path carries packets both ways."""
        watch = self._watches.get(peer)
        if watch is not None and watch.healing_since is None:  # a path after a rebind says nothing about the next one
            known = watch.round_trip
            # As TCP does (RFC 6298), but a longer one counts at once: patience must follow a queue that fills.
            watch.round_trip = seconds if known is None or seconds > known else known + (seconds - known) / 8
            if watch.suspected is not None:
                self._acquit(peer, watch)

    def note_other_way(self, now: float) -> None:
        """Take the sign that a peer sends by DERP while no link of this robot goes there: its way to us may differ from
        ours to it because ours is dead."""
        if now - self._last_other_way < OTHER_WAY_PERIOD:
            return
        self._last_other_way = now
        for watch in self._watches.values():
            if (watch.sample.type in link_types.BY_UDP and watch.suspected is None and not watch.given_up
                    and watch.heard is not None and now - watch.heard <= OTHER_WAY_HEARD):
                watch.suspected, watch.last_ask = now, None

    def note_derp_answer(self, peer: str, now: float) -> None:
        """Take the answer of a ping over DERP: the peer lives."""
        watch = self._watches.get(peer)
        if watch is not None:
            watch.derp_answered = now

    def _acquit(self, peer: str, watch: _Watch) -> None:
        """End a suspicion, because the path carries packets."""
        watch.suspected = None
        self._passed.append(peer)
        # A link that only sends receives nothing between two suspicions but the answer of the first one's ping, and
        # perhaps a keepalive.
        watch.only_answers = watch.only_answers + 1 if watch.receipts <= 2 else 0
        watch.receipts = 0


def patience(watch: _Watch) -> float:
    """Return how long the pings of a suspected link may stay unanswered, in seconds."""
    trip = ASSUMED_ROUND_TRIP if watch.round_trip is None else watch.round_trip
    return max(PATIENCE_ONE_WAY if watch.only_answers > 1 else PATIENCE,
               PATIENCE_BULK if watch.rate > BULK else 0.0, ROUND_TRIPS * trip)


def _take(watch: _Watch, now: float, sample: LinkSample) -> Optional[float]:
    """Take a sample; return the seconds of silence that a rebind ended, or None."""
    before, elapsed = watch.sample, now - watch.at
    received, sent = sample.rx - before.rx, sample.tx - before.tx
    watch.sample, watch.at = sample, now
    if elapsed > 0:
        share = min(1.0, elapsed)
        watch.rate += share * (sent / elapsed - watch.rate)
        watch.history = (watch.history + [received > 0])[-HISTORY:]
    if sent > 0:
        watch.sent = now
    if not received:
        return None
    silent = None
    if watch.healing_since is not None:
        silent = now - watch.healing_since
    watch.receipts += 1
    watch.heard, watch.healing_since, watch.given_up = now, None, False
    return silent


def _suspect(watch: _Watch, now: float, peer: str) -> List[Action]:
    """Begin, continue or end the suspicion against a link; return its pings."""
    if watch.sample.type not in link_types.BY_UDP:
        watch.suspected = None
        return []
    if watch.suspected is None and not _is_suspicious(watch, now):
        if watch.round_trip is not None or watch.heard != now or now - watch.last_ping < INTRODUCTION:
            return []
        watch.last_ping = now
        return [Ping(peer)]
    if watch.suspected is None:
        watch.suspected, watch.last_ask = now, None
    elif now - watch.suspected > GIVE_UP:
        watch.suspected, watch.given_up = None, True
        return [Unanswered(peer)]
    actions: List[Action] = []
    if watch.suspected == now or now - watch.last_ping >= 0.9 * PING_PERIOD:
        watch.last_ping = now
        actions.append(Ping(peer))
    # The first pings may be answered; the question over DERP makes tailscaled search for other paths.
    if now - watch.suspected >= 2 * PING_PERIOD and (
            watch.last_ask is None or now - watch.last_ask >= DERP_PERIOD):
        watch.last_ask = now
        actions.append(AskDerp(peer))
    return actions


def _is_suspicious(watch: _Watch, now: float) -> bool:
    if watch.heard is None or watch.given_up or now - watch.heard > HEARD_WITHIN:
        return False
    silent = now - watch.heard
    if silent < (SUSPECT_ONE_WAY if watch.only_answers > 1 else SUSPECT):
        return False
    sends = watch.sent is not None and watch.sent > watch.heard
    was_stream = sum(watch.history) >= STREAM
    return sends or was_stream


def _is_dead(watch: _Watch, now: float) -> bool:
    return (watch.suspected is not None and now - watch.suspected >= patience(watch)
            and watch.derp_answered is not None and watch.derp_answered >= watch.suspected
            and now - watch.derp_answered <= DERP_ANSWER)
