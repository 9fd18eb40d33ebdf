"""lab.link_meter: expected values of a shape, and parsing of ping."""
import pytest

from ua_overlay.lab.link_meter import Figure, expected, far_end, parse_ping
from ua_overlay.lab.shape import Shape
from ua_overlay.lab.topology import parse

TOPOLOGY = '''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
hosts: {server: {address: 203.0.113.10}}
nats: {nat1: {address: 203.0.113.21, inside: 10.0.2.2/24}}
robots: {dev-1: {behind: nat1, address: 10.0.2.15}}
'''


def test_values_expected_of_a_shape():
    assert expected(Shape(delay=0.01, rate=1e8)) == {
        'rtt': pytest.approx(20.0), 'jitter': None, 'loss': 0.0, 'tcp': pytest.approx(94.148, abs=0.001)}
    lossy = expected(Shape(loss=0.1, rate=1e8))
    assert lossy['loss'] == pytest.approx(19.0) and lossy['tcp'] is None
    assert expected(Shape(delay=0.01, reorder=0.1))['rtt'] is None and expected(Shape())['tcp'] is None


def test_the_error_is_relative_to_a_set_value():
    assert Figure('a', 'b', 'ms', 20.0, 21.0).error == pytest.approx(0.05)
    assert Figure('a', 'b', 'ms', 0.0, 0.3).error == 0.3 and Figure('a', 'b', 'ms', None, 0.3).error is None


def test_ping_output_is_parsed():
    text = ('PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.\n64 bytes from 10.0.2.2: icmp_seq=1 ttl=64 time=20.5 ms\n'
            '64 bytes from 10.0.2.2: icmp_seq=3 ttl=64 time=0.045 ms\n\n--- 10.0.2.2 ping statistics ---\n'
            '3 packets transmitted, 2 received, 33.3333% packet loss, time 20ms\n')
    assert parse_ping(text) == [20.5, 0.045]


def test_the_far_end_is_the_router_or_the_internet():
    topology = parse(TOPOLOGY)
    assert far_end(topology, 'dev-1') == ('nat1', '10.0.2.2')
    assert far_end(topology, 'nat1') == far_end(topology, 'server') == ('inet', '203.0.113.1')
