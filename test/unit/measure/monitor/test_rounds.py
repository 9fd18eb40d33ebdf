"""The rounds of a monitor: their start, and the state after an interruption."""
import pytest

from ua_overlay.measure.campaign import store
from ua_overlay.measure.monitor import status
from ua_overlay.measure.monitor.rounds import Rounds
from unit.measure.monitor.days import START, Clock, Measurement, plan_of, store_in


@pytest.fixture
def clock():
    return Clock()


def test_rounds_start_on_time_and_update_the_status(tmp_path, clock):
    told = []
    rounds = Rounds(plan_of(), Measurement(clock), store_in(tmp_path, clock), lambda *each: told.append(each), clock,
                    clock, clock.sleep)
    rounds.run(3)
    assert clock.slept == [260.0, 260.0] and len(told) == 6 and {trouble for _, trouble in told} == {''}
    assert [each.repetition for each in store.read(str(tmp_path))] == [
        START + 300 * number for number in (0, 0, 1, 1, 2, 2)]
    last = status.read(str(tmp_path))
    assert (last['state'], last['rounds'], last['samples']['ok']) == ('stopped', 3, 6)
    assert last['probes']['pair/ping/overlay']['link'] == 'DIRECT'


def test_an_interrupted_round_leaves_a_status_and_whole_samples(tmp_path, clock):
    class Interrupted(Measurement):
        def take(self, step):
            if step.tool.name == 'tcp':
                raise KeyboardInterrupt
            return super().take(step)

    rounds = Rounds(plan_of(), Interrupted(clock), store_in(tmp_path, clock), lambda *each: None, clock, clock,
                    clock.sleep)
    with pytest.raises(KeyboardInterrupt):
        rounds.run()
    assert status.read(str(tmp_path))['state'] == 'stopped' and len(store.read(str(tmp_path))) == 1
