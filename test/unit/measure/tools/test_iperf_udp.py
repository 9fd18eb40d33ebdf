"""iperf3 over UDP: its command line, and the values of its output."""
import json

import pytest

from unit.measure.campaigns import tool_of

UDP = tool_of('iperf3-udp', seconds=2, omit=1, rate='5mbit')
ANSWER = {
    'intervals': [{'sum': {'bits_per_second': 5e6, 'omitted': False}}],
    'end': {'sum': {'bytes': 1245184, 'bits_per_second': 5e6, 'jitter_ms': 0.25, 'lost_packets': 4, 'packets': 40,
                    'lost_percent': 10},
            'sum_received': {'bytes': 1120665, 'bits_per_second': 4.5e6, 'jitter_ms': 0.25, 'packets': 36,
                             'lost_percent': 10}}}


def test_command_line():
    assert UDP.argv('10.0.0.2') == ['iperf3', '-c', '10.0.0.2', '-p', '5201', '-t', '2', '-J', '-O', '1', '-u', '-b',
                                    '5000000']


def test_values_of_an_answer():
    values, payload, _ = UDP.parse(json.dumps(ANSWER), 'a', 'b')
    assert values == {'bps': 4.5e6, 'offered_bps': 5e6, 'jitter_ms': 0.25, 'lost_percent': 10, 'packets': 40,
                      'intervals_bps': [5e6]}
    assert payload == 1120665


def test_an_iperf3_with_a_single_sum():
    values, _, _ = UDP.parse(json.dumps(dict(ANSWER, end={'sum': ANSWER['end']['sum']})), 'a', 'b')
    assert values['bps'] == pytest.approx(4.5e6)
