"""The kind of a packet outside the tunnel, and the entropy of its content."""
import os

import pytest

from ua_overlay.wire import encryption, wireguard
from unit.wire.made import CANARY, data, geneve, tcp, tls, udp


@pytest.mark.parametrize('payload, kind', [
    (b'\1\0\0\0' + bytes(144), wireguard.INITIATION), (b'\2\0\0\0' + bytes(88), wireguard.RESPONSE),
    (b'\3\0\0\0' + bytes(60), wireguard.COOKIE), (data(16), wireguard.DATA), (data(), wireguard.DATA),
    (b'\1\0\0\0' + bytes(143), wireguard.OTHER), (data(8), wireguard.OTHER), (b'\4\0\1\0' + bytes(60), wireguard.OTHER),
    (b'\5\0\0\0' + bytes(60), wireguard.OTHER), (b'TS\xf0\x9f\x92\xac' + bytes(60), wireguard.DISCO),
    (geneve(data()), wireguard.DATA + wireguard.RELAYED),
    (geneve(b'\1\0\0\0' + bytes(144)), wireguard.INITIATION + wireguard.RELAYED),
    (geneve(b'TS\xf0\x9f\x92\xac', 0x7a11), wireguard.DISCO + wireguard.RELAYED),
    (geneve(data(), 0x6558), wireguard.OTHER), (geneve(b'text of a robot'), wireguard.OTHER),
    (b'\0\1\0\0\x21\x12\xa4\x42' + bytes(12), wireguard.STUN), (b'GET / HTTP/1.1', wireguard.OTHER)],
    # Payloads are random: as names of tests they would differ between the workers of pytest-xdist.
    ids=lambda value: value if isinstance(value, str) else str(len(value)))
def test_classified_datagrams(payload, kind):
    assert wireguard.datagram(payload) == kind


def test_one_record_identifies_a_tls_stream():
    stream = tls()
    found = [tcp(500, stream[700:]), tcp(0, tls(5)), tcp(0, b'GET /', port=7)]
    assert {kind: len(group) for kind, group in wireguard.sort(found).items()} == {'TLS': 2, 'other': 1}
    assert not wireguard.is_record(b'\x17\3\3\0\0') and not wireguard.is_record(b'\x17\3\3\xff\xff')


def test_ciphertext_follows_the_headers():
    message = data(48)
    assert wireguard.cipher_text(udp(message), wireguard.DATA) == message[16:]
    assert wireguard.cipher_text(udp(geneve(message)), wireguard.DATA + wireguard.RELAYED) == message[16:]
    segment = tcp(0, tls(30))
    assert wireguard.cipher_text(segment, wireguard.TLS) == segment.payload[5:]
    assert wireguard.cipher_text(tcp(0, segment.payload[7:]), wireguard.TLS) == segment.payload[7:]
    assert wireguard.cipher_text(udp(b'text'), wireguard.OTHER) == b''


def test_entropy():
    assert wireguard.entropy(b'') is None
    assert wireguard.entropy(bytes(100)) == 0
    assert wireguard.entropy(bytes(range(256))) == 8
    assert wireguard.entropy(os.urandom(20000)) > 7.98
    assert wireguard.entropy(encryption.page(CANARY).encode()) < 5
