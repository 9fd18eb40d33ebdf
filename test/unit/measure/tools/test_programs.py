"""What the programs are called with, and what their answers mean: the JSON is of iperf3 3.12, shortened."""
import json

import pytest

from ua_overlay.measure.campaign import campaign, measurement, sample
from ua_overlay.measure.hosts.host import Closed, HostLost
from ua_overlay.measure.tools import programs
from unit.measure.steps import short

WORDS = {'source': 'dev-1', 'target': 'dev-2', 'port': 5201}
TCP, PING, TOPIC = short().scenarios[0].tools
UDP = campaign.Tool('udp', sample.UDP, {'seconds': 2.0, 'omit': 1, 'server': 'started', 'port': 5201, 'rate': 5e6})
SERVICE = campaign.Tool('service', sample.SERVICE, {'calls': 3, 'omit': 1})
TCP_ANSWER = {
    'start': {'version': 'iperf 3.12'},
    'intervals': [{'sum': {'bits_per_second': 9e6, 'omitted': True}},
                  {'sum': {'bits_per_second': 1e6, 'omitted': False}},
                  {'sum': {'bits_per_second': 3e6, 'omitted': False}}],
    'end': {'sum_sent': {'bytes': 520000, 'bits_per_second': 2.1e6, 'retransmits': 9},
            'sum_received': {'bytes': 500000, 'bits_per_second': 2e6}}}
UDP_ANSWER = {
    'intervals': [{'sum': {'bits_per_second': 5e6, 'omitted': False}}],
    'end': {'sum': {'bytes': 1245184, 'bits_per_second': 5e6, 'jitter_ms': 0.25, 'lost_packets': 4, 'packets': 40,
                    'lost_percent': 10},
            'sum_received': {'bytes': 1120665, 'bits_per_second': 4.5e6, 'jitter_ms': 0.25, 'packets': 36,
                             'lost_percent': 10}}}
PINGED = '''PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.
64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=10.5 ms
64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=11.0 ms

--- 10.0.0.2 ping statistics ---
3 packets transmitted, 2 received, 33.3333% packet loss, time 2003ms
'''


def test_tcp():
    assert programs.iperf_argv(TCP, '10.0.0.2') == [
        'iperf3', '-c', '10.0.0.2', '-p', '5201', '-t', '3', '-O', '1', '-J', '-C', 'cubic']
    assert programs.parse_iperf(TCP, json.dumps(TCP_ANSWER), WORDS) == (
        {'bps': 2e6, 'intervals_bps': [1e6, 3e6], 'retransmits': 9}, 500000)


def test_tcp_with_a_rate():
    limited = campaign.Tool('tcp', sample.TCP, dict(TCP.settings, rate=5e6))
    assert programs.iperf_argv(limited, '10.0.0.2')[-4:] == ['-C', 'cubic', '-b', '5000000']
    assert programs.settings_of(limited, None, None)['offered_bps'] == 5e6
    assert 'offered_bps' not in programs.settings_of(TCP, None, None)


def test_a_host_without_a_way_in():
    closed = Closed('lab-1', overlay='100.64.0.9')
    assert (closed.overlay_address(), closed.processor(), closed.path_bytes()) == ('100.64.0.9', None, None)
    with pytest.raises(HostLost) as caught:
        closed.start(['iperf3', '-s'])
    assert 'there is no way into it' in caught.value.sentence


def test_udp():
    assert programs.iperf_argv(UDP, '10.0.0.2')[-3:] == ['-u', '-b', '5000000']
    values, payload = programs.parse_iperf(UDP, json.dumps(UDP_ANSWER), WORDS)
    assert (values['bps'], values['jitter_ms'], values['lost_percent'], values['packets'], values['offered_bps']) == (
        4.5e6, 0.25, 10, 40, 5e6)
    assert payload == 1120665


def test_udp_of_an_iperf3_that_has_one_sum_only():
    end = {'sum': UDP_ANSWER['end']['sum']}
    values, _ = programs.parse_iperf(UDP, json.dumps(dict(UDP_ANSWER, end=end)), WORDS)
    assert values['bps'] == pytest.approx(4.5e6)


@pytest.mark.parametrize('said, part', [
    ('unable to connect to server: Connection refused', 'No iperf3 server listens on dev-2, port 5201 (iperf3: unable'),
    ('the server is busy running a test. try again later', 'The iperf3 server on dev-2 is busy'),
    ('control socket has closed unexpectedly', 'dev-2 ended the connection in the middle'),
    ('unable to connect to server: No route to host', 'no route from dev-1 to dev-2'),
    ('unable to receive parameters from server: parameter exchange', 'of a version that this one does not understand'),
    ('something new', 'iperf3 from dev-1 to dev-2 failed: something new.')])
def test_what_iperf3_complains_of_is_said_with_names(said, part):
    with pytest.raises(programs.Unmeasured) as caught:
        programs.parse_iperf(TCP, json.dumps({'start': {}, 'intervals': [], 'end': {}, 'error': said}), WORDS)
    assert part in caught.value.sentence


@pytest.mark.parametrize('text, part', [('', 'it said nothing'), ('iperf3: usage', 'iperf3: usage'), ('[]', '[]'),
                                        ('{"intervals": [], "end": {}}', 'its answer has no result')])
def test_an_answer_without_a_result_is_a_sentence(text, part):
    with pytest.raises(programs.Unmeasured) as caught:
        programs.parse_iperf(TCP, text, WORDS)
    assert part in caught.value.sentence


def test_only_a_refusal_is_tried_again():
    assert programs.iperf_refused('{"error": "unable to connect to server: Connection refused"}')
    assert not programs.iperf_refused(json.dumps(TCP_ANSWER)) and not programs.iperf_refused('')


def test_ping():
    assert programs.ping_argv(PING, '10.0.0.2') == ['env', 'LC_ALL=C', 'ping', '-n', '-c', '6', '-i', '0.1', '-s', '56',
                                                 '-W', '5', '10.0.0.2']
    assert programs.parse_ping(PING, PINGED, WORDS) == ({'rtt_ms': [11.0], 'sent': 2, 'lost': 1}, 5 * 84)
    twice = PINGED.replace('time=11.0 ms',
                           'time=11.0 ms\n64 bytes from 10.0.0.2: icmp_seq=3 ttl=64 time=12.0 ms (DUP!)')
    assert programs.parse_ping(PING, twice, WORDS)[0]['rtt_ms'] == [11.0]
    # Numbers begin anew after 65535.
    more = PINGED.replace('\n\n---', '\n64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=13.0 ms\n\n---')
    assert programs.parse_ping(PING, more, WORDS)[0]['rtt_ms'] == [11.0, 13.0]
    with pytest.raises(programs.Unmeasured, match='dev-2 answers no ping from dev-1'):
        programs.parse_ping(PING, '3 packets transmitted, 0 received, 100% packet loss\n', WORDS)
    said = 'ping: cannot flood; minimal interval allowed for user is 200ms'
    with pytest.raises(programs.Unmeasured, match='ping from dev-1 to dev-2 failed: ' + said):
        programs.parse_ping(PING, said + '\n', WORDS)


def test_a_topic_and_a_service():
    theirs, mine = programs.ros_argvs(TOPIC, '/x')
    assert theirs[:5] == ['rosrun', 'ua_overlay', 'measure_ros.py', 'listen', '/x'] and mine[3] == 'publish'
    near, far = 'some warning\n{"sent": 95}\n', '{"received": 95, "hz": 9.9, "age_ms": [1.5]}'
    assert programs.parse_ros(TOPIC, near, far, WORDS) == (
        {'hz': 9.9, 'age_ms': [1.5], 'sent': 95, 'received': 95, 'size_bytes': 1000}, 95000)
    assert [argv[3] for argv in programs.ros_argvs(SERVICE, '/x')] == ['serve', 'call']
    assert programs.parse_ros(SERVICE, '{"rtt_ms": [2.0], "failed": 1}', '', WORDS) == ({'rtt_ms': [2.0], 'failed': 1},
                                                                                        100)


@pytest.mark.parametrize('near, far, part', [
    ('{"error": "nobody subscribed"}', '', 'ROS on dev-1: nobody subscribed.'),
    ('{"sent": 1}', 'ua-overlay: there is no team.', 'on dev-2 said nothing: ua-overlay: there is no team.'),
    ('', '', 'on dev-1 said nothing: no output.')])
def test_a_ros_end_that_fails_is_named(near, far, part):
    with pytest.raises(programs.Unmeasured) as caught:
        programs.parse_ros(TOPIC, near, far, WORDS)
    assert part in caught.value.sentence


def test_the_settings_have_the_names_of_the_schema():
    assert programs.settings_of(UDP, 1280, None) == {'seconds': 2.0, 'omit': 1, 'server': 'started', 'port': 5201,
                                                  'offered_bps': 5e6, 'mtu': 1280}
    found = programs.settings_of(TOPIC, 1280, 0.5)
    assert (found['rate_hz'], found['size'], found['clock_error_ms']) == (10, 1000, 0.5)


@pytest.mark.parametrize('line, kind', [
    ('pong from dev-2 (100.64.0.2) via 203.0.113.22:41641 in 11ms', 'DIRECT'),
    ('pong from dev-2 (100.64.0.2) via DERP(iris) in 11ms', 'DERP'),
    ('pong from dev-2 (100.64.0.2) via peer-relay(203.0.113.10:40000:vni:1) in 11ms', 'PEER_RELAY'),
    ('ping "100.64.0.2" timed out', '')])
def test_the_way_that_a_ping_names(line, kind):
    assert measurement.way_of(line + '\ndirect connection not established\n') == kind


def test_another_version_at_the_other_end_is_said():
    assert measurement.different_versions({'iperf3': 'iperf 3.12 (cJSON 1.7.15)', 'iperf3_target': 'iperf 3.7'}) == \
        'iperf3 is 3.12 at the source and 3.7 at the target.'
    assert measurement.different_versions({'iperf3': 'iperf 3.12', 'iperf3_target': 'iperf 3.12'}) == ''
    assert measurement.different_versions({'iperf3': 'iperf 3.12'}) == ''
