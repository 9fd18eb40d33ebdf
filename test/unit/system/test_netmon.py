"""Changes of links from rtnetlink, and how long they delay a key."""
import socket
import struct

import pytest

from ua_overlay.lab.wait import wait
from ua_overlay.system import netmon
from ua_overlay.system.thread import SupervisedThread


def message(kind, index, extra=b''):
    body = struct.pack('=BBHi', 2, 0, 0, index) + extra
    return struct.pack('=IHHII', 16 + len(body), kind, 0, 0, 0) + body + b'\0' * (-len(body) % 4)


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_only_changes_of_links_and_addresses_count():
    data = message(16, 2, b'abc') + message(20, 3) + message(24, 4) + message(17, 5)  # 24: a route
    assert netmon.changed_interfaces(data) == {2, 3, 5}
    assert netmon.changed_interfaces(b'') == netmon.changed_interfaces(message(16, 2)[:12]) == set()
    assert netmon.changed_interfaces(struct.pack('=IHHIIQ', 0, 16, 0, 0, 0, 0)) == set()


@pytest.fixture
def watcher():
    clock = Clock()
    made = netmon.InterfaceWatcher(clock=clock, ignored=lambda: {7})
    made.clock = clock
    return made


def test_stable_until_something_changes(watcher):
    assert watcher.wait_left() == 0.0
    watcher.take(message(16, 2))
    assert watcher.wait_left() == netmon.STABLE_AFTER
    watcher.clock.now += 1.0
    assert watcher.wait_left() == netmon.STABLE_AFTER - 1.0
    watcher.clock.now += netmon.STABLE_AFTER
    assert watcher.wait_left() == 0.0


def test_the_overlay_interface_is_ignored(watcher):
    watcher.take(message(20, 7))
    assert watcher.wait_left() == 0.0


def test_a_new_process_assumes_that_the_link_just_came_up():
    assert netmon.InterfaceWatcher(assume=True, clock=Clock()).wait_left() == netmon.STABLE_AFTER


def test_a_thread_that_fails_counts_as_a_change(watcher, monkeypatch):
    """Nobody saw whether an interface changed: no key is sent now."""
    reader, writer = socket.socketpair()
    monkeypatch.setattr(watcher, '_socket', reader)
    monkeypatch.setattr(watcher, '_ignored', lambda: 1 / 0)
    thread = SupervisedThread('interface watcher', watcher._read, watcher._lose_sight).start()
    writer.send(message(16, 2))
    wait('The failure as a change', lambda: watcher.wait_left() == netmon.STABLE_AFTER, 20)
    thread.stop()
    assert thread.join(20)
