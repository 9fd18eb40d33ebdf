"""A path that died is given up after about a second; a path that is slow, lossy, full, one-way or idle never is."""
import pytest
from link_world import HARMLESS, TICK, World

from ua_overlay import link_types
from ua_overlay.tailscale import dead_paths
from ua_overlay.tailscale.dead_paths import DeadPaths, LinkSample, Passed, Ping, Rebind, Unanswered


@pytest.mark.fault('new', 'The UDP path of a link dies: UDP is cut, a NAT turns hard or forgets, a relay dies',
                   behaviour='It is proven dead, and tailscaled goes by DERP at once, not after its own 6.5 s',
                   reported='at once: link_events with the silence, the log, `ua-overlay links`', recovery='1.5 s',
                   lost='packets of UDP meanwhile')
@pytest.mark.parametrize('kind', link_types.BY_UDP)
@pytest.mark.parametrize('seed', range(20))
def test_a_path_that_dies_is_given_up_after_a_second(kind, seed):
    world = World(seed)
    world.add('dev-2', kind)
    died = 20.0 + world.chance.random()
    world.dead['dev-2'] = died
    world.run(30.0)
    assert len(world.rebinds) == 1
    when, silent = world.rebinds[0]
    assert 0.7 <= when - died <= 1.3 and silent['dev-2'] == pytest.approx(when - died, abs=0.4)
    assert world.longest['dev-2'] <= 1.5
    assert [peer for _, peer, _ in world.healed] == ['dev-2']
    assert world.healed[0][2] == pytest.approx(world.longest['dev-2'], abs=0.3)


@pytest.mark.fault('new', 'A link loses 5 % of its packets, has 300 ms with jitter, or a full queue, for an hour',
                   behaviour='No path is abandoned', reported='-', recovery='none needed', lost='nothing more')
@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('name, options, stream', HARMLESS, ids=lambda value: value if isinstance(value, str) else '')
def test_an_hour_without_a_dead_path_has_no_rebind(name, options, stream, seed):
    world = World(seed, **options)
    world.add('dev-2', **stream)
    world.run(3600.0)
    assert world.rebinds == []


def test_a_two_way_stream_costs_one_ping():
    world = World()
    world.add('dev-2')
    world.run(3600.0)
    assert (world.pings, world.asked) == (1, 0)


def test_a_one_way_stream_costs_about_a_ping_a_second():
    world = World()
    world.add('camera', answers=False, rate=30.0)
    world.run(600.0)
    assert 0 < world.pings <= 700


@pytest.mark.fault('new', 'A robot of the team is switched off in the middle of a stream',
                   behaviour='The others abandon no path, and stop asking after ten seconds',
                   reported='-', recovery='when it is heard again', lost='nothing of other links')
@pytest.mark.parametrize('answers', [True, False])
def test_a_peer_that_is_switched_off_causes_no_rebind(answers):
    world = World()
    world.add('dev-2', answers=answers)
    world.run(20.0)
    world.off.add('dev-2')
    world.run(3600.0)
    assert world.rebinds == [] and Unanswered('dev-2') in world.ended
    assert world.pings < 200  # it gives up, and is not busy for ever
    world.off.clear()
    world.run(3621.0)
    world.dead['dev-2'] = world.now
    world.run(3630.0)
    assert len(world.rebinds) == 1


def test_a_network_that_is_gone_causes_no_rebind():
    world = World(derp=False)
    world.add('dev-2')
    world.add('dev-3')
    world.dead.update({'dev-2': 20.0, 'dev-3': 20.0})
    world.run(600.0)
    assert world.rebinds == []


def test_a_peer_that_found_another_way_first_does_not_hide_that_our_path_is_dead():
    """It is heard again after 0.6 s, and nothing of ours arrives."""
    world = World()
    world.add('dev-2')
    world.run(20.0)
    world.dead['dev-2'] = world.now
    world.run(20.6)

    def stream():
        world.receive('dev-2', 200, 0.0, None)
        world.at(world.now + 0.1, stream)
    stream()
    world.run(22.0)
    assert len(world.rebinds) == 1 and world.rebinds[0][0] - 20.0 <= 1.3


def test_a_peer_that_answers_no_pings_is_judged_by_what_is_heard():
    world = World()
    world.add('dev-2', answers=False)
    world.judge.note_round_trip = lambda peer, seconds: None
    world.run(600.0)
    assert world.rebinds == []


def test_several_dead_paths_are_one_rebind():
    world = World()
    for number in range(2, 12):
        world.add('dev-{}'.format(number))
        world.dead['dev-{}'.format(number)] = 20.0
    world.run(29.0)
    assert len(world.rebinds) == 1 and world.dead == {}


def test_rebinds_are_ten_seconds_apart_at_least():
    world = World(3)
    for number in range(2, 8):
        world.add('dev-{}'.format(number))
        world.dead['dev-{}'.format(number)] = 20.0 + 1.3 * number
    world.run(120.0)
    times = [when for when, _ in world.rebinds]
    assert len(times) >= 2
    assert min(later - earlier for earlier, later in zip(times, times[1:])) >= dead_paths.REBIND_PERIOD
    assert sorted({peer for _, silent in world.rebinds for peer in silent}) == sorted(world.counts)


def test_a_sign_of_another_way_suspects_what_is_heard_and_an_answer_acquits():
    world = World()
    for peer in ('dev-2', 'dev-3'):
        world.add(peer)
    world.add('idle', rate=0.0)
    world.run(20.0)
    world.pings = 0
    world.judge.note_other_way(world.now)
    world.judge.note_other_way(world.now)
    world.run(24.0)
    assert (world.pings, world.asked, world.rebinds) == (2, 0, [])
    assert not world.judge.is_busy()


def test_a_dead_path_is_proven_although_the_peer_is_heard_by_another_way():
    world = World()
    world.add('dev-2')
    world.run(20.0)
    world.dead['dev-2'] = world.now

    def stream():
        world.receive('dev-2', 200, 0.0, None)
        world.at(world.now + 0.1, stream)
    stream()
    world.run(22.0)
    assert world.rebinds == []
    world.judge.note_other_way(world.now)
    world.run(23.0)
    assert len(world.rebinds) == 1


def test_after_a_rebind_a_peer_is_pinged_until_it_is_heard():
    judge, number = DeadPaths(), 19
    for number in range(20):
        judge.step(number * TICK, {'dev-2': LinkSample(link_types.DIRECT, 100 * number, 100 * number)})
    judge.note_round_trip('dev-2', 0.02)
    now, tx, done = number * TICK, 100 * number, []
    while now < 15.0:
        now, tx = now + 0.1, tx + 100
        judge.note_derp_answer('dev-2', now)
        done += [(round(now, 1), action) for action in judge.step(
            now, {'dev-2': LinkSample(link_types.DIRECT, tx, 100 * number)})]
    rebinds = [at for at, action in done if isinstance(action, Rebind)]
    told = [at for at, action in done if rebinds and at >= rebinds[0] and isinstance(action, Ping)]
    assert len(rebinds) == 1 and told[0] == rebinds[0]
    assert 4 <= len(told) <= dead_paths.TELL / dead_paths.TELL_PERIOD + 1
    # What came back meanwhile went by DERP.
    judge.note_round_trip('dev-2', 5.0)
    judge.step(15.1, {'dev-2': LinkSample(link_types.DIRECT, tx, 100 * number + 100)})
    assert judge._watches['dev-2'].round_trip == 0.02


def test_links_by_derp_are_not_suspected():
    world = World()
    world.add('dev-2', link_types.DERP)
    world.dead['dev-2'] = 20.0
    world.run(60.0)
    assert (world.rebinds, world.pings, world.asked) == ([], 0, 0)


def test_a_path_that_heals_by_itself_ends_the_suspicion():
    world = World()
    world.add('dev-2')
    world.run(20.0)
    world.dead['dev-2'] = world.now
    world.run(20.7)
    assert world.judge.is_busy()
    del world.dead['dev-2']
    world.run(21.7)
    assert not world.judge.is_busy() and world.rebinds == []
    assert world.ended == [Passed('dev-2')]


def test_a_new_daemon_starts_its_counters_again():
    judge = DeadPaths()
    sample = LinkSample(link_types.DIRECT, 1000, 1000)
    for number in range(10):
        judge.step(number * TICK, {'dev-2': LinkSample(link_types.DIRECT, 1000 + number, 1000 + number)})
    assert judge.step(2.0, {'dev-2': LinkSample(link_types.DIRECT, 0, 0)}) == []
    assert judge.step(60.0, {'dev-2': LinkSample(link_types.DIRECT, 100, 0)}) == []
    assert judge.step(61.0, {}) == [] and not judge.is_busy()
    assert judge.step(62.0, {'dev-2': sample}) == []


def test_answers_about_unknown_links_are_ignored():
    judge = DeadPaths()
    judge.note_round_trip('gone', 0.1)
    judge.note_derp_answer('gone', 1.0)
    assert judge.step(1.0, {}) == []


def test_a_measured_round_trip_makes_it_patient():
    world = World(2, round_trip=lambda chance, now: 0.6)
    world.add('dev-2')
    world.judge.step(0.0, {'dev-2': LinkSample(link_types.DIRECT, 0, 0)})
    world.judge.note_round_trip('dev-2', 0.6)
    world.dead['dev-2'] = 20.0
    world.run(30.0)
    assert len(world.rebinds) == 1 and 1.8 <= world.rebinds[0][0] - 20.0 <= 2.8
