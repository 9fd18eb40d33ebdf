"""While the server is away, a robot knocks at the peers that it has not heard, and at nobody else."""
from ua_overlay import link_types
from ua_overlay.tailscale.dead_paths import LinkSample
from ua_overlay.tailscale.knocks import GRACE, HEARD, MOST, PATIENCE, PERIOD, SLOW_PERIOD, Knocks


def samples(**received):
    return {peer.replace('_', '-'): LinkSample(link_types.IDLE, 0, rx) for peer, rx in received.items()}


def alone(at=0.0):
    """Knocks of a robot that has been without its server for a moment."""
    knocks = Knocks()
    assert knocks.due(at - GRACE, False, {}) == []
    return knocks


def test_a_restart_of_the_server_makes_nobody_knock():
    knocks = Knocks()
    for tick in range(100):
        assert knocks.due(tick * 0.2, tick % 20 > 14, samples(dev_2=0)) == []


def test_nobody_knocks_while_the_server_is_there():
    knocks = Knocks()
    assert [knocks.due(float(now), True, samples(dev_2=0)) for now in range(100)] == [[]] * 100


def test_a_silent_peer_is_knocked_at_again_and_again_and_then_less_often():
    knocks, times = alone(), []
    for tick in range(0, 2000):
        now = tick * 0.2
        if knocks.due(now, False, samples(dev_2=0)):
            times.append(now)
    pauses = [later - earlier for earlier, later in zip(times, times[1:])]
    assert times[0] == 0.0 and min(pauses) >= PERIOD
    assert all(pause < PERIOD + 0.3 for time, pause in zip(times[1:], pauses) if time < PATIENCE)
    assert all(pause >= SLOW_PERIOD for time, pause in zip(times[1:], pauses) if time > PATIENCE + SLOW_PERIOD)


def test_a_peer_that_is_heard_is_left_alone():
    knocks = alone()
    assert knocks.due(0.0, False, samples(dev_2=5, dev_3=5)) == ['dev-2', 'dev-3']
    assert knocks.due(2.0, False, samples(dev_2=6, dev_3=5)) == ['dev-3']
    assert knocks.due(4.0, False, samples(dev_2=6, dev_3=6)) == []
    assert knocks.due(2.0 + HEARD, False, samples(dev_2=6, dev_3=7)) == ['dev-2']


def test_a_server_that_comes_back_ends_it_and_its_next_absence_begins_anew():
    knocks = alone()
    assert knocks.due(0.0, False, samples(dev_2=0)) == ['dev-2']
    assert knocks.due(0.2, True, samples(dev_2=0)) == []
    assert knocks.due(0.4, False, samples(dev_2=0)) == []
    assert knocks.due(0.4 + GRACE, False, samples(dev_2=0)) == ['dev-2']


def test_many_peers_take_turns():
    knocks, seen = alone(), []
    peers = {'dev_{}'.format(number): 0 for number in range(3 * MOST)}
    for tick in range(3):
        chosen = knocks.due(tick * 0.2, False, samples(**peers))
        assert len(chosen) == MOST
        seen += chosen
    assert len(set(seen)) == 3 * MOST


def test_a_peer_that_left_the_map_is_forgotten():
    knocks = alone()
    knocks.due(0.0, False, samples(dev_2=0))
    assert knocks.due(3.0, False, {}) == [] and knocks._peers == {}
