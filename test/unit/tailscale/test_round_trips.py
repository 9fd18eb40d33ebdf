"""Links with traffic are measured, each at most once in ten seconds; idle links are left alone."""
from ua_overlay import link_types
from ua_overlay.tailscale.dead_paths import LinkSample
from ua_overlay.tailscale.round_trips import MOST, PERIOD, TRAFFIC, RoundTrips


def sample(carried, kind=link_types.DIRECT):
    return LinkSample(kind, carried // 2, carried - carried // 2)


def test_a_link_with_traffic_is_measured_once_in_ten_seconds():
    trips, times = RoundTrips(), []
    for tick in range(300):
        now = tick * 0.2
        if trips.due(now, {'dev-2': sample(1000 * tick)}):
            times.append(now)
    assert len(times) == 6
    assert min(later - earlier for earlier, later in zip(times, times[1:])) >= PERIOD


def test_a_link_without_traffic_is_left_alone():
    trips = RoundTrips()
    assert trips.due(0.0, {'dev-2': sample(5000)}) == []
    assert trips.due(60.0, {'dev-2': sample(5000 + TRAFFIC - 1)}) == []
    assert trips.due(61.0, {'dev-2': sample(5000 + TRAFFIC)}) == ['dev-2']
    assert trips.due(120.0, {'dev-2': sample(5000 + TRAFFIC)}) == []


def test_only_links_with_a_path_are_measured():
    for kind in link_types.ORDER:
        trips = RoundTrips()
        trips.due(0.0, {'dev-2': sample(0, kind)})
        assert trips.due(1.0, {'dev-2': sample(9999, kind)}) == (['dev-2'] if kind in link_types.CARRYING else [])


def test_many_links_take_turns():
    trips, seen = RoundTrips(), []
    peers = ['dev-{}'.format(number) for number in range(3 * MOST)]
    for tick in range(4):
        chosen = trips.due(float(tick), {peer: sample(1000 * tick) for peer in peers})
        assert len(chosen) <= MOST
        seen += chosen
    assert sorted(seen) == sorted(peers)


def test_a_new_daemon_and_a_lost_peer():
    trips = RoundTrips()
    trips.due(0.0, {'dev-2': sample(0)})
    assert trips.due(1.0, {'dev-2': sample(9000)}) == ['dev-2']
    assert trips.due(20.0, {'dev-2': sample(10)}) == []
    assert trips.due(21.0, {'dev-2': sample(1010)}) == ['dev-2']
    assert trips.due(22.0, {}) == [] and trips._measured == {}
