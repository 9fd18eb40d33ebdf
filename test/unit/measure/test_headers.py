"""The share of a link that headers take."""
import pytest

from ua_overlay.measure import headers


@pytest.mark.parametrize('efficiency, share, floor', [
    (headers.raw_efficiency(), 0.9415, 0.0), (headers.overlay_efficiency(), 0.8911, 5.35),
    (headers.overlay_efficiency(1440), 0.9025, 4.14), (headers.derp_efficiency(), 0.843, 10.4)])
def test_header_floors(efficiency, share, floor):
    assert efficiency == pytest.approx(share, abs=5e-4)
    assert headers.header_floor(efficiency) == pytest.approx(floor, abs=0.06)


def test_a_packet_in_wireguard_on_an_ethernet():
    # Of a ping: 84 bytes, WireGuard over IPv4 60, the frame 38.
    assert headers.overlay_packet_bits(84) == 8 * (84 + 60 + 38)
