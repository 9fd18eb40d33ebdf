"""Questions side by side, within a deadline."""
import threading
import time

import pytest

from ua_overlay.checks.observe.questions import Questions
from ua_overlay.errors import OverlayError


def refused():
    raise OverlayError('No.')


def mistake():
    raise KeyError('ours')


def test_answers_and_refusals():
    assert Questions().ask({'a': lambda: 1, 'b': refused}, 5.0) == {'a': 1, 'b': None}


def test_a_programming_error_is_raised():
    with pytest.raises(KeyError):
        Questions().ask_one('a', mistake, 5.0)


def test_a_slow_question_has_no_answer():
    release = threading.Event()
    begin = time.monotonic()
    try:
        assert Questions().ask({'slow': lambda: release.wait(30), 'quick': lambda: 2}, 0.2) == {
            'slow': None, 'quick': 2}
    finally:
        release.set()
    assert time.monotonic() - begin < 5
