"""Turns tailscaled's bus, counters and status into snapshots and changes.

tailscaled 1.98 and 1.100 put no path change on the bus. So:

- the bus (blocking, free) says when state, health, peers or their being online changed: status at once;
- the counters (0.1 ms, five times a second) say when traffic moved on a path that no known link explains: status at
  once;
- while a link is active its path can change without traffic (a late pong): status five times a second, less often
  when a status costs more (many peers), so that it never takes more than a twenty-fifth of a core;
- a slow resync catches what the bus dropped: its queue holds 128 messages.

Two threads: one reads the bus, one decides and asks. Everything is handed out by the second.
"""
import logging
import threading
import time

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.metrics import moved, parse_bytes
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.snapshot import diff, snapshot_of, snapshot_of_error

_LOG = logging.getLogger(__name__)

#: Seconds between two looks at the counters, and at most between two looks at an active link.
TICK = 0.2
#: Seconds between two statuses when nothing happens; also how often counters of bytes reach the listener.
RESYNC = 5.0
#: Seconds between two attempts while no daemon answers.
RETRY = 0.5
#: A status is asked for at most once in this many times its own cost. That is CPU time: on a busy machine an answer may
#: take half a second for want of a core, and resting 25 times as long would leave changes unseen for as long.
COST_FACTOR = 25
#: ... and not more often than this, whatever the bus says.
SHORTEST_GAP = 0.05
#: CPU seconds here and in the daemon together, for each of them here (with 487 peers 10.5 ms here, 4.5 ms there).
WITH_DAEMON = 1.4

#: Messages of the bus after which the status is another. The names are of 1.98 and 1.100; Engine, DriveShares and the
#: file messages are not in it.
_TELLING = ('State', 'NetMap', 'SelfChange', 'PeerChanges', 'PeersChanged', 'PeersRemoved', 'PeerChangedPatch',
            'Health', 'Prefs', 'LoginFinished', 'BrowseToURL', 'ErrMessage', 'InitialStatus')


def is_telling(message):
    """True when a bus message (dict) says that something in the status changed."""
    return any(message.get(name) is not None for name in _TELLING)


class Pace:
    """When to ask for what: pure, times in seconds of one clock."""

    def __init__(self):
        self.last_status = None
        self.cost = 0.0
        self.active = frozenset()
        self.running = False
        self.failed = False

    def note_status(self, ended, cost, snapshot):
        """Remember when a status (or its failure) was there, what it cost (CPU seconds) and showed."""
        self.last_status = ended
        self.failed = snapshot.daemon_error is not None
        if not self.failed:
            self.cost = cost
        self.running = snapshot.state == 'Running'
        self.active = frozenset(link.type for link in snapshot.links if link.type in link_types.CARRYING)

    @property
    def gap(self):
        """Least seconds between two statuses."""
        return max(SHORTEST_GAP, COST_FACTOR * self.cost)

    def status_at(self, woken):
        """The time of the next status; ``woken``: something said that it changed."""
        if self.last_status is None:
            return 0.0
        if self.failed:
            return self.last_status + (SHORTEST_GAP if woken else RETRY)
        if woken:
            return self.last_status + self.gap
        return self.last_status + (max(TICK, self.gap) if self.active else RESYNC)

    def counters_needed(self):
        """True while the counters can tell what no status would in time."""
        return self.running and not (self.active and self.gap <= TICK)

    def unexplained(self, kinds):
        """True when traffic moved on a path that no known link takes."""
        return bool(kinds - self.active)


class Watcher:
    """Watches one tailscaled through its restarts.

    :param api_factory: returns a new LocalApi; called once for each of the two threads, whose connections are theirs.
    :param on_snapshot: called as ``on_snapshot(snapshot, changes)`` in the watcher's thread when something changed,
        and every :data:`RESYNC` seconds with false changes (fresh byte counters). It must not block; what it
        raises is logged.
    """

    def __init__(self, api_factory, on_snapshot=None, clock=time.monotonic, wall_clock=time.time):
        self._api_factory = api_factory
        self._on_snapshot = on_snapshot
        self._clock = clock
        self._wall_clock = wall_clock
        self._condition = threading.Condition()
        self._woken = False
        self._stopped = False
        self._current = None
        self._bus = None
        self._threads = []

    @property
    def current(self):
        """The latest Snapshot, None before the first."""
        return self._current

    def start(self):
        """Start both threads; the first snapshot follows at once, also when there is no daemon."""
        for target, name in ((self._follow_bus, 'bus'), (self._decide, 'status')):
            thread = threading.Thread(target=target, name='tailscale-' + name, daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def stop(self):
        """End both threads and wait for them (at most a call's timeout)."""
        with self._condition:
            self._stopped = True
            bus = self._bus
            self._condition.notify_all()
        if bus is not None:
            bus.close()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def poke(self):
        """Ask for the status now: something changed that the bus will not tell."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def wait_for(self, condition, timeout):
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

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc_info):
        self.stop()

    # -- the thread that reads the bus

    def _follow_bus(self):
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

    def _read(self, bus):
        try:
            for message in bus:
                if is_telling(message):
                    self.poke()
        except OverlayError as error:
            _LOG.debug('bus ended: %s', error.sentence)
            self.poke()
        finally:
            bus.release()

    # -- the thread that decides and asks

    def _decide(self):
        api = self._api_factory()
        pace = Pace()
        counters_text, counters, counters_at = b'', {}, 0.0
        told_at = None
        try:
            while True:
                with self._condition:
                    while not self._stopped:
                        due = pace.status_at(self._woken)
                        if pace.counters_needed():
                            due = min(due, counters_at + TICK)
                        left = due - self._clock()
                        if left <= 0:
                            break
                        self._condition.wait(left)
                    if self._stopped:
                        return
                    ask_status = self._clock() >= pace.status_at(self._woken)
                    if ask_status:
                        self._woken = False
                if ask_status:
                    began = time.thread_time()
                    snapshot = self._ask(api)
                    pace.note_status(self._clock(), WITH_DAEMON * (time.thread_time() - began), snapshot)
                    changes = diff(self._current, snapshot)
                    with self._condition:
                        self._current = snapshot
                        self._condition.notify_all()
                    if changes or told_at is None or self._clock() - told_at >= 0.9 * RESYNC:
                        told_at = self._clock()
                        self._tell(snapshot, changes)
                    continue
                counters_at = self._clock()
                try:
                    text = api.user_metrics()
                except OverlayError as error:
                    _LOG.debug('no counters: %s', error.sentence)
                    self.poke()
                    continue
                if text != counters_text:
                    now = parse_bytes(text)
                    kinds = moved(counters, now) if counters_text else set()
                    counters_text, counters = text, now
                    if pace.unexplained(kinds):
                        self.poke()
        finally:
            api.close()

    def _ask(self, api):
        try:
            return snapshot_of(parse_status(api.status()), self._wall_clock())
        except OverlayError as error:
            return snapshot_of_error(error, self._wall_clock())

    def _tell(self, snapshot, changes):
        if self._on_snapshot is None:
            return
        try:
            self._on_snapshot(snapshot, changes)
        except Exception:
            _LOG.exception('the listener of the watcher failed')
