"""When the watcher asks for what; the threads are tested on real daemons in test/lab/test_localapi_watcher.py."""
import contextlib
import json
import os
import threading
import time
from dataclasses import replace

import hostile
import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.lab.wait import wait
from ua_overlay.tailscale import watcher as watchers
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.snapshot import snapshot_of, snapshot_of_error
from ua_overlay.tailscale.watcher import (
    COST_FACTOR,
    RESYNC,
    RETRY,
    SHORTEST_GAP,
    SLOW_TICK,
    TICK,
    Pace,
    Watcher,
    is_telling,
)
from unit.tailscale.test_model import ANSWERS, VERSIONS, load

RUNNING = snapshot_of(parse_status(load('running', VERSIONS[0])), 0.0)
IDLE = replace(RUNNING, links=tuple(replace(link, type='IDLE') for link in RUNNING.links))
STOPPED = snapshot_of(parse_status(load('stopped', VERSIONS[0])), 0.0)


def pace_after(snapshot, cost=0.001):
    pace = Pace()
    pace.note_status(100.0, cost, snapshot)
    return pace


def test_the_first_status_is_due_at_once():
    assert Pace().status_at(False) == 0.0


def test_idle_waits_for_the_resync_unless_woken():
    pace = pace_after(IDLE)
    assert pace.status_at(False) == 100.0 + RESYNC
    assert pace.status_at(True) == 100.0 + SHORTEST_GAP
    assert pace.counters_period() == TICK


def test_an_active_link_polls_the_status_every_tick():
    pace = pace_after(RUNNING)
    assert pace.status_at(False) == 100.0 + TICK
    assert pace.counters_period() == SLOW_TICK  # the status itself is as frequent


def test_an_expensive_status_is_polled_less_often():
    pace = pace_after(RUNNING, cost=0.015)
    assert pace.status_at(False) == pytest.approx(100.0 + COST_FACTOR * 0.015)
    assert pace.status_at(True) == pytest.approx(100.0 + COST_FACTOR * 0.015)
    assert pace.counters_period() == TICK


class SlowDaemon:
    """Answers late, as a daemon without a free core does; its link is active."""

    def __init__(self):
        self.answer = load('running', VERSIONS[0])
        self.asked = threading.Semaphore(0)

    def status(self):
        time.sleep(0.5)
        self.asked.release()
        return self.answer

    def user_metrics(self):
        return b''

    def watch(self):
        raise OverlayError('no bus', '', 'NO_DAEMON')

    def close(self):
        pass


def test_waiting_for_a_core_does_not_make_a_status_expensive():
    daemon = SlowDaemon()
    deadline = time.monotonic() + COST_FACTOR * 0.5
    with Watcher(lambda: daemon):
        # With the wait as its cost, the second would come after the deadline, the fourth long after.
        for _ in range(4):
            assert daemon.asked.acquire(timeout=max(0.0, deadline - time.monotonic()))


class Daemon(SlowDaemon):
    """Answers at once; the next status raises what is in ``failures``."""

    def __init__(self, *failures):
        super().__init__()
        self.failures = list(failures)

    def status(self):
        if self.failures:
            raise self.failures.pop(0)
        return self.answer


LIMIT = 20.0


@pytest.mark.fault('K1', 'A thread that observes tailscaled fails unexpectedly',
                   behaviour='its last snapshot is not published any more', reported='at once: topic, diagnostics',
                   recovery='20 s', lost='nothing')
@pytest.mark.parametrize('failure', [ValueError('odd'), RecursionError(), KeyError('Self'), MemoryError()])
def test_a_status_that_nobody_expected_makes_the_state_unknown_at_once(failure):
    daemon, seen, back = Daemon(), [], threading.Event()

    def listen(snapshot, changes):
        seen.append((snapshot, changes))
        if len(seen) == 1:
            daemon.failures.append(failure)
        if len(seen) == 3:
            back.set()

    with Watcher(lambda: daemon, listen) as watcher:
        assert back.wait(LIMIT)
        assert watcher.current.daemon_error is None
    (first, _), (unknown, changes), (again, later) = seen[:3]
    assert first.status.running and first.links
    assert unknown.daemon_error.code == 'UNOBSERVED' and 'tailscale-status failed' in unknown.daemon_error.sentence
    assert not unknown.status.peers and not unknown.links and changes.daemon and changes.peers
    assert again.status == first.status and later.daemon and later.peers


def test_a_listener_that_fails_is_offered_everything_again():
    seen, back = [], threading.Event()

    def listen(snapshot, changes):
        seen.append(snapshot)
        if len(seen) == 1:
            raise OSError(28, 'No space left on device')
        if snapshot.status.running:
            assert changes.daemon and changes.peers and changes.links
            back.set()

    with Watcher(lambda: Daemon(), listen):
        assert back.wait(LIMIT)
    assert seen[1].daemon_error.code == 'UNOBSERVED'


def test_a_bus_that_fails_unexpectedly_is_followed_again():
    calls, again = [], threading.Event()

    class OddBus(Daemon):
        def watch(self):
            calls.append(1)
            if len(calls) == 1:
                raise AttributeError('odd')
            again.set()
            return super().watch()

    with Watcher(OddBus):
        assert again.wait(LIMIT)


def test_no_counters_while_stopped():
    assert pace_after(STOPPED).counters_period() is None


def test_a_missing_daemon_is_retried_soon():
    pace = pace_after(snapshot_of_error(OverlayError('gone', '', 'NO_DAEMON'), 0.0))
    assert pace.status_at(False) == 100.0 + RETRY
    assert pace.status_at(True) == 100.0 + SHORTEST_GAP


def test_unexplained_traffic():
    pace = pace_after(IDLE)
    assert pace.unexplained({'DERP'}) and not pace.unexplained(set())
    direct_only = replace(RUNNING, links=RUNNING.links[:1])
    assert not pace_after(direct_only).unexplained({'DIRECT'})
    assert pace_after(direct_only).unexplained({'DIRECT', 'DERP'}) == {'DERP'}


def test_a_path_that_was_in_use_since_the_last_reading_explains_its_traffic():
    direct_only = replace(RUNNING, links=RUNNING.links[:1])
    by_derp = replace(RUNNING, links=tuple(replace(link, type='DERP') for link in RUNNING.links[:1]))
    pace = pace_after(by_derp)
    pace.note_status(100.2, 0.001, direct_only)
    assert pace.unexplained({'DIRECT', 'DERP'}) == set()
    assert pace.unexplained({'DIRECT', 'DERP'}) == {'DERP'}


def test_a_peer_that_sends_by_derp_over_a_direct_link_is_reported(monkeypatch):
    """As after its own rebind: see dead_paths."""
    monkeypatch.setattr(watchers, 'SLOW_TICK', 0.05)
    daemon, seen = Daemon(), []
    for peer in daemon.answer['Peer'].values():  # without a link by DERP
        peer['Active'] = peer['Active'] and bool(peer.get('CurAddr'))
    counts = {'direct_ipv4': 1000, 'derp': 50}

    def user_metrics():
        counts['direct_ipv4'] += 200
        return ''.join('tailscaled_inbound_bytes_total{{path="{}"}} {}\n'.format(*each)
                       for each in counts.items()).encode()

    daemon.user_metrics = user_metrics
    with Watcher(lambda: daemon, on_unexplained=seen.append):
        wait('The counters', lambda: counts['direct_ipv4'] > 2000, LIMIT)
        assert seen == []
        counts['derp'] += 100
        wait('The report', lambda: seen, LIMIT)
    assert seen == [{'DERP'}]


@pytest.mark.parametrize('version', VERSIONS)
def test_bus_messages_of_a_join(version):
    with open(os.path.join(ANSWERS, 'bus_join-{}.json'.format(version))) as stream:
        messages = json.load(stream)
    for name in ('State', 'SelfChange', 'LoginFinished', 'Health'):
        assert any(name in message and is_telling(message) for message in messages), name
    assert any(name in message for message in messages for name in ('PeerChanges', 'PeersChanged'))
    assert not is_telling({'Version': '1', 'Engine': {'RBytes': 1}, 'NetMap': None})


class Observed:
    """A tailscaled that misbehaves, and a watcher of it."""

    def __init__(self, directory, kind, good):
        self.kind = kind
        self.server = hostile.LocalApi(directory, kind, hostile.RUNNING, good)
        self.watcher = Watcher(lambda: LocalApi(str(directory / hostile.SOCKET), 2.0), lambda snapshot, changes: None)

    def asked(self):
        return max(len(self.server.requests), self.server.connections)


@pytest.mark.parametrize('good', [(), ('status',)], ids=['at once', 'only the bus and the counters'])
def test_a_hostile_tailscaled_is_an_error_and_no_failure_of_a_thread(tmp_path, good, caplog):
    """Whatever it sends is expected: its threads go on, and no traceback is logged."""
    with contextlib.ExitStack() as until:
        all_kinds = []
        for number, kind in enumerate(hostile.QUICK):
            directory = tmp_path / str(number)
            directory.mkdir()
            all_kinds.append(Observed(directory, kind, good))
            until.callback(all_kinds[-1].server.close)
            until.enter_context(all_kinds[-1].watcher)
        for each in all_kinds:
            assert each.watcher.wait_for(lambda snapshot: True, LIMIT), each.kind
        wait('Four questions to each', lambda: all(each.asked() >= 4 for each in all_kinds), LIMIT)
        failed = {each.kind: thread.problem for each in all_kinds for thread in each.watcher._threads
                  if thread.failures}
    assert failed == {} and not [record for record in caplog.records if record.exc_info]
