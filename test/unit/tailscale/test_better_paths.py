"""A link that lost its better path is looked after, with less and less effort; no other link is."""
import pytest

from ua_overlay.link_types import DERP, DIRECT, IDLE, OFFLINE, PEER_RELAY
from ua_overlay.tailscale import better_paths
from ua_overlay.tailscale.better_paths import FIRST, GAP, LONGEST, PERIOD, RESTUN_PERIOD, SHARE, BetterPaths
from ua_overlay.tailscale.dead_paths import LinkSample

TICK = 0.2


class Links:
    """Links whose types a test changes, and what was asked for: [(seconds, peer)]."""

    def __init__(self, *peers, kind=DIRECT, bytes_per_second=2000):
        self.kinds = dict.fromkeys(peers, kind)
        self.speed, self.carried = bytes_per_second, 0
        self.paths, self.now, self.looks, self.requests = BetterPaths(), 0.0, [], []

    def run(self, seconds):
        end = self.now + seconds
        while self.now < end - TICK / 2:
            self.now += TICK
            self.carried += int(self.speed * TICK)
            samples = {peer: LinkSample(kind, self.carried, 0) for peer, kind in self.kinds.items()}
            self.looks += [(self.now, peer) for peer in self.paths.due(self.now, samples)]
            if self.paths.wants_addresses(self.now):
                self.requests.append(self.now)
        return self

    def set(self, kind, *peers):
        for peer in peers or list(self.kinds):
            self.kinds[peer] = kind
        return self

    def pauses(self):
        return [later - earlier for (earlier, _), (later, _) in zip(self.looks, self.looks[1:])]


@pytest.mark.parametrize('kind', [DERP, PEER_RELAY])
def test_a_lost_path_is_looked_for_again_and_again_and_then_less_often(kind):
    links = Links('dev-2').run(10.0).set(kind).run(2000.0)
    assert links.looks[0][0] - 10.0 == pytest.approx(FIRST + TICK, abs=TICK)
    pauses = links.pauses()
    assert all(pause >= PERIOD - 1e-6 for pause in pauses)
    early = [pause for (at, _), pause in zip(links.looks, pauses) if at < 10.0 + PERIOD / SHARE]
    assert len(early) > 10 and max(early) <= PERIOD + 2 * TICK
    assert all(earlier <= later + 2 * TICK for earlier, later in zip(pauses, pauses[1:]))
    assert LONGEST <= pauses[-1] <= LONGEST + 2 * TICK
    assert len(links.looks) < 200
    links.looks = []
    links.set(DIRECT).run(60.0)
    assert links.looks == []


@pytest.mark.fault('new', 'UDP comes back to a robot that had to go by DERP or a relay',
                   behaviour='Its links are looked after: tailscaled tries every address of the peer at once',
                   reported='at once: link_events', recovery='5 s until it tries, after an outage of 100 s at most',
                   lost='nothing')
@pytest.mark.parametrize('outage', [10.0, 30.0, 100.0])
def test_a_path_that_comes_back_is_looked_for_within_five_seconds(outage):
    links = Links('dev-2').run(10.0).set(DERP).run(outage)
    before = len(links.looks)
    links.run(5.0 + TICK)
    assert len(links.looks) > before


def test_a_link_that_never_had_a_better_path_is_left_alone():
    assert Links('dev-2', kind=DERP).run(600.0).looks == []
    assert Links('dev-2', kind=PEER_RELAY).run(600.0).looks == []
    # It never was direct, but by a relay, which UDP needs, too.
    assert Links('dev-2', kind=PEER_RELAY).run(10.0).set(DERP).run(20.0).looks


@pytest.mark.parametrize('kind', [IDLE, OFFLINE])
def test_a_link_without_traffic_is_left_alone(kind):
    assert Links('dev-2').run(10.0).set(kind).run(600.0).looks == []
    assert Links('dev-2', bytes_per_second=0).run(10.0).set(DERP).run(600.0).looks == []


def test_many_links_take_turns_and_cost_no_more():
    peers = ['dev-{}'.format(number) for number in range(2, 52)]
    links = Links(*peers).run(10.0).set(DERP).run(60.0)
    assert min(links.pauses()) >= GAP - 1e-6
    seen = [peer for _, peer in links.looks[:50]]
    assert sorted(seen) == sorted(peers)


def test_when_udp_comes_back_the_own_addresses_are_asked_for_once():
    links = Links('dev-2', 'dev-3').run(10.0).set(DERP).run(20.0)
    assert links.requests == []
    links.set(DIRECT, 'dev-2').run(10.0)
    assert len(links.requests) == 1 and links.requests[0] == pytest.approx(30.0 + TICK)
    links.set(DERP, 'dev-2').run(2.0).set(DIRECT, 'dev-2').run(2.0)
    assert len(links.requests) == 1
    links.run(RESTUN_PERIOD)
    assert len(links.requests) == 2


def test_without_a_link_that_waits_for_it_nothing_is_asked_for():
    links = Links('dev-2').run(10.0).set(DERP).run(20.0).set(DIRECT).run(30.0)
    assert links.requests == []
    # A relay shows that UDP is back, and a direct path may follow.
    assert len(links.set(DERP).run(20.0).set(PEER_RELAY).run(30.0).requests) == 1


def test_a_new_daemon_and_a_peer_that_left_are_forgotten():
    links = Links('dev-2').run(10.0).set(DERP)
    links.carried = 0
    assert links.run(20.0).looks == []
    links.kinds = {}
    links.run(1.0)
    assert links.paths._hopes == {}


def test_the_period():
    assert [better_paths.period(seconds) for seconds in (0.0, 30.0, 90.0, 1800.0, 1e6)] == [1.0, 1.0, 3.0, 60.0, 60.0]
