"""What a link did is remembered: its changes, since when, how often and why."""
import json

import pytest

from ua_overlay import link_types
from ua_overlay.tailscale import link_history
from ua_overlay.tailscale.link_history import LinkHistory, LinkRecord, decode, encode
from ua_overlay.tailscale.snapshot import LinkChange

DIRECT, DERP, IDLE = link_types.DIRECT, link_types.DERP, link_types.IDLE


def change(stamp, before, after, peer='dev-2', **more):
    return LinkRecord(stamp, peer, before, after, **more)


def test_since_and_count_of_a_link():
    history = LinkHistory([change(10.0, IDLE, DIRECT), change(20.0, DIRECT, DERP), change(15.0, IDLE, DIRECT, 'dev-3')])
    assert history.since('dev-2', DERP) == 20.0 and history.count('dev-2') == 2
    assert history.since('dev-3', DIRECT) == 15.0 and history.count('dev-3') == 1


def test_since_is_unknown_for_a_type_that_no_record_explains():
    """The node was not there when the type changed."""
    history = LinkHistory([change(10.0, IDLE, DIRECT)])
    assert history.since('dev-2', DERP) is None and history.since('dev-9', DIRECT) is None
    assert history.count('dev-9') == 0


def test_an_intervention_is_no_change():
    history = LinkHistory([change(10.0, IDLE, DIRECT), change(20.0, DIRECT, DIRECT, action='rebind', silent=1.0)])
    assert history.since('dev-2', DIRECT) == 10.0 and history.count('dev-2') == 1
    assert [record.action for record in history.records()] == ['', 'rebind']


def test_records_of_a_peer_and_of_a_time():
    history = LinkHistory([change(10.0, IDLE, DIRECT), change(20.0, IDLE, DIRECT, 'dev-3'), change(30.0, DIRECT, DERP)])
    assert [record.stamp for record in history.records()] == [10.0, 20.0, 30.0]
    assert [record.stamp for record in history.records('dev-2')] == [10.0, 30.0]
    assert [record.stamp for record in history.records(since=20.0)] == [20.0, 30.0]
    assert history.records('dev-3', since=25.0) == []


def test_the_oldest_records_are_forgotten_with_their_counts():
    history = LinkHistory([change(1.0, IDLE, DIRECT, 'old')])
    for number in range(link_history.LONGEST):
        history.add(change(2.0 + number, DIRECT, DERP))
    assert len(history.records()) == link_history.LONGEST
    assert history.count('old') == 0 and history.since('old', DIRECT) is None
    assert history.count('dev-2') == link_history.LONGEST


def test_a_record_survives_its_line():
    record = change(1764500000.25, DIRECT, DERP, reason='silent: “nothing” heard', silent=1.05, action='rebind')
    assert decode([encode(record)]) == [record]
    assert encode(record).endswith('\n') and encode(record).isascii()


@pytest.mark.parametrize('damage', [
    {'stamp': 'now'}, {'stamp': True}, {'stamp': -1}, {'peer': 5}, {'peer': 'x' * 301}, {'before': 'RELAY'},
    {'after': None}, {'silent': [1]}, {'action': {}}, {'reason': None}])
def test_damaged_lines_are_left_out(damage):
    good = encode(change(1.0, IDLE, DIRECT))
    bad = json.dumps(dict(json.loads(good), **damage))
    assert len(decode([good, bad, '', '{', b'\xff', '[]', '1', good[:30], '{"stamp": 1e999}', good])) == 2


@pytest.mark.parametrize('before, after, since_rebind, reason', [
    (DIRECT, DERP, None, 'tailscaled gave up the path'), (DIRECT, DERP, 1.0, 'after a rebind'),
    (DERP, DIRECT, 9.0, 'after a rebind'), (DERP, DIRECT, 11.0, 'tailscaled found a better path'),
    (DIRECT, IDLE, 1.0, 'no traffic'), (IDLE, DIRECT, 1.0, 'traffic'),
    (DIRECT, link_types.OFFLINE, None, 'the server does not see the peer'),
    (link_types.OFFLINE, IDLE, None, 'the server sees the peer again'), (link_types.OFFLINE, DIRECT, None, 'traffic'),
    (link_types.UNKNOWN, IDLE, None, 'in the network map'),
    (DERP, link_types.UNKNOWN, None, 'no longer in the network map')])
def test_the_reason_of_a_change(before, after, since_rebind, reason):
    assert link_history.reason_of(LinkChange('dev-2', before, after), since_rebind) == reason
