"""Maintaining the operator, against a played bus; with a real tailscaled: test/lab/test_localapi.py."""
import threading

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.localapi import WATCH_PREFS, WATCH_STATE, DaemonMissing
from ua_overlay.tailscale.operator import RETRY, maintain_operator


class Stop(threading.Event):
    """Takes no time to wait; remembers the pauses, and what was told of each round."""

    def __init__(self):
        super().__init__()
        self.pauses, self.rounds = [], []

    def wait(self, timeout=None):
        self.pauses.append(timeout)
        return self.is_set()


class PlayedApi:
    """``buses`` has for each attempt the messages before the bus ends, or the error that comes in place of a bus. The
    work is to stop after the last one."""

    def __init__(self, stop, *buses):
        self.stop = stop
        self.buses = list(buses)
        self.edits = []
        self.messages = []

    def watch(self, mask):
        assert mask == WATCH_STATE | WATCH_PREFS
        self.messages = self.buses.pop(0)
        if not self.buses:
            self.stop.set()
        if isinstance(self.messages, OverlayError):
            raise self.messages
        self.messages = list(self.messages)
        return self

    def __enter__(self):
        self.stop.clear()
        return self

    def __exit__(self, *exc_info):
        return None

    def next(self, timeout):
        if self.messages:
            return self.messages.pop(0)
        if not self.buses:
            self.stop.set()
            return None
        raise DaemonMissing('tailscaled closed its bus.')

    def edit_prefs(self, **fields):
        self.edits.append(fields)


def run(*buses):
    stop, said = Stop(), []
    api = PlayedApi(stop, *buses)
    maintain_operator(api, 'robot', stop, said.append, stop.rounds.append)
    return api, said, stop


def test_a_cleared_operator_is_set_again():
    api, said, _ = run([{'Prefs': {'OperatorUser': 'robot'}}, {'State': 6}, {'Prefs': {}}])
    assert api.edits == [{'OperatorUser': 'robot'}]
    assert said == ['robot may join and leave the overlay (operator set).']


def test_another_operator_is_replaced():
    assert run([{'Prefs': {'OperatorUser': 'pi'}}])[0].edits == [{'OperatorUser': 'robot'}]


def test_a_daemon_restart_is_survived_and_reported_once():
    gone = DaemonMissing('No tailscaled answers.')
    api, said, stop = run(gone, gone, gone, [{'Prefs': {'OperatorUser': ''}}])
    assert said == ['No tailscaled answers. Trying again.', 'robot may join and leave the overlay (operator set).']
    assert api.edits == [{'OperatorUser': 'robot'}]
    assert stop.pauses[:3] == [RETRY[0], 2 * RETRY[0], 4 * RETRY[0]]
    # Every failure and every good round is told, for the agent's report of its duties.
    assert stop.rounds[:3] == ['No tailscaled answers.'] * 3 and stop.rounds[-1] == ''


def test_pauses_grow_to_the_limit_and_reset_after_a_message():
    gone = DaemonMissing('No tailscaled answers.')
    *_, stop = run(*[gone] * 6, [{'State': 6}], [])
    assert stop.pauses[5] == RETRY[1] and stop.pauses[6] == RETRY[0]
