"""The path keeper pings what is suspected, has tailscaled rebind what is dead, and reports each intervention."""
import logging
import threading
import time

import pytest

from ua_overlay import link_types
from ua_overlay.lab.wait import wait
from ua_overlay.tailscale import better_paths, dead_paths, knocks, path_keeper
from ua_overlay.tailscale.localapi import DaemonError
from ua_overlay.tailscale.model import Link, Peer, PingResult, SelfNode, Status
from ua_overlay.tailscale.path_keeper import HEALED, REBIND, REFUSED, PathKeeper
from ua_overlay.tailscale.snapshot import Snapshot

PEER = Peer(name='dev-2', dns_name='dev-2.overlay.internal', addresses=('100.64.0.3',))
ENDPOINT = '198.51.100.7:41641'
LIMIT = 10.0


class Robot:
    """A link, and the daemon behind it: answers pings as long as the path lives, and rebinds."""

    def __init__(self, derp='site', rebind_error=None):
        self.alive, self.derp, self.rebind_error = True, derp, rebind_error
        self.online = True
        self.tx = self.rx = 1000
        self.kind = link_types.DIRECT
        self.pings, self.rebinds, self.restuns = [], 0, 0
        self.lock = threading.Lock()

    def ping(self, address, kind='disco', timeout=5.0, size=0):
        assert address == '100.64.0.3' and timeout == path_keeper.PING_TIMEOUT
        with self.lock:
            self.pings.append((kind, size))
            if kind == 'TSMP':
                self.tx += 60
                if self.alive:
                    self.rx += 60
                    return PingResult(latency=0.02)
            elif self.derp:
                return PingResult(latency=0.03, derp=self.derp)
            elif self.alive:
                return PingResult(latency=0.02, endpoint=ENDPOINT)
        raise DaemonError('no answer', code='NO_ANSWER')

    def debug(self, action):
        if action == 'restun':
            self.restuns += 1
            return
        assert action == 'rebind'
        if self.rebind_error:
            raise self.rebind_error
        with self.lock:
            self.rebinds += 1
            self.alive, self.kind = True, link_types.DERP

    def snapshot(self):
        with self.lock:
            self.tx += 200
            if self.alive:
                self.rx += 200
            link = Link('dev-2', PEER.dns_name, self.kind, ENDPOINT, rx_bytes=self.rx, tx_bytes=self.tx)
            own = SelfNode(online=self.online)
        return Snapshot(time.time(), Status(state='Running', self_node=own, peers=(PEER,)), (link,))


class Watching:
    """A keeper that is offered a status every 50 ms."""

    def __init__(self, robot, heal=True):
        self.robot, self.seen, self.offered, self.trips = robot, [], 0, []
        self.keeper = PathKeeper(lambda: robot, self.seen.append, lambda *trip: self.trips.append(trip), heal).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.keeper.stop()

    def until(self, what, condition):
        def offer_and_check():
            self.keeper.offer(self.robot.snapshot())
            self.offered += 1
            return condition()
        wait(what, offer_and_check, LIMIT)

    def statuses(self, count):
        """Offer this many more statuses."""
        end = self.offered + count
        self.until('{} statuses'.format(count), lambda: self.offered >= end)

    def heard(self):
        self.statuses(12)


def test_a_dead_path_is_rebound_and_reported_and_so_is_its_healing(caplog):
    caplog.set_level(logging.INFO)
    robot = Robot()
    with Watching(robot) as watching:
        watching.heard()
        assert sorted(robot.pings) == [('TSMP', 0), ('disco', 0)]  # to learn the round trip
        robot.alive = False
        watching.until('The rebind', lambda: robot.rebinds)
        watching.until('The healing', lambda: len(watching.seen) > 1)
    assert robot.rebinds == 1
    first, second = watching.seen
    assert (first.peer, first.action) == ('dev-2', REBIND) and 0.7 < first.silent < 3.0
    assert (second.peer, second.action) == ('dev-2', HEALED) and second.silent >= first.silent
    assert ('TSMP', 0) in robot.pings
    assert [size for kind, size in robot.pings if size][0] == path_keeper.FIRST_SIZE
    assert 'The path to dev-2 is dead' in caplog.text and 'heard again' in caplog.text
    counts = watching.keeper.counts()
    assert set(counts) == set(path_keeper.COUNTS)
    assert (counts['rebinds'], counts['links healed'], counts['rebinds that failed']) == (1, 1, 0)


def test_a_peer_that_hears_nothing_is_pinged_after_the_rebind_until_it_is_heard():
    """So that it learns, from the bytes by DERP, that its own path is dead."""
    robot = Robot()
    with Watching(robot) as watching:
        watching.heard()
        robot.alive = False
        rebind = robot.debug

        def one_sided(action):
            rebind(action)
            robot.alive = False
        robot.debug = one_sided
        watching.until('The rebind', lambda: robot.rebinds)
        with robot.lock:
            del robot.pings[:]
        watching.until('A ping', lambda: ('TSMP', 0) in robot.pings)
    assert robot.rebinds == 1


@pytest.mark.parametrize('kinds, pings', [({link_types.DERP}, 1), ({link_types.PEER_RELAY}, 0)])
def test_a_link_that_is_heard_by_another_way_is_pinged_and_acquitted(kinds, pings):
    robot = Robot()
    with Watching(robot) as watching:
        watching.heard()
        with robot.lock:
            del robot.pings[:]
        watching.keeper.note_unexplained(kinds)
        watching.keeper.note_unexplained(kinds)
        watching.statuses(12)
    assert robot.pings.count(('TSMP', 0)) == pings and robot.rebinds == 0 and watching.seen == []
    assert watching.keeper.counts()['suspicions that passed'] == pings


def test_a_refusal_of_tailscaled_is_reported(caplog):
    robot = Robot(rebind_error=DaemonError('This user may not command tailscaled.', code='DAEMON_DENIED'))
    with Watching(robot) as watching:
        watching.heard()
        robot.alive = False
        watching.until('The report', lambda: watching.seen)
    assert (watching.seen[0].action, watching.seen[0].reason) == (REFUSED, 'This user may not command tailscaled.')
    assert watching.keeper.counts()['rebinds'] == 0 and watching.keeper.counts()['rebinds that failed'] == 1
    assert 'tailscaled does not rebind: This user may not' in caplog.text


def test_an_answer_on_the_suspected_path_is_no_other_way():
    """Pings through the tunnel get lost, and disco pings do not: a rebind would not help."""
    robot = Robot(derp='')
    with Watching(robot) as watching:
        watching.heard()
        robot.alive = False
        watching.until('Questions', lambda: sum(size > 0 for _, size in robot.pings) >= 2)
        with robot.lock:
            robot.ping, answers = lambda *args, **more: PingResult(latency=0.02, endpoint=ENDPOINT), robot.pings
        watching.statuses(60)
    assert robot.rebinds == 0 and watching.seen == [] and answers


def test_pings_are_bounded(monkeypatch):
    monkeypatch.setattr(path_keeper, 'MOST_PINGS', 2)
    robot, release = Robot(), threading.Event()
    waiting = []

    def ping(address, kind='disco', timeout=5.0, size=0):
        waiting.append(kind)
        release.wait(LIMIT)
        raise DaemonError('no answer', code='NO_ANSWER')

    with Watching(robot) as watching:
        watching.heard()
        robot.alive, robot.ping = False, ping
        watching.until('Two pings', lambda: len(waiting) == 2)
        watching.statuses(30)
        assert len(waiting) == 2
        release.set()
        watching.until('More pings', lambda: len(waiting) > 2)


@pytest.mark.fault('new', 'Two robots reboot while their server is dead: each waits for the other',
                   behaviour='Each knocks at its team mates over a DERP that lives, until it hears them',
                   reported='at once: /diagnostics', recovery='with the first knock, after 3 s without the server',
                   lost='nothing')
def test_a_robot_without_its_server_knocks_at_its_team_mates(monkeypatch):
    monkeypatch.setattr(path_keeper, 'KNOCK_TICK', 0.02)
    monkeypatch.setattr(knocks, 'GRACE', 0.1)
    robot = Robot()
    robot.online, robot.alive, robot.kind = False, False, link_types.IDLE
    seen = []
    keeper = PathKeeper(lambda: robot, seen.append).start()
    keeper.offer(robot.snapshot())
    wait('A knock', lambda: robot.pings, LIMIT)
    robot.online = True
    keeper.offer(robot.snapshot())
    keeper.stop()
    assert robot.pings == [('TSMP', 0)] and robot.rebinds == 0 and seen == []
    assert keeper.counts()['knocks without the server'] == 1


@pytest.mark.parametrize('heal', [True, False])
def test_a_better_path_is_looked_for_and_what_it_needs_is_asked_for(monkeypatch, heal):
    monkeypatch.setattr(better_paths, 'FIRST', 0.2)
    monkeypatch.setattr(better_paths, 'PERIOD', 0.1)
    robot = Robot()
    with Watching(robot, heal) as watching:
        watching.heard()
        robot.kind = link_types.DERP
        watching.statuses(20)
        looks = robot.pings.count(('disco', 0)) - 1
        assert (looks >= 2) == heal and robot.restuns == 0
        # UDP is back, by a relay; a direct path may follow.
        robot.kind = link_types.PEER_RELAY
        watching.statuses(12)
        assert robot.restuns == (1 if heal else 0)
        robot.kind = link_types.DIRECT
        watching.statuses(3)
    counts = watching.keeper.counts()
    assert (counts['looks for a better path'] >= looks if heal else counts['looks for a better path'] == 0)
    assert counts['requests for addresses'] == robot.restuns and robot.rebinds == 0


def test_a_refused_request_for_addresses_is_logged_and_counted(monkeypatch, caplog):
    robot = Robot()
    refusal = DaemonError('This user may not command tailscaled.', code='DAEMON_DENIED')

    def debug(action):
        raise refusal
    robot.debug = debug
    with Watching(robot) as watching:
        for kind in (link_types.DIRECT, link_types.DERP, link_types.PEER_RELAY):
            robot.kind = kind
            watching.statuses(3)
    assert watching.keeper.counts()['requests for addresses that failed'] == 1
    assert 'does not ask for its own addresses: This user may not' in caplog.text


def test_a_peer_that_answers_on_no_path_is_counted(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(dead_paths, 'GIVE_UP', 0.5)
    robot = Robot(derp='')
    with Watching(robot) as watching:
        watching.heard()
        robot.alive = False
        watching.until('The end of the suspicion', lambda: watching.keeper.counts()['suspicions without an answer'])
    assert robot.rebinds == 0 and 'dev-2 answers on no path' in caplog.text


def test_round_trips_are_measured_also_where_nothing_is_healed():
    robot = Robot(derp='')
    with Watching(robot, heal=False) as watching:
        watching.until('A round trip', lambda: watching.trips)
        robot.alive = False
        watching.statuses(60)
    assert watching.trips == [('dev-2', PingResult(latency=0.02, endpoint=ENDPOINT))]
    assert robot.pings == [('disco', 0)] and robot.rebinds == 0


@pytest.mark.parametrize('snapshot', [Snapshot(0.0), Snapshot(0.0, Status(peers=(Peer(name='x'),)), (Link('x'),))])
def test_a_status_without_links_is_taken(snapshot):
    keeper = PathKeeper(Robot, lambda intervention: None).start()
    keeper.offer(snapshot)
    keeper.stop()
    assert not keeper._thread.is_alive() and keeper._thread.failures == 0
