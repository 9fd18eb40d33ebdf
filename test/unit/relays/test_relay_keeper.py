"""The thread that reconciles a relay: its actions for given facts. The relay is played."""
import threading
import time

import pytest

from ua_overlay.relays import relay_keeper
from ua_overlay.relays.relay import RelayError
from ua_overlay.relays.relay_health import RelayFacts
from ua_overlay.relays.relay_keeper import RelayKeeper

GOOD = RelayFacts('', 'Running', True, 40000, True, 0, ())


class Node:
    """Plays a RelayNode: ``facts`` as the test says; records what the keeper does."""

    port = 40000

    def __init__(self):
        self.now, self.done, self.checked = GOOD, [], threading.Event()
        self.up_error = None

    def bring_up(self):
        self.done.append('up')
        if self.up_error:
            raise self.up_error

    def reset_port(self):
        self.done.append('port')
        self.now = GOOD

    def facts(self, pid):
        self.checked.set()
        return self.now


@pytest.fixture
def kept(monkeypatch):
    """(Node, RelayKeeper, what it said, how often it asked for a restart); it checks every 10 ms."""
    monkeypatch.setattr(relay_keeper, 'PERIOD', 0.01)
    node, said, restarts = Node(), [], []
    keeper = RelayKeeper(node, lambda: 7, lambda: restarts.append(1), said.append)
    yield node, keeper, said, restarts
    keeper.stop()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.fault('K1', "The thread that checks the site's relay fails unexpectedly", behaviour='the relay goes on; '
                   'its state is unknown, and the check starts again', reported='at once: server status',
                   recovery='within 30 s', lost='nothing')
def test_a_failure_that_nobody_expected_is_reported_and_survived(kept):
    node, keeper, said, _ = kept
    keeper.start()
    until(lambda: keeper.report()['ok'])
    node.now = None  # facts of another type: AttributeError
    until(lambda: not keeper.report()['ok'])
    assert keeper.report()['state'].startswith('unknown: The thread relay keeper failed: AttributeError')
    assert any('relay keeper failed' in line for line in said)
    node.now = GOOD
    until(lambda: keeper.report()['ok'])


@pytest.mark.fault('K1', "The thread that checks the site's relay hangs", behaviour='the relay goes on; its state is '
                   'unknown', reported='240 s: server status, server check, relay status', recovery='with its next '
                   'check', lost='nothing')
def test_a_check_that_hangs_is_not_the_last_result_for_ever(monkeypatch):
    monkeypatch.setattr(relay_keeper, 'PERIOD', 0.01)
    now, node, hangs, goes_on = [0.0], Node(), threading.Event(), threading.Event()
    keeper = RelayKeeper(node, lambda: 7, lambda: None, lambda line: None, lambda: now[0])
    keeper.start()
    until(lambda: keeper.report()['ok'])

    def facts(pid):
        hangs.set()
        assert goes_on.wait(20)
        return GOOD

    monkeypatch.setattr(node, 'facts', facts)
    assert hangs.wait(20)
    now[0] = relay_keeper.SILENT_AFTER
    assert keeper.report()['ok']
    now[0] += 1.0
    assert not keeper.report()['ok']
    assert keeper.report()['state'] == 'unknown: The thread relay keeper hangs: it did nothing for 241 s.'
    goes_on.set()
    until(lambda: keeper.report()['ok'])
    keeper.stop()


def test_a_healthy_relay_is_brought_up_once(kept):
    node, keeper, said, restarts = kept
    keeper.start()
    until(lambda: keeper.report()['ok'])
    node.checked.clear()
    until(node.checked.is_set)
    assert node.done == ['up'] and not restarts
    assert said == ['The peer relay is up (UDP 40000).'] and keeper.report()['repairs'] == 0


def test_a_lost_port_is_set_again(kept):
    node, keeper, said, restarts = kept
    node.now = RelayFacts('', 'Running', True, None)
    keeper.start()
    until(lambda: keeper.report()['ok'])
    assert node.done == ['up', 'port'] and not restarts and keeper.report()['repairs'] == 1
    assert any('its port is set again' in line for line in said)


def test_a_relay_that_does_not_answer_is_restarted_and_brought_up_again(kept):
    node, keeper, said, restarts = kept
    node.now = RelayFacts(error='timed out')
    keeper.start()
    until(lambda: restarts)
    node.now = GOOD
    keeper.wake()
    until(lambda: keeper.report()['ok'])
    assert len(restarts) == 1 and node.done.count('up') == 2


def test_the_keeper_waits_for_a_stopped_control_server(kept):
    node, keeper, said, restarts = kept
    node.up_error = RelayError('The control server does not answer.')
    keeper.start()
    until(lambda: len(node.done) > 2)
    assert not restarts and keeper.report()['state'] == 'The control server does not answer.'
    node.up_error = None
    until(lambda: keeper.report()['ok'])


def test_a_relay_that_never_comes_up_is_reported_once(kept, monkeypatch):
    monkeypatch.setattr(relay_keeper, 'PERIOD', 10.0)
    node, keeper, said, _ = kept
    node.now = RelayFacts('', 'Running', False, 40000, True)
    keeper.start()

    def check():
        node.checked.clear()
        keeper.wake()  # do not sit out the pauses, which grow to PERIOD
        assert node.checked.wait(20)

    for _ in range(8):
        check()
    assert said == ['The peer relay is not up: waiting for the control server (Running, offline)']
    node.now = GOOD
    keeper.wake()
    until(lambda: keeper.report()['ok'])
    assert said[1:] == ['The peer relay is up (UDP 40000).']


def test_a_relay_that_was_logged_out_joins_again(kept):
    node, keeper, said, restarts = kept
    node.now = RelayFacts('', 'NeedsLogin', False)
    keeper.start()
    until(lambda: node.done.count('up') == 2)
    node.now = GOOD
    until(lambda: keeper.report()['ok'])
    assert not restarts and any('it joins again' in line for line in said)
