"""Deadlines that hold for calls that hang."""
import threading
import time

import pytest

from ua_overlay.system.deadline import Calls, call_within


def test_results_and_errors_by_key():
    def fail():
        raise OSError('no')

    answers = Calls().run({'a': lambda: 1, 'b': fail}, 5)
    assert answers['a'] == (1, None)
    assert str(answers['b'][1]) == 'no'


def test_calls_run_in_parallel():
    barrier = threading.Barrier(3, timeout=5)
    answers = Calls().run({key: barrier.wait for key in 'abc'}, 5)
    assert [error for _, error in answers.values()] == [None] * 3


def test_the_deadline_covers_all_calls_and_threads_do_not_accumulate():
    calls, release, started = Calls(), threading.Event(), []

    def hang():
        started.append(1)
        release.wait(30)
        return 'late'

    start = time.monotonic()
    for _ in range(3):
        answers = calls.run({'a': hang, 'b': hang}, 0.1)
        assert isinstance(answers['a'][1], TimeoutError) and isinstance(answers['b'][1], TimeoutError)
    assert time.monotonic() - start < 3
    assert len(started) == 2
    release.set()
    # The late answer of the hanging call is taken; after that a new call is made.
    assert calls.run({'a': hang}, 5)['a'] == ('late', None)
    assert calls.run({'a': lambda: 'new'}, 5)['a'] == ('new', None)


def test_a_single_call_with_a_deadline():
    assert call_within(5, lambda: 1) == 1
    with pytest.raises(KeyError):
        call_within(5, lambda: {}['x'])
    release = threading.Event()
    with pytest.raises(TimeoutError, match='within 0.1 s'):
        call_within(0.1, lambda: release.wait(30))
    release.set()
