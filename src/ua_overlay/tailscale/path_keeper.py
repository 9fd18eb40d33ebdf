"""Keep the links of this robot on paths that carry packets: see :mod:`ua_overlay.tailscale.dead_paths` for when.

The watcher offers each status. A thread judges it, pings suspected links, and asks tailscaled to rebind when a path is
proven dead. Each intervention is reported. The same thread has tailscaled look for better paths that links have lost,
measures the round trips of links with traffic, and knocks at team mates while the server does not answer.
"""
import logging
import threading
import time
from dataclasses import dataclass
from typing import AbstractSet, Callable, Dict, List, Optional

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.link_types import LinkType
from ua_overlay.protocols import Clock
from ua_overlay.system.thread import OnFailure, SupervisedThread
from ua_overlay.tailscale import dead_paths
from ua_overlay.tailscale.api import PathApi
from ua_overlay.tailscale.better_paths import BetterPaths
from ua_overlay.tailscale.dead_paths import (
    Action,
    AskDerp,
    DeadPaths,
    Healed,
    LinkSample,
    Passed,
    Ping,
    Rebind,
    Unanswered,
)
from ua_overlay.tailscale.knocks import Knocks
from ua_overlay.tailscale.model import PingResult
from ua_overlay.tailscale.round_trips import RoundTrips
from ua_overlay.tailscale.snapshot import Snapshot

_LOG = logging.getLogger(__name__)

#: Seconds after which a ping counts as unanswered.
PING_TIMEOUT = 2.0
#: Pings in the air at once, for all links: a robot that loses its network suspects all of them together.
MOST_PINGS = 40
#: Seconds between two looks at whom to knock at: an idle robot gets a status every five seconds only.
KNOCK_TICK = 1.0
#: Sizes of the disco pings that go by DERP, in bytes: each larger than the one before, since a path that answered one
#: gets the next of its size without DERP (LocalApi.ping). Two headers below the usual MTU is where a path was tried.
FIRST_SIZE, LAST_SIZE = 1400, 1470

#: What is counted.
COUNTS = ('rebinds', 'rebinds that failed', 'links healed', 'suspicions that passed', 'suspicions without an answer',
          'looks for a better path', 'requests for addresses', 'requests for addresses that failed',
          'knocks without the server')

#: What `action` says of an intervention.
REBIND, HEALED, REFUSED = 'rebind', 'healed', 'refused'


@dataclass(frozen=True)
class Intervention:
    """What the path keeper did about one link.

    ``action``: REBIND (tailscaled was asked to), HEALED (the link is heard again after it), REFUSED (tailscaled did not
    do it, ``reason`` says why). ``silent``: seconds for which the link was silent.
    """

    peer: str
    action: str
    silent: float
    reason: str


class PathKeeper:
    """Reconciles the paths of one tailscaled with what they carry.

    :param api_factory: returns a new LocalApi; called for each ping.
    :param on_intervention: called in the keeper's thread; must not block.
    :param on_round_trip: (peer, answer of a disco ping), from another thread.
    :param heal: False measures only.
    :param on_failure: see SupervisedThread.
    """

    def __init__(self, api_factory: Callable[[], PathApi], on_intervention: Callable[[Intervention], None],
                 on_round_trip: Callable[[str, PingResult], None] = lambda peer, answer: None, heal: bool = True,
                 on_failure: Optional[OnFailure] = None, clock: Clock = time.monotonic) -> None:
        self._api_factory = api_factory
        self._on_intervention = on_intervention
        self._on_round_trip = on_round_trip
        self._heal = heal
        self._counts = dict.fromkeys(COUNTS, 0)
        self._trips = RoundTrips()
        self._better = BetterPaths()
        self._knocks = Knocks()
        self._online = True
        self._clock = clock
        self._judge = DeadPaths()
        self._condition = threading.Condition()
        self._samples: Dict[str, LinkSample] = {}
        self._addresses: Dict[str, str] = {}
        self._endpoints: Dict[str, str] = {}
        self._fresh = False
        self._stopped = False
        self._pings = 0
        self._size = FIRST_SIZE
        self._thread = SupervisedThread('path keeper', self._run, on_failure)

    def start(self) -> 'PathKeeper':
        """Start its thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End its thread and wait for it; pings in the air end by themselves."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self._thread.stop()
        self._thread.join(PING_TIMEOUT)

    def offer(self, snapshot: Snapshot) -> None:
        """Take a status; does not block. Without a running daemon there are no links to judge."""
        samples, addresses, endpoints = {}, {}, {}
        for peer, link in zip(snapshot.status.peers, snapshot.links):
            if peer.addresses:
                samples[link.peer] = LinkSample(link.type, link.tx_bytes, link.rx_bytes)
                addresses[link.peer] = peer.addresses[0]
                endpoints[link.peer] = link.endpoint
        with self._condition:
            self._samples, self._addresses, self._endpoints, self._fresh = samples, addresses, endpoints, True
            self._online = snapshot.status.self_node.online or not snapshot.status.running
            self._condition.notify_all()

    def note_unexplained(self, kinds: AbstractSet[LinkType]) -> None:
        """Take the paths on which traffic moved although no link takes them; does not block."""
        if link_types.DERP not in kinds:
            return
        with self._condition:
            self._judge.note_other_way(self._clock())
            self._fresh = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            with self._condition:
                busy = self._judge.is_busy()
                self._condition.wait_for(lambda: self._fresh or self._stopped,
                                         dead_paths.PING_PERIOD if busy else None if self._online else KNOCK_TICK)
                if self._stopped:
                    return
                self._fresh = False
                actions = self._judge.step(self._clock(), self._samples) if self._heal else []
                sought, restun = [], False
                if self._heal:
                    sought = self._better.due(self._clock(), self._samples)
                    restun = self._better.wants_addresses(self._clock())
                measured = self._trips.due(self._clock(), self._samples)
                knocked = self._knocks.due(self._clock(), self._online, self._samples)
            for action in actions:
                self._do(action)
            for peer in sought:
                self._count('looks for a better path')
                self._ping(peer, self._measure)
            if restun:
                self._restun()
            for peer in measured:
                self._ping(peer, self._measure)
            for peer in knocked:
                self._count('knocks without the server')
                self._ping(peer, self._ping_tunnel)

    def _do(self, action: Action) -> None:
        if isinstance(action, Ping):
            self._ping(action.peer, self._ping_tunnel)
        elif isinstance(action, AskDerp):
            self._ping(action.peer, self._ping_derp)
        elif isinstance(action, Rebind):
            self._rebind(action)
        elif isinstance(action, Healed):
            _LOG.info('The link to %s is heard again; it was silent for %.1f s.', action.peer, action.silent)
            self._count('links healed')
            self._on_intervention(Intervention(action.peer, HEALED, action.silent, 'heard again after a rebind'))
        elif isinstance(action, Passed):
            _LOG.debug('The path to %s was suspected, and carries packets.', action.peer)
            self._count('suspicions that passed')
        else:
            assert isinstance(action, Unanswered)
            _LOG.info('%s answers on no path; there is nothing to heal.', action.peer)
            self._count('suspicions without an answer')

    def counts(self) -> Dict[str, int]:
        """Return how often each thing happened since this program started: the names of COUNTS -> number."""
        with self._condition:
            return dict(self._counts)

    def _count(self, what: str) -> None:
        with self._condition:
            self._counts[what] += 1

    def _ping(self, peer: str, ping: Callable[[str, str], None]) -> None:
        """Run one ping (of peer, address) in a thread of its own, unless too many are in the air."""
        with self._condition:
            address = self._addresses.get(peer)
            if address is None or self._pings >= MOST_PINGS:
                return
            self._pings += 1

        def run() -> None:
            try:
                ping(peer, str(address))
            except OverlayError as error:
                _LOG.debug('ping %s: %s', peer, error.sentence)
            finally:
                with self._condition:
                    self._pings -= 1

        SupervisedThread('ping ' + peer, run, restart=False).start()

    def _ping_tunnel(self, peer: str, address: str) -> None:
        answer = self._api_factory().ping(address, 'TSMP', PING_TIMEOUT)
        if not answer.error:
            with self._condition:
                self._judge.note_round_trip(peer, answer.latency)

    def _measure(self, peer: str, address: str) -> None:
        answer = self._api_factory().ping(address, 'disco', PING_TIMEOUT)
        if not answer.error:
            self._on_round_trip(peer, answer)

    def _ping_derp(self, peer: str, address: str) -> None:
        with self._condition:
            size = self._size
            self._size = FIRST_SIZE if size >= LAST_SIZE else size + 1
            before = self._endpoints.get(peer, '')
        answer = self._api_factory().ping(address, 'disco', PING_TIMEOUT, size)
        way = answer.endpoint or answer.peer_relay or answer.derp
        # An answer on the suspected path itself is no other way to the peer.
        if way and way != before and not answer.error:
            with self._condition:
                self._judge.note_derp_answer(peer, self._clock())

    def _restun(self) -> None:
        try:
            self._api_factory().debug('restun')
        except OverlayError as error:
            _LOG.warning('tailscaled does not ask for its own addresses: %s', error.sentence)
            self._count('requests for addresses that failed')
        else:
            _LOG.info('UDP is back: tailscaled asks for its own addresses again.')
            self._count('requests for addresses')

    def _rebind(self, action: Rebind) -> None:
        links: List[str] = sorted(action.silent)
        try:
            self._api_factory().debug('rebind')
        except OverlayError as error:
            _LOG.warning('tailscaled does not rebind: %s', error.sentence)
            self._count('rebinds that failed')
            for peer in links:
                self._on_intervention(Intervention(peer, REFUSED, action.silent[peer], error.sentence))
            return
        self._count('rebinds')
        for peer in links:
            _LOG.warning('The path to %s is dead: silent for %.1f s while the peer answers by another one. tailscaled '
                         'rebinds.', peer, action.silent[peer])
            self._on_intervention(Intervention(
                peer, REBIND, action.silent[peer], 'pings through the tunnel unanswered, the peer answers another way'))
