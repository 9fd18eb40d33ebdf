import os

import pytest

from ua_overlay.tailscale.byte_counters import moved, parse_bytes
from unit.tailscale.test_model import ANSWERS, VERSIONS


@pytest.mark.parametrize('version', VERSIONS)
def test_recorded_counters(version):
    with open(os.path.join(ANSWERS, 'usermetrics-{}.txt'.format(version)), 'rb') as stream:
        counters = parse_bytes(stream.read())
    assert set(counters) == {'DIRECT', 'PEER_RELAY', 'DERP'}
    assert all(value > 0 for value in counters.values())


def test_directions_and_address_families_are_summed():
    text = (b'# HELP tailscaled_inbound_bytes_total {path="derp"} 9\n'
            b'tailscaled_inbound_bytes_total{path="direct_ipv4"} 1\n'
            b'tailscaled_inbound_bytes_total{path="direct_ipv6"} 10\n'
            b'tailscaled_outbound_bytes_total{path="direct_ipv4"} 100\n'
            b'tailscaled_outbound_packets_total{path="direct_ipv4"} 1000\n'
            b'tailscaled_outbound_bytes_total{path="carrier_pigeon"} 7\n')
    assert parse_bytes(text) == {'DIRECT': 111, 'UNKNOWN': 7}


def test_difference_of_counters():
    assert moved({'DERP': 1, 'DIRECT': 2}, {'DERP': 1, 'DIRECT': 3}) == {'DIRECT'}
    assert moved({'DERP': 5}, {'DERP': 0, 'DIRECT': 0}) == {'DERP'}
    assert moved({}, {}) == set()


@pytest.mark.parametrize('number', [b'9' * 5000, b'-1', b'1.5', b'0x1', b''])
def test_a_line_that_is_no_counter_is_skipped(number):
    line = b'tailscaled_inbound_bytes_total{path="derp"} %s\n'
    assert parse_bytes(line % number + line % b'7') == {'DERP': 7}
