"""Packets taken apart, TCP streams put together, and the search for a canary."""
import struct

import pytest

from ua_overlay.wire import packets
from unit.wire.made import CANARY, ip, tcp, udp


def test_packets_are_parsed():
    packet = udp(b'hello')
    assert (packet.source, packet.target, packet.source_port, packet.payload) == (
        '10.0.2.15', '203.0.113.22', 41641, b'hello')
    six = packets.parse(0, b'\x60' + bytes(3) + struct.pack('!HBB', 9, 17, 64) + bytes(15) + b'\1' + bytes(15) + b'\2' +
                        struct.pack('!HHHH', 1, 2, 9, 0) + b'x')
    assert (six.source, six.target, six.source_port, six.payload) == ('::1', '::2', 1, b'x')


def test_padding_lengths_and_fragments():
    assert packets.parse(0, ip(17, struct.pack('!HHHH', 1, 2, 9, 0) + b'x') + bytes(17)).payload == b'x'
    assert udp(b'uncut', total=0).payload == b'uncut'
    assert udp(b'later', offset=5).source_port == 0
    for nothing in (b'', b'\x45', b'\x60' + bytes(20), bytes(40)):
        assert packets.parse(0, nothing) is None


def test_a_canary_is_found_across_reordered_segments():
    text = b'head ' + CANARY.encode() + b' tail'
    start = 2 ** 32 - 12
    parts = [tcp(start, text[:20]), tcp(start + 40, text[40:]), tcp(start + 20, text[20:40]), tcp(start, text[:20]),
             tcp(start + 10, text[10:25])]
    assert packets.streams(parts) == [text]
    assert packets.count(CANARY, parts) == (0, 1)
    assert packets.count(CANARY, parts[:2]) == (0, 0), 'a hole holds no canary'
    assert len(packets.streams(parts[:2])) == 2
    assert packets.count(CANARY, [tcp(0, text[:20]), tcp(20, text[20:], port=99)]) == (0, 0)


@pytest.mark.parametrize('form', packets.forms(CANARY))
def test_each_encoding_is_found(form):
    assert packets.count(CANARY, [udp(b'..' + form + b'..')]) == (1, 0)
