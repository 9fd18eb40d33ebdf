"""Turn tailscaled's bus, counters and status into snapshots and changes.

tailscaled 1.98 to 1.102 put no path change on the bus. So:

- the bus (blocking, costs nothing) reports changes of state, health, peers and whether they are online: read the status
  at once;
- the counters (0.1 ms, five times a second) show traffic on a path that no link explains: read the status at once;
- while a link is active its path can change without traffic (a late pong): read the status five times a second, less
  often when that is expensive (many peers), so that it never takes more than a twenty-fifth of a core. The counters,
  once a second, then show that a peer sends on another path than we do (dead_paths);
- a slow resync catches messages that the bus dropped: its queue holds 128.

Two threads: one reads the bus, the other reads counters and status, decides and calls the listener. When one of them,
or the listener, fails unexpectedly, a snapshot with an error replaces the last one at once: what nobody observes any
more is not known.
"""
import logging
import threading
import time
from typing import AbstractSet, Callable, FrozenSet, List, Optional

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.link_types import LinkType
from ua_overlay.protocols import Clock, JsonObject, WallClock
from ua_overlay.system.thread import SupervisedThread
from ua_overlay.tailscale.api import MessageBus, WatcherApi
from ua_overlay.tailscale.byte_counters import Counters, moved, parse_bytes
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.snapshot import Changes, Snapshot, diff, snapshot_of, snapshot_of_error

_LOG = logging.getLogger(__name__)

#: Seconds between two readings of the counters, and the longest time between two statuses while a link is active.
TICK = 0.2
#: Seconds between two readings of the counters while the status is as frequent: then they only show that a peer sends
#: on another path than we do.
SLOW_TICK = 1.0
#: Seconds between two statuses when nothing happens; also how often counters of bytes reach the listener.
RESYNC = 5.0
#: Seconds between two attempts while no daemon answers.
RETRY = 0.5
#: The pause between two statuses is at least this many times the cost of one. The cost is CPU time: on a busy machine
#: an answer may take half a second for want of a core, and a pause of 25 times that would hide changes for as long.
COST_FACTOR = 25
#: The shortest pause, whatever the bus reports.
SHORTEST_GAP = 0.05
#: CPU seconds here and in the daemon together, for each of them here (with 487 peers 10.5 ms here, 4.5 ms there).
WITH_DAEMON = 1.4

#: Fields of bus messages after which the status differs. The names are of 1.98 to 1.102; Engine, DriveShares and the
#: file messages are not in it.
_TELLING = ('State', 'NetMap', 'SelfChange', 'PeerChanges', 'PeersChanged', 'PeersRemoved', 'PeerChangedPatch',
            'Health', 'Prefs', 'LoginFinished', 'BrowseToURL', 'ErrMessage', 'InitialStatus')

#: (snapshot, changes) -> None.
Listener = Callable[[Snapshot, Changes], None]


class Unobserved(OverlayError):
    """What this program observes is not known: a thread of it failed unexpectedly, or hangs."""

    code = 'UNOBSERVED'


def is_telling(message: JsonObject) -> bool:
    """Return whether a bus message indicates a change of the status."""
    return any(message.get(name) is not None for name in _TELLING)


class Pace:
    """Decides when to read the status and the counters. Pure; all times are seconds of one clock."""

    def __init__(self) -> None:
        self.last_status: Optional[float] = None
        self.cost = 0.0
        self.active: FrozenSet[LinkType] = frozenset()
        #: The types that were active since the counters were read last.
        self.recent: FrozenSet[LinkType] = frozenset()
        self.running = False
        self.failed = False

    def note_status(self, ended: float, cost: float, snapshot: Snapshot) -> None:
        """Remember when a status (or its failure) arrived, its cost (CPU seconds) and its content."""
        self.last_status = ended
        self.failed = snapshot.daemon_error is not None
        if not self.failed:
            self.cost = cost
        self.running = snapshot.status.running
        self.active = frozenset(link.type for link in snapshot.links if link.type in link_types.CARRYING)
        self.recent |= self.active

    @property
    def gap(self) -> float:
        """Shortest time between two statuses, in seconds."""
        return max(SHORTEST_GAP, COST_FACTOR * self.cost)

    def status_at(self, woken: bool) -> float:
        """Return the time of the next status.

        :param woken: something indicated that the status changed.
        """
        if self.last_status is None:
            return 0.0
        if self.failed:
            return self.last_status + (SHORTEST_GAP if woken else RETRY)
        if woken:
            return self.last_status + self.gap
        return self.last_status + (max(TICK, self.gap) if self.active else RESYNC)

    def counters_period(self) -> Optional[float]:
        """Return the seconds between two readings of the counters, None when they show nothing."""
        if not self.running:
            return None
        return SLOW_TICK if self.active and self.gap <= TICK else TICK

    def unexplained(self, kinds: AbstractSet[LinkType]) -> AbstractSet[LinkType]:
        """Return the paths among ``kinds`` that no link has taken since the counters were read last.

        :param kinds: the paths on which bytes moved since then.
        """
        before, self.recent = self.recent, self.active
        return kinds - before


class Watcher:
    """Watches one tailscaled, across its restarts.

    :param api_factory: returns a new LocalApi; called once by each of the two threads, so that they share no
        connection.
    :param on_snapshot: called in the watcher's thread when something changed, and every :data:`RESYNC` seconds with
        false changes (fresh byte counters). It must not block. After an exception of its own it is offered a snapshot
        with an error, and then everything anew.
    :param on_status: called with every snapshot, five times a second while a link is active. It must not block.
    :param on_unexplained: called with the paths on which traffic moved although no link takes them. It must not block.
    """

    def __init__(self, api_factory: Callable[[], WatcherApi], on_snapshot: Optional[Listener] = None,
                 clock: Clock = time.monotonic, wall_clock: WallClock = time.time,
                 on_status: Callable[[Snapshot], None] = lambda snapshot: None,
                 on_unexplained: Callable[[AbstractSet[LinkType]], None] = lambda kinds: None) -> None:
        self._api_factory = api_factory
        self._on_snapshot = on_snapshot
        self._on_status = on_status
        self._on_unexplained = on_unexplained
        self._clock = clock
        self._wall_clock = wall_clock
        self._condition = threading.Condition()
        self._woken = False
        self._stopped = False
        self._current: Optional[Snapshot] = None
        self._bus: Optional[MessageBus] = None
        self._threads: List[SupervisedThread] = []

    @property
    def current(self) -> Optional[Snapshot]:
        """The latest Snapshot, None before the first."""
        return self._current

    def start(self) -> 'Watcher':
        """Start both threads; the first snapshot follows at once, also when there is no daemon."""
        # Without the bus, changes appear with the next resync, until the thread runs again.
        self._threads = [SupervisedThread('tailscale-bus', self._follow_bus),
                         SupervisedThread('tailscale-status', self._follow_status, self.lose_sight)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End both threads and wait for them (at most a call's timeout)."""
        with self._condition:
            self._stopped = True
            bus = self._bus
            self._condition.notify_all()
        if bus is not None:
            bus.close()
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join()

    def poke(self) -> None:
        """Read the status now, after a change that does not appear on the bus."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def lose_sight(self, sentence: str) -> None:
        """Replace the last snapshot by one with an error: the thread that makes them failed unexpectedly, or hangs. The
        next snapshot after it counts as a change of everything.

        :param sentence: why.
        """
        snapshot = snapshot_of_error(Unobserved(
            '{} What tailscaled does is not known.'.format(sentence), 'ua-overlay status'), self._wall_clock())
        self._call_listener(snapshot, self._take(snapshot))

    def wait_for(self, condition: Callable[[Snapshot], bool], timeout: float) -> Optional[Snapshot]:
        """Return the first snapshot for which ``condition(snapshot)`` holds, None after ``timeout`` seconds."""
        deadline = self._clock() + timeout
        with self._condition:
            while True:
                if self._current is not None and condition(self._current):
                    return self._current
                left = deadline - self._clock()
                if left <= 0 or self._stopped:
                    return None
                self._condition.wait(left)

    def __enter__(self) -> 'Watcher':
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    # -- the thread that reads the bus

    def _follow_bus(self) -> None:
        api = self._api_factory()
        while not self._stopped:
            try:
                bus = api.watch()
            except OverlayError as error:
                _LOG.debug('no bus: %s', error.sentence)
            else:
                with self._condition:
                    self._bus = bus
                    stopped = self._stopped
                if stopped:
                    bus.close()
                self._read(bus)
            with self._condition:
                self._bus = None
                if not self._stopped:
                    self._condition.wait_for(lambda: self._stopped, RETRY)

    def _read(self, bus: MessageBus) -> None:
        try:
            for message in bus:
                if message is not None and is_telling(message):
                    self.poke()
        except OverlayError as error:
            _LOG.debug('bus ended: %s', error.sentence)
            self.poke()
        finally:
            bus.release()

    # -- the thread that reads counters and status, and decides

    def _follow_status(self) -> None:
        api = self._api_factory()
        pace = Pace()
        text: bytes = b''
        counters: Counters = {}
        counters_at, listened_at = 0.0, None
        try:
            while True:
                task = self._next_task(pace, counters_at)
                if task is None:
                    return
                if task == 'status':
                    began = time.thread_time()
                    snapshot = self._ask(api)
                    pace.note_status(self._clock(), WITH_DAEMON * (time.thread_time() - began), snapshot)
                    changes = self._take(snapshot)
                    self._on_status(snapshot)
                    if changes or listened_at is None or self._clock() - listened_at >= 0.9 * RESYNC:
                        listened_at = self._clock()
                        self._call_listener(snapshot, changes)
                    continue
                counters_at = self._clock()
                try:
                    new_text = api.user_metrics()
                except OverlayError as error:
                    _LOG.debug('no counters: %s', error.sentence)
                    self.poke()
                    continue
                new_counters = counters if new_text == text else parse_bytes(new_text)
                unexplained = pace.unexplained(moved(counters, new_counters) if text else frozenset())
                text, counters = new_text, new_counters
                if unexplained:
                    self._on_unexplained(unexplained)
                    self.poke()
        finally:
            api.close()

    def _next_task(self, pace: Pace, counters_at: float) -> Optional[str]:
        """Wait until something is due: 'status', 'counters', or None when the watcher was stopped."""
        with self._condition:
            while not self._stopped:
                due = pace.status_at(self._woken)
                period = pace.counters_period()
                if period is not None:
                    due = min(due, counters_at + period)
                left = due - self._clock()
                if left <= 0:
                    break
                self._condition.wait(left)
            if self._stopped:
                return None
            if self._clock() < pace.status_at(self._woken):
                return 'counters'
            self._woken = False
            return 'status'

    def _ask(self, api: WatcherApi) -> Snapshot:
        try:
            return snapshot_of(parse_status(api.status()), self._wall_clock())
        except OverlayError as error:
            return snapshot_of_error(error, self._wall_clock())

    def _take(self, snapshot: Snapshot) -> Changes:
        with self._condition:
            changes = diff(self._current, snapshot)
            self._current = snapshot
            self._condition.notify_all()
        return changes

    def _call_listener(self, snapshot: Snapshot, changes: Changes) -> None:
        if self._on_snapshot is not None:
            self._on_snapshot(snapshot, changes)

