"""Waiting for what happens on a lab's hosts."""
import pytest

from ua_overlay.lab.fleet import FleetError, wait_until


class Clock:
    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def test_returns_what_came_true():
    clock, values = Clock(), [None, '', 0, 'yes', 'later']
    assert wait_until(lambda: values.pop(0), 5, 'It', poll=0.5, clock=clock, sleep=clock.sleep) == 'yes'
    assert clock.pauses == [0.5] * 3 and values == ['later']


def test_what_is_true_at_once_needs_no_wait():
    assert wait_until(lambda: 1, 0, 'It', sleep=None) == 1


def test_says_what_did_not_happen():
    clock, calls = Clock(), []
    with pytest.raises(FleetError, match='The start of it did not happen within 3 s') as caught:
        wait_until(lambda: calls.append(1), 3, 'The start of it', poll=1.0, clock=clock, sleep=clock.sleep)
    assert caught.value.code == 'FLEET'
    # A last look when the time is over: the machine may have been slow, not what was waited for.
    assert len(calls) == 5


def test_an_error_of_the_condition_passes():
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 / 0, 3, 'It')
