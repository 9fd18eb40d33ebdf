"""Requests to a main thread: their order, their answers, and those that signals make."""
import os
import signal
import threading

import pytest

from ua_overlay.system.requests import Requests


def test_requests_are_handled_in_order():
    requests = Requests()
    assert requests.take(0.01) is None
    requests.add('reload')
    requests.add('stop')
    assert [requests.take(1).name, requests.take(1).name] == ['reload', 'stop']


@pytest.mark.parametrize('worked', [True, False])
def test_a_request_returns_its_result(worked):
    requests, answers = Requests(), []
    waiting = threading.Thread(target=lambda: answers.append(requests.add('restart').wait(20)))
    waiting.start()
    requests.take(20).finish(worked)
    waiting.join(20)
    assert answers == [worked]


def test_an_unhandled_request_fails():
    assert Requests().add('restart').wait(0.01) is False


def test_a_signal_becomes_a_request_and_its_handler_is_restored():
    before = signal.getsignal(signal.SIGUSR1)
    requests = Requests()
    with requests.from_signals({signal.SIGUSR1: 'reload', signal.SIGUSR2: 'stop'}):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert requests.take(20).name == 'reload'
        os.kill(os.getpid(), signal.SIGUSR2)
        assert requests.take(20).name == 'stop'
    assert signal.getsignal(signal.SIGUSR1) is before
