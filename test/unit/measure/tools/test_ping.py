"""ping: its command line, and the values of its output."""
import pytest

from ua_overlay.measure.tools.tool import Job, Unmeasured
from unit.measure.campaigns import ScriptedHost, say, tool_of

PING = tool_of('ping', count=5, interval=0.1)
PINGED = '''PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.
64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=10.5 ms
64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=11.0 ms

--- 10.0.0.2 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 2003ms
'''


def trips(text):
    return PING.parse(text, 'a', 'b').values['rtt_ms']


def test_command_line():
    assert PING.argv('10.0.0.2') == ['env', 'LC_ALL=C', 'ping', '-n', '-c', '6', '-i', '0.1', '-s', '56', '-W', '5',
                                     '10.0.0.2']


def test_values_of_an_answer():
    assert PING.parse(PINGED, 'a', 'b') == ({'rtt_ms': [11.0], 'sent': 2, 'lost': 1}, 5 * 84, '')


def test_a_duplicate_reply_is_not_counted():
    copy = 'time=11.0 ms\n64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=12.0 ms (DUP!)'
    assert trips(PINGED.replace('time=11.0 ms', copy)) == [11.0]


def test_sequence_numbers_wrap_after_65535():
    more = '\n64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=13.0 ms\n\n---'
    assert trips(PINGED.replace('\n\n---', more)) == [11.0, 13.0]


@pytest.mark.parametrize('text, sentence', [
    ('3 packets transmitted, 0 received, 100% packet loss', 'b answers no ping from a.'),
    ('ping: cannot flood; minimal interval allowed for user is 200ms',
     'ping from a to b failed: ping: cannot flood; minimal interval allowed for user is 200ms.')])
def test_a_ping_without_an_answer_is_an_error(text, sentence):
    with pytest.raises(Unmeasured) as caught:
        trips(text + '\n')
    assert caught.value.sentence == sentence


def test_a_measurement_runs_on_the_source():
    source = ScriptedHost('a', {'ping': say(*PINGED.splitlines())})
    result = PING.measure(Job(source, ScriptedHost('b', {}), '10.0.0.2', 'overlay'))
    assert result.values['rtt_ms'] == [11.0] and source.started[0][0] == PING.argv('10.0.0.2')


def test_bytes_on_the_wire():
    # Six packets of 56 bytes with ICMP and IPv4 (28), WireGuard (60) and Ethernet (38).
    assert PING.wire_bits() == pytest.approx(8 * 6 * (56 + 28 + 98))
