"""Two robots whose path dies in one direction or in both, at any moment of any traffic; and a path that never dies."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from two_robots import TwoRobots

from ua_overlay.tailscale import dead_paths

#: Packets a second: nothing, now and then, a stream, a camera.
RATES = st.sampled_from([0.5, 1.0, 2.0, 5.0, 10.0, 30.0])
SEEDS = st.integers(0, 1000)
#: Seconds until both directions go again: one robot suspects and proves (1.0 to 2.0), the other learns it from its
#: counters (1.0) and proves it, too. tailscaled alone needs 6.5.
STREAMS, SPARSE = 3.2, 4.5


def limit(*rates):
    return STREAMS if min(rates) >= 5.0 else SPARSE


def apart(rebinds):
    return all(later - earlier >= dead_paths.REBIND_PERIOD for earlier, later in zip(rebinds, rebinds[1:]))


@pytest.mark.fault('new', "A path dies in one direction: what one robot sends is lost, and the other's packets arrive",
                   behaviour='The robot that hears nothing goes by DERP, the other one sees that and does so, too',
                   reported='at once: link_events, the log', recovery='5 s', lost='packets of UDP')
@settings(max_examples=300)
@given(rates=st.tuples(RATES, RATES), dead=st.sampled_from(['a', 'b', 'ab']), seed=SEEDS,
       before=st.floats(12.0, 40.0))
def test_a_path_that_dies_in_any_direction_is_given_up_by_both(rates, dead, seed, before):
    world = TwoRobots(rates, seed=seed).run(before)
    assert world.a.rebinds == world.b.rebinds == []
    world.forget_gaps()
    world.dead = set(dead)
    world.run(15.0)
    for sender in (world.a, world.b):
        assert sender.other.longest <= limit(*rates) + 1.0 / sender.rate
        assert len(sender.rebinds) <= 1 or apart(sender.rebinds)


@settings(max_examples=300)
@given(rate=RATES, dead=st.sampled_from(['a', 'ab']), seed=SEEDS, before=st.floats(22.0, 40.0))
def test_a_one_way_stream_whose_path_dies_goes_on(rate, dead, seed, before):
    """The sender hears nothing anyway; a ping tells it."""
    world = TwoRobots((rate, 0.0), seed=seed).run(before)
    world.forget_gaps()
    world.dead = set(dead)
    world.run(15.0)
    assert world.b.longest <= limit(rate) + 1.0 / rate
    assert world.a.rebinds and apart(world.a.rebinds) and apart(world.b.rebinds)


@settings(max_examples=300)
@given(rates=st.tuples(st.just(0.0) | RATES, st.just(0.0) | RATES), loss=st.sampled_from([0.0, 0.01, 0.05]),
       seed=SEEDS)
def test_a_path_that_lives_is_never_given_up(rates, loss, seed):
    world = TwoRobots(rates, loss, seed).run(120.0)
    assert world.a.rebinds == world.b.rebinds == []


@settings(max_examples=300)
@given(rates=st.tuples(RATES, RATES), seed=SEEDS,
       changes=st.lists(st.tuples(st.floats(0.1, 12.0), st.sampled_from(['', 'a', 'b', 'ab'])), min_size=2, max_size=8))
def test_however_often_it_dies_and_lives_rebinds_are_ten_seconds_apart(rates, seed, changes):
    world = TwoRobots(rates, seed=seed).run(12.0)
    for seconds, dead in changes:
        world.dead = set(dead)
        world.run(seconds)
    assert apart(world.a.rebinds) and apart(world.b.rebinds)
