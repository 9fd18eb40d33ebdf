"""The common part of all tools: timeouts, the settings of a sample, and the text that distinguishes measurements."""
import pytest

from ua_overlay.measure.tools.registry import TOOLS
from unit.measure.campaigns import tool_of


def test_the_timeout_is_twice_the_duration_plus_slack():
    ping = tool_of('ping', count=9, omit=1, interval=0.5)
    assert (ping.duration, ping.patience(), ping.patience(slack=1.0)) == (5.0, 70.0, 11.0)


def test_settings_have_the_names_of_the_sample_format():
    udp = tool_of('iperf3-udp', seconds=2, omit=1, rate='5mbit')
    assert udp.sample_settings(0.5, 1280) == {'seconds': 2.0, 'omit': 1, 'server': 'started', 'port': 5201,
                                              'offered_bps': 5e6, 'mtu': 1280}
    topic = tool_of('ros-topic').sample_settings(0.5)
    assert (topic['rate_hz'], topic['size'], topic['clock_error_ms'], topic['mtu']) == (10, 1000, 0.5, None)
    limited, free = tool_of('iperf3-tcp', rate='5mbit'), tool_of('iperf3-tcp')
    assert limited.sample_settings(None)['offered_bps'] == 5e6
    assert not {'offered_bps', 'rate'} & set(free.sample_settings(None))


@pytest.mark.parametrize('kind, settings, words', [
    ('iperf3-tcp', {'congestion': 'cubic', 'omit': 3}, 'congestion cubic'),
    ('iperf3-udp', {'offered_bps': 5e7}, 'offered 50 Mbit/s'),
    # A size is never rounded.
    ('ros-topic', {'size': 1000000, 'rate_hz': 0.5}, 'size 1000000, rate 0.5'),
    ('ros-video', {'encoding': 'raw', 'hog': True, 'nodelay': False, 'congestion': ''}, 'encoding raw, hog'),
    ('ros-service', {'calls': 5}, '')])
def test_settings_as_text(kind, settings, words):
    assert TOOLS[kind].variant_of(settings) == words


@pytest.mark.parametrize('kind, raw, open_both_ways', [
    ('ping', True, False), ('iperf3-tcp', True, False), ('ros-topic', False, True), ('ros-service', False, True),
    ('ros-video', False, False), ('ros-video', True, True)])
def test_tools_that_measure_without_the_overlay(kind, raw, open_both_ways):
    assert tool_of(kind).runs_raw(open_both_ways) == raw
