"""STUN messages as Headscale and derper exchange them."""
import binascii
import socket
import struct

import pytest

from ua_overlay.relays import stun

TRANSACTION = bytes(range(12))


def test_a_request_has_the_attributes_that_headscale_requires():
    request = stun.request(TRANSACTION)
    assert request[:4] == b'\x00\x01' + struct.pack('>H', len(request) - 20)
    assert b'tailnode' in request
    # FINGERPRINT is the last attribute: CRC-32 of all before it, XOR 0x5354554e (RFC 8489 14.7).
    assert request[-8:-4] == b'\x80\x28\x00\x04'
    assert struct.unpack('>I', request[-4:])[0] == binascii.crc32(request[:-8]) ^ 0x5354554e


@pytest.mark.parametrize('packed, text', [
    (socket.inet_aton('203.0.113.21'), '203.0.113.21'),
    (socket.inet_pton(socket.AF_INET6, '2001:db8::1'), '2001:db8::1'),
    (socket.inet_pton(socket.AF_INET6, '::ffff:203.0.113.21'), '203.0.113.21')])
@pytest.mark.parametrize('kind', [0x0020, 0x0001])
def test_address_in_an_answer(stun_answer, packed, text, kind):
    assert stun.parse_response(stun_answer(TRANSACTION, packed, 41000, kind), TRANSACTION) == (text, 41000)


def test_other_and_truncated_messages_are_ignored(stun_answer):
    good = stun_answer(TRANSACTION, b'\1\2\3\4', 5)
    assert stun.parse_response(good, bytes(12)) is None
    for length in range(len(good)):
        assert stun.parse_response(good[:length], TRANSACTION) is None
    assert stun.parse_response(stun.request(TRANSACTION), TRANSACTION) is None
