"""Nodes that are connected more than once, from recorded log lines of Headscale 0.29.3."""
from ua_overlay.headscale.sessions import DUPLICATE_AFTER, SessionWatcher

AT = b'2026-11-24T15:10:39Z DBG '


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def feed(watcher, *lines):
    for line in lines:
        assert watcher.take(AT + line + b'\n')


def test_two_machines_with_one_key_stay_connected():
    clock = Clock()
    watcher = SessionWatcher(clock)
    feed(watcher, b'connection added conn.id=3 node.id=1 total_connections=1',
         b'connection added conn.id=2 node.id=2 total_connections=1')
    assert watcher.report() == {'several': {}, 'duplicate_identities': [], 'told': {}}
    feed(watcher, b'connection added conn.id=4 node.id=1 total_connections=2')
    assert watcher.report() == {'several': {'1': 2}, 'duplicate_identities': [], 'told': {}}
    clock.now = DUPLICATE_AFTER
    assert watcher.report()['duplicate_identities'] == ['1']
    feed(watcher, b'connection removed conn.id=4 node.id=1 remaining_connections=1')
    assert watcher.report() == {'several': {}, 'duplicate_identities': [], 'told': {}}


def test_a_roaming_robot_is_no_duplicate():
    """Each old connection ends before it counts as a duplicate: by itself, or because a send failed."""
    clock = Clock()
    watcher = SessionWatcher(clock)
    for number in range(6):
        feed(watcher, 'connection added conn.id={} node.id=1 total_connections=2'.format(number).encode())
        clock.now += DUPLICATE_AFTER - 1
        assert watcher.report()['duplicate_identities'] == []
        ending = 'connection removed conn.id={} node.id=1 remaining_connections=1' if number % 2 else \
            'send: removing failed connection conn.id={} node.id=1'
        feed(watcher, ending.format(number - 1).encode())


def test_a_restart_clears_all_sessions_and_other_lines_stay_in_the_log():
    watcher = SessionWatcher(Clock())
    feed(watcher, b'connection added conn.id=1 node.id=1 total_connections=1',
         b'connection added conn.id=2 node.id=1 total_connections=2', b'something else')
    watcher.clear()
    assert watcher.report() == {'several': {}, 'duplicate_identities': [], 'told': {}}
    assert not watcher.take(b'2026-11-24T15:10:39Z INF connection added conn.id=1 node.id=1 total_connections=9\n')
    assert not watcher.take(b'2026-11-24T15:10:39Z INF http request path=/x DBG connection added\n')
    assert not watcher.take(b'')


def test_changes_that_a_node_was_sent_are_counted():
    watcher = SessionWatcher(Clock())
    line = ('github.com/juanfont/headscale@v0.29.3/hscontrol/mapper/batcher.go:168 > node change processing started '
            'node.id={} reason="policy change"')
    feed(watcher, *(line.format(number).encode() for number in (2, 2, 17)))
    assert watcher.report()['told'] == {'2': 2, '17': 1}
    watcher.clear()
    assert watcher.report()['told'] == {}
