"""The state of a relay from its facts, and the repair that is due."""
import dataclasses

import pytest

from ua_overlay.relays.relay_health import (
    JOIN,
    PORT,
    RESTART,
    RelayFacts,
    Repairs,
    Session,
    Unanswered,
    Verdict,
    judge,
    parse_counters,
    parse_sessions,
)

GOOD = RelayFacts('', 'Running', True, 40000, True, 0, ())


def test_a_relay_with_traffic_is_up():
    assert judge(GOOD, 40000) == Verdict(True, 'up', '', '')


@pytest.mark.parametrize('changes, refused, repair, word', [
    ({'error': 'timed out'}, 0, RESTART, 'does not answer'),
    ({'state': 'NeedsLogin'}, 0, JOIN, 'NeedsLogin'),
    ({'state': 'Stopped'}, 0, JOIN, 'Stopped'),
    ({'port': None}, 0, PORT, 'no relay server'),
    ({'port': 40001}, 0, PORT, 'no relay server'),
    ({'listening': False}, 0, PORT, 'socket'),
    ({'backlog': 700}, 0, RESTART, 'does not read'),
    ({}, 50, PORT, 'in vain for 50 s'),
    ({'online': False}, 0, '', 'waiting for the control server'),
])
def test_faults_and_their_repairs(changes, refused, repair, word):
    verdict = judge(dataclasses.replace(GOOD, **changes), 40000, refused)
    assert not verdict.ok and verdict.repair == repair and word in verdict.text


def test_a_relay_that_receives_nothing_is_only_suspected():
    """Robots whose networks block UDP cause the same facts, so the relay does not count as broken."""
    verdict = judge(GOOD, 40000, 0, 50)
    assert verdict.ok and verdict.repair == PORT and 'UDP 40000 open' in verdict.note
    repairs = Repairs()
    done = [repair for now in range(0, 4000, 5) for repair in [repairs.step(verdict, float(now))] if repair]
    assert done == [PORT, RESTART]


def waits(*steps):
    """The results of one Unanswered for steps (now, asked, answered, sessions)."""
    counter = Unanswered()
    return [counter.step(dataclasses.replace(GOOD, asked=asked, answered=answered, sessions=sessions), float(now))
            for now, asked, answered, sessions in steps]


IDLE = Session(1, (False, False), (0, 0))
HALF = Session(1, (True, False), (0, 0))
STALE = Session(2, (True, True), (9, 9))


def test_without_requests_no_robot_is_waiting():
    assert waits((0, 5, 5, ()), (100, 5, 5, (STALE,)), (200, 5, 5, (STALE,))) == [(0, 0)] * 3


def test_robots_that_ask_without_getting_a_session():
    assert waits((0, 5, 5, ()), (10, 6, 5, ()), (40, 7, 5, ()), (60, 7, 5, ()))[-1] == (50, 50)
    assert waits((0, 5, 5, ()), (10, 6, 6, ()), (20, 6, 6, ()), (70, 6, 6, ()))[-1][0] == 0
    assert waits((0, 5, 5, ()), (10, 6, 5, ()), (40, 7, 6, ()))[-1][0] == 0


def test_sessions_without_a_handshake():
    steps = [(0, 5, 5, (STALE,)), (10, 6, 6, (STALE, IDLE)), (40, 7, 7, (STALE, IDLE)), (60, 7, 7, (STALE, IDLE))]
    assert waits(*steps)[-1] == (0, 50)
    # A packet of one robot arrived: the port works.
    assert waits(*(steps + [(70, 7, 7, (STALE, HALF))]))[-1][1] == 0
    # So does it when something is carried for others.
    busy = Session(2, (True, True), (10, 9))
    assert waits(*(steps + [(70, 7, 7, (busy, IDLE))]))[-1][1] == 0


def test_old_requests_do_not_count():
    assert waits((0, 5, 5, ()), (10, 6, 6, (IDLE,)), (50, 6, 6, (IDLE,)), (90, 6, 6, ()))[-1] == (0, 0)


def test_a_restarted_daemon_counts_from_zero():
    assert waits((0, 5, 5, ()), (10, 6, 5, ()), (60, 1, 0, ()))[-1] == (0, 0)


def test_the_counters_of_the_daemon():
    text = ('# TYPE x counter\nmagicsock_disco_recv_alloc_udp_relay_endpoint_request 7\n'
            'magicsock_disco_recv_alloc_udp_relay_endpoint_request_bad_disco 3\n'
            'magicsock_disco_sent_alloc_udp_relay_endpoint_response 6\n')
    assert parse_counters(text) == (7, 6) and parse_counters('') == (0, 0)


def test_repairs_set_the_port_first_then_restart_ever_less_often():
    repairs, bad = Repairs(), Verdict(False, 'x', PORT)
    done = [(now, repair) for now in range(0, 4000, 5) for repair in [repairs.step(bad, float(now))] if repair]
    assert [repair for _, repair in done] == [PORT] + [RESTART] * (len(done) - 1)
    times = [now for now, _ in done]
    assert [b - a for a, b in zip(times, times[1:])] == [15, 30, 60, 120, 240, 480, 900, 900, 900]
    assert repairs.count == len(done)


def test_after_a_long_healthy_time_repairs_start_at_once():
    repairs, bad, good = Repairs(), Verdict(False, 'x', PORT), Verdict(True, 'up')
    assert repairs.step(bad, 0.0) == PORT
    assert repairs.step(bad, 15.0) == RESTART
    assert repairs.step(good, 20.0) == ''
    assert repairs.step(bad, 25.0) == ''
    for now in range(50, 90, 10):
        repairs.step(good, float(now))
    assert repairs.step(bad, 90.0) == PORT


def test_a_waiting_relay_is_not_repaired():
    assert Repairs().step(Verdict(False, 'waiting', ''), 0.0) == ''


def test_sessions_in_tailscaled_s_status():
    port, sessions = parse_sessions({'UDPPort': 40000, 'Sessions': [
        {'VNI': 1, 'Client1': {'Endpoint': '203.0.113.21:41641', 'PacketsTx': 7},
         'Client2': {'Endpoint': '', 'PacketsTx': 0}}]})
    assert port == 40000 and sessions == (Session(1, (True, False), (7, 0)),)
    assert parse_sessions({'UDPPort': None, 'Sessions': None}) == (None, ())
