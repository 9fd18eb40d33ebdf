"""iperf3 over TCP: its command line, and the values of its output."""
import json

import pytest

from ua_overlay.measure.fields import CampaignError
from unit.measure.campaigns import tool_of

ANSWER = {
    'start': {'version': 'iperf 3.12'},
    'intervals': [{'sum': {'bits_per_second': 9e6, 'omitted': True}},
                  {'sum': {'bits_per_second': 1e6, 'omitted': False}},
                  {'sum': {'bits_per_second': 3e6, 'omitted': False}}],
    'end': {'sum_sent': {'bytes': 520000, 'bits_per_second': 2.1e6, 'retransmits': 9},
            'sum_received': {'bytes': 500000, 'bits_per_second': 2e6}}}


def test_command_line():
    assert tool_of('iperf3-tcp', seconds=3, omit=1).argv('10.0.0.2') == [
        'iperf3', '-c', '10.0.0.2', '-p', '5201', '-t', '3', '-J', '-O', '1', '-C', 'cubic']
    assert tool_of('iperf3-tcp', rate='5mbit').argv('10.0.0.2')[-4:] == ['-C', 'cubic', '-b', '5000000']


def test_values_of_an_answer():
    values, payload, remark = tool_of('iperf3-tcp').parse(json.dumps(ANSWER), 'a', 'b')
    assert values == {'bps': 2e6, 'intervals_bps': [1e6, 3e6], 'retransmits': 9}
    assert (payload, remark) == (500000, '')


def test_a_monitor_requires_a_rate():
    with pytest.raises(CampaignError, match='tools.it.rate is missing: without it TCP takes the whole link.'):
        tool_of('iperf3-tcp').wire_bits()
