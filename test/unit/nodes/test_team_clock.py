"""The regular comparison with the clock of the master's robot."""
from dataclasses import replace

import pytest

from ua_overlay.checks.facts import ClockOffset
from ua_overlay.nodes.team_clock import TeamClock
from ua_overlay.rosenv.environment import RosEnvironment
from ua_overlay.system.thread import SupervisedThread
from unit.checks.healthy import DESIRED, MASTER, STATUS, URI

OFFSET = ClockOffset('dev-1', 0.3, 0.002)


def compare(master_uri, peer, timeout):
    assert (master_uri, peer) == (URI, MASTER) and timeout > 0
    return OFFSET


def test_the_clock_of_the_master():
    assert TeamClock(lambda: (DESIRED, STATUS), compare).step() == (OFFSET,)


@pytest.mark.parametrize('desired, status', [
    (RosEnvironment(), STATUS), (DESIRED, None), (replace(DESIRED, master=DESIRED.robot), STATUS),
    (DESIRED, replace(STATUS, peers=())), (DESIRED, replace(STATUS, peers=(replace(MASTER, online=False),)))])
def test_nobody_to_compare_with(desired, status):
    assert TeamClock(lambda: (desired, status), compare).step() is None


@pytest.mark.parametrize('error', [OSError(), ValueError(), TimeoutError()])
def test_no_answer_is_no_finding(error):
    def fail(*_):
        raise error
    assert TeamClock(lambda: (DESIRED, STATUS), fail).step() is None
    assert TeamClock(lambda: (DESIRED, STATUS), lambda *_: None).step() is None


def test_a_failure_forgets_the_result_and_the_thread_goes_on():
    answers = [OFFSET, ZeroDivisionError(), OFFSET]
    seen = []

    def ask(*_):
        seen.append(clock.clocks)
        if not answers:
            clock.stop()
            return OFFSET
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
    clock = TeamClock(lambda: (DESIRED, STATUS), ask, period=0.001)
    thread = SupervisedThread('team clock', clock.run, clock.fail, pauses=(0.001, 0.001)).start()
    assert thread.join(10) and thread.failures == 1
    assert seen == [None, (OFFSET,), None, (OFFSET,)]
