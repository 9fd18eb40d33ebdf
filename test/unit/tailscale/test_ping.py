"""Measuring the path to a peer, with played pings."""
import pytest

from ua_overlay import link_types
from ua_overlay.tailscale.localapi import DaemonError, DaemonMissing
from ua_overlay.tailscale.model import PingResult
from ua_overlay.tailscale.ping import INTERVAL, ping_peer

SILENT = DaemonError('No answer.', code='NO_ANSWER')


def direct(latency):
    return PingResult(latency=latency, endpoint='203.0.113.22:41641', derp='ua')


def relayed(latency):
    return PingResult(latency=latency, peer_relay='203.0.113.10:40000:vni:1')


def derp(latency):
    return PingResult(latency=latency, derp='ua')


class Played:
    """Answers of the pings, the last one for ever; each takes its latency, a lost one its whole timeout."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.now = 0.0
        self.timeouts = []
        self.pauses = []

    def ping(self, address, timeout):
        assert address == '100.64.0.2'
        self.timeouts.append(timeout)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            self.now += timeout
            raise answer
        self.now += answer.latency
        return answer

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds

    def measure(self, **options):
        return ping_peer(self, '100.64.0.2', clock=lambda: self.now, sleep=self.sleep, **options)


def test_pings_continue_until_the_better_path_is_stable():
    played = Played(derp(0.2), direct(0.03), direct(0.01), direct(0.02))
    summary = played.measure()
    assert (summary.type, summary.rtt, summary.endpoint, summary.answers) == (
        link_types.DIRECT, 0.01, '203.0.113.22:41641', 4)
    assert len(played.timeouts) == 4 and played.pauses == [INTERVAL] * 3


def test_a_relayed_path_is_stable():
    summary = Played(relayed(0.02)).measure()
    assert (summary.type, summary.endpoint, summary.answers) == (link_types.PEER_RELAY, '203.0.113.10:40000:vni:1', 3)


def test_the_latency_is_that_of_the_best_path():
    summary = Played(derp(0.001), direct(0.5), derp(0.001), direct(0.4), direct(0.6)).measure(timeout=10.0)
    assert (summary.type, summary.rtt, summary.answers) == (link_types.DIRECT, 0.4, 5)


def test_pings_over_derp_continue_until_the_deadline():
    played = Played(derp(0.05))
    summary = played.measure(timeout=5.0)
    assert (summary.type, summary.relay, summary.rtt) == (link_types.DERP, 'ua', 0.05)
    assert summary.answers == len(played.timeouts) and 5.0 <= played.now < 5.5


def test_a_lost_ping():
    assert Played(SILENT, direct(0.01)).measure().type == link_types.DIRECT


def test_no_answer_at_all():
    played = Played(SILENT)
    with pytest.raises(DaemonError) as caught:
        played.measure(timeout=5.0)
    assert caught.value.code == 'NO_ANSWER' and '100.64.0.2' in str(caught.value) and '5.0 s' in str(caught.value)
    assert played.timeouts[:2] == [2.0, 2.0] and max(played.timeouts) <= 2.0
    assert played.now <= 5.1


def test_an_address_of_no_peer():
    with pytest.raises(DaemonError, match='no matching peer') as caught:
        Played(PingResult(error='no matching peer')).measure()
    assert caught.value.code == 'NO_ANSWER'


@pytest.mark.parametrize('error', [DaemonMissing('Gone.'), DaemonError('Refused.', status=500)])
def test_other_errors_are_raised(error):
    with pytest.raises(type(error)) as caught:
        Played(derp(0.01), error).measure()
    assert caught.value is error
