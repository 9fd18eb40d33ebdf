import dataclasses

import pytest

from ua_overlay.headscale.relay_health import (
    JOIN,
    PORT,
    RESTART,
    RelayFacts,
    Repairs,
    Session,
    Unanswered,
    Verdict,
    judge,
    parse_sessions,
    parse_udp,
)

GOOD = RelayFacts('', 'Running', True, 40000, True, 0, ())
HALF, NONE, BOTH = (Session(bound, (0, 0)) for bound in ((True, False), (False, False), (True, True)))


def test_one_that_carries():
    assert judge(GOOD, 40000, 0.0) == Verdict(True, 'up', '')


@pytest.mark.parametrize('changes, unanswered, repair, word', [
    ({'error': 'timed out'}, 0, RESTART, 'does not answer'),
    ({'state': 'NeedsLogin'}, 0, JOIN, 'NeedsLogin'),
    ({'state': 'Stopped'}, 0, JOIN, 'Stopped'),
    ({'port': None}, 0, PORT, 'no relay server'),
    ({'port': 40001}, 0, PORT, 'no relay server'),
    ({'listening': False}, 0, PORT, 'socket'),
    ({'backlog': 700}, 0, RESTART, 'does not read'),
    ({}, 50, PORT, 'no packet of theirs'),
    ({'online': False}, 0, '', 'waiting for the control server'),
])
def test_one_that_does_not(changes, unanswered, repair, word):
    verdict = judge(dataclasses.replace(GOOD, **changes), 40000, unanswered)
    assert not verdict.ok and verdict.repair == repair and word in verdict.text


def test_asked_in_vain_means_that_not_one_handshake_arrived():
    asked = Unanswered()
    assert asked.step((), 0.0) == 0.0
    assert asked.step((NONE,), 10.0) == 0.0
    assert asked.step((NONE, NONE), 60.0) == 50.0
    # One robot of a pair whose other end has no UDP: the relay does its part.
    assert asked.step((NONE, HALF), 70.0) == 0.0
    assert asked.step((NONE,), 80.0) == 0.0
    # Nobody asks any more.
    assert asked.step((), 90.0) == 0.0
    assert asked.step((NONE,), 100.0) == 0.0


def test_repairs_begin_with_the_port_and_go_on_with_restarts_ever_more_rarely():
    repairs, bad = Repairs(), Verdict(False, 'x', PORT)
    done = [(now, repair) for now in range(0, 4000, 5) for repair in [repairs.step(bad, float(now))] if repair]
    assert [repair for _, repair in done] == [PORT] + [RESTART] * (len(done) - 1)
    times = [now for now, _ in done]
    assert [b - a for a, b in zip(times, times[1:])] == [15, 30, 60, 120, 240, 480, 900, 900, 900]
    assert repairs.count == len(done)


def test_after_a_good_while_the_next_fault_is_mended_at_once():
    repairs, bad, good = Repairs(), Verdict(False, 'x', PORT), Verdict(True, 'up')
    assert repairs.step(bad, 0.0) == PORT
    assert repairs.step(bad, 15.0) == RESTART
    assert repairs.step(good, 20.0) == ''
    assert repairs.step(bad, 25.0) == ''
    for now in range(50, 90, 10):
        repairs.step(good, float(now))
    assert repairs.step(bad, 90.0) == PORT


def test_waiting_needs_no_repair():
    assert Repairs().step(Verdict(False, 'waiting', ''), 0.0) == ''


def test_sessions_as_tailscaled_tells_them():
    port, sessions = parse_sessions({'UDPPort': 40000, 'Sessions': [
        {'VNI': 1, 'Client1': {'Endpoint': '203.0.113.21:41641', 'PacketsTx': 7},
         'Client2': {'Endpoint': '', 'PacketsTx': 0}}]})
    assert port == 40000 and sessions == (Session((True, False), (7, 0)),)
    assert parse_sessions({'UDPPort': None, 'Sessions': None}) == (None, ())


UDP = '''\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 00000000:9C40 00000000:0000 07 00000000:00000300 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  124: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
'''


def test_sockets_of_a_port():
    assert parse_udp(UDP, 40000) == [('4711', 768)]
    assert parse_udp(UDP, 3478) == [('4712', 0)]
    assert parse_udp(UDP, 1) == []
