"""One measurement: a failure is a sample, and the counters decide which samples count."""
import json

import pytest

from ua_overlay.measure.campaign import campaign, plan, store
from ua_overlay.measure.campaign.measurement import Measurement, clocks_apart, wait_for_link
from ua_overlay.measure.tools.tool import Tool
from unit.measure.campaigns import ScriptedHost, say

#: Each reading of the counters finds 100000 bytes more.
METRICS = 'n=$(cat n 2>/dev/null || echo 0); n=$((n + 100000)); echo $n > n; ' \
          'printf \'tailscaled_outbound_bytes_total{path="direct_ipv4"} %s\\n\' $n'
PING = say('64 bytes: icmp_seq=1 ttl=64 time=99 ms', '64 bytes: icmp_seq=2 ttl=64 time=10.5 ms',
           '3 packets transmitted, 2 received, 33% packet loss')


@pytest.fixture
def taking(tmp_path):
    """Returns function of the source's scripts -> the sample of a campaign of one tool, by default of pings."""
    def take(scripts, tool='ping: {count: 2}', path='overlay', rosrun=None, **more):
        read = campaign.parse('version: 1\nname: c\nrepetitions: 1\ntools: {' + tool + '}\n'
                              'hosts: {b: {address: lab-1}}\nscenarios:\n  - {name: s, from: a, to: b, '
                              'expected: DIRECT, paths: [' + path + ']}\n' + ''.join(
                                  '{}: {}\n'.format(*item) for item in more.items()))
        usual = {'tailscale ping': 'echo "pong from b via 1.2.3.4:5 in 1ms"', 'tailscale metrics': METRICS,
                 'ip': 'echo "1.2.3.4 dev lo src"', 'cat /proc/stat': 'cat /proc/stat',
                 'cat /sys/class/net/lo/mtu': 'echo 1280', 'ping': PING, 'getent ahosts': 'echo "192.0.2.7 STREAM b"'}
        hosts = {'a': ScriptedHost('a', dict(usual, **scripts), str(tmp_path), overlay='100.64.0.1'),
                 'b': ScriptedHost('b', {'cat /proc/stat': 'cat /proc/stat', 'iperf3': 'exec sleep 100',
                                         'rosrun': rosrun}, str(tmp_path), overlay='100.64.0.2', address='lab-1')}
        with store.Store(str(tmp_path / 'results')) as results:
            measurement = Measurement(read, hosts, results, dict, {'a': {'iperf3': 'iperf 3.12'}},
                                      sleep=lambda _: None)
            step, = plan.steps(read)
            return measurement.take(step)
    return take


def test_a_sample_is_complete(taking):
    taken = taking({})
    assert (taken.status, taken.problem) == ('ok', '')
    assert (taken.proof.verdict, taken.proof.way) == ('proven', 'DIRECT')
    assert taken.proof.counted == {'DIRECT': 100000, 'PEER_RELAY': 0, 'DERP': 0}
    assert taken.values == {'rtt_ms': [10.5], 'sent': 2, 'lost': 1}
    assert set(taken.cpu) == {'source_percent', 'target_percent'} and taken.versions == {'iperf3': 'iperf 3.12'}
    assert taken.started.endswith('Z') and taken.duration > 0
    assert taken.settings['mtu'] == 1280


def test_bytes_over_another_link_exclude_the_sample(taking):
    taken = taking({'tailscale metrics': METRICS.replace('direct_ipv4', 'derp')})
    assert (taken.status, taken.proof.verdict) == ('excluded', 'other way')
    assert taken.problem == 'It should have gone by DIRECT: 100.0 % went by DERP.' and taken.values['sent'] == 2


def test_missing_counters_exclude_an_overlay_sample(taking):
    taken = taking({'tailscale metrics': 'exit 1'})
    assert (taken.status, taken.proof.verdict) == ('excluded', 'not measured')


def test_without_a_tailscaled_a_raw_sample_is_good(taking):
    taken = taking({'tailscale metrics': 'exit 1'}, path='raw')
    assert (taken.status, taken.proof.verdict) == ('ok', 'not measured')


def test_a_peer_that_vanishes_is_a_failed_sample(taking, monkeypatch):
    monkeypatch.setattr(Tool, 'patience', lambda self, slack: 0.3)
    taken = taking({'ping': 'exec sleep 100'})
    assert taken.status == 'failed'
    assert taken.problem == 'ping on a did not end within 0 s: the other end or the network is gone.'


def test_a_raw_path_through_the_overlay_is_not_measured(taking):
    taken = taking({'getent ahosts': 'echo "100.64.0.2 STREAM lab-1"'}, path='raw')
    assert (taken.status, taken.values) == ('failed', {})
    assert taken.problem == 'The raw path to b would go through the overlay: lab-1 is 100.64.0.2 on a.'
    taken = taking({'tailscale metrics': METRICS.replace('100000', '0')}, path='raw')
    assert (taken.status, taken.settings['mtu']) == ('ok', 1280)


@pytest.mark.parametrize('error, status', [(None, 'ok'), (10.0, 'ok'), (0.5, 'excluded')])
def test_a_message_that_arrives_before_it_is_sent(taking, error, status):
    more = {} if error is None else {'clock_error_ms': error}
    taken = taking({'rosrun': say({'sent': 2})}, 'topic: {tool: ros-topic}',
                   rosrun=say({'hz': 10, 'age_ms': [-3.0, 2.0], 'received': 2}), **more)
    assert taken.status == status, taken
    assert taken.problem == clocks_apart({'age_ms': [-3.0, 2.0]}, error)
    assert taken.problem.startswith('A message arrived 3 ms before it was sent' if status == 'excluded' else '')


def test_a_missing_program_is_a_failed_sample(taking):
    assert taking({'ping': None}).problem == 'ping cannot be started on a: No such file or directory.'


def test_the_answer_of_a_tool_is_kept_under_the_sample_s_id(taking, tmp_path):
    good = {'intervals': [], 'end': {'sum_sent': {}, 'sum_received': {'bits_per_second': 1e6, 'bytes': 90000}}}
    taken = taking({'iperf3': say(good)}, 'tcp: {tool: iperf3-tcp, seconds: 1}')
    assert (taken.status, taken.values['bps']) == ('ok', 1e6), taken
    with open(str(tmp_path / 'results' / 'raw' / 's+tcp+overlay+1.json')) as stream:
        assert json.load(stream) == good


def test_a_good_sample_may_have_a_remark(taking, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(store.Store, 'keep_raw', full)
    good = {'intervals': [], 'end': {'sum_sent': {}, 'sum_received': {'bits_per_second': 1, 'bytes': 9}}}
    taken = taking({'iperf3': say(good)}, 'tcp: {tool: iperf3-tcp, seconds: 1}')
    assert (taken.status, taken.problem) == (
        'ok', 'The answer of iperf3 could not be kept: No space left on device.')


def test_the_measurement_waits_for_the_expected_link(tmp_path):
    answers = 'if [ -e first ]; then echo "pong from b via 1.2.3.4:5 in 1ms"; else touch first; ' \
              'echo "pong from b via DERP(x) in 1ms"; exit 1; fi'
    source = ScriptedHost('a', {'tailscale ping': answers}, str(tmp_path))
    assert wait_for_link(source, '100.64.0.2', 'DIRECT', 30.0, sleep=lambda _: None) == 'DIRECT'
    assert wait_for_link(source, '100.64.0.2', 'DERP', 0.0, sleep=lambda _: None) == 'DIRECT'
