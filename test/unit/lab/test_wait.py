"""Waiting for conditions on the hosts of a lab."""
import pytest

from ua_overlay.lab import timeouts
from ua_overlay.lab.wait import NotInTime, pause, wait


class Clock:
    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def test_the_value_is_returned():
    clock, values = Clock(), [None, '', 0, 'yes', 'later']
    assert wait('It', lambda: values.pop(0), 5, poll=0.5, clock=clock, sleep=clock.sleep) == 'yes'
    assert clock.pauses == [0.5] * 3 and values == ['later']


def test_the_pause_grows_after_a_slow_check():
    clock = Clock()

    def slow():
        clock.now += 0.4
        return clock.now > 1.5

    assert wait('It', slow, 5, clock=clock, sleep=clock.sleep) is True
    assert clock.pauses == pytest.approx([0.8])
    assert pause(0.1, 0.001) == 0.1 and pause(3.0, 0.5) == 3.0 and pause(0.1, 30.0) == 2.0


def test_a_true_condition_needs_no_wait():
    assert wait('It', lambda: 1, 0, sleep=None) == 1


def test_the_error_names_the_condition():
    clock, calls = Clock(), []
    with pytest.raises(NotInTime, match='The start of it: not within 3 s') as caught:
        wait('The start of it', lambda: calls.append(1), 3, poll=1.0, clock=clock, sleep=clock.sleep)
    assert caught.value.code == 'LAB_TIMEOUT' and 'last answer' not in str(caught.value)
    # One last check after the deadline: the machine may have been slow, not the condition.
    assert len(calls) == 5


def test_the_error_shows_the_last_answer():
    clock = Clock()
    with pytest.raises(NotInTime, match=r'A name: not within 1 s\. The last answer was \[\]\.'):
        wait('A name', lambda: [], 1, clock=clock, sleep=clock.sleep)


def test_a_slow_machine_gets_more_time(monkeypatch):
    monkeypatch.setattr(timeouts, 'SCALE', 3.0)
    clock = Clock()
    with pytest.raises(NotInTime, match='It: not within 6 s'):
        wait('It', lambda: None, 2, poll=1.0, clock=clock, sleep=clock.sleep)
    assert 6 <= clock.now <= 8


def test_an_error_of_the_condition_is_raised():
    with pytest.raises(ZeroDivisionError):
        wait('It', lambda: 1 / 0, 3)
