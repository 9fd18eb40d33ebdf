"""STUN, the forwarding rules, and what a look from outside says, against sockets of this machine."""
import binascii
import socket
import struct
import threading

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import check, stun
from ua_overlay.relays.probe import Unreachable, probe_relay, probe_server, probe_stun
from ua_overlay.server import forwarding

TRANSACTION = bytes(range(12))
BEHIND = SiteSettings('s.test', ('203.0.113.9',), private=('192.168.7.10',))


def test_a_stun_request_as_headscale_wants_it():
    request = stun.request(TRANSACTION)
    assert request[:4] == b'\x00\x01' + struct.pack('>H', len(request) - 20)
    assert b'tailnode' in request
    # FINGERPRINT is the last attribute: CRC-32 of all before it, XOR 0x5354554e (RFC 8489 14.7).
    assert request[-8:-4] == b'\x80\x28\x00\x04'
    assert struct.unpack('>I', request[-4:])[0] == binascii.crc32(request[:-8]) ^ 0x5354554e


def answer(transaction, packed, port, kind=0x0020):
    mask = struct.pack('>I', 0x2112A442) + transaction if kind == 0x0020 else bytes(16)
    value = b'\0' + (b'\1' if len(packed) == 4 else b'\2')
    value += struct.pack('>H', port ^ struct.unpack('>H', mask[:2])[0])
    value += bytes(a ^ b for a, b in zip(packed, mask))
    attribute = struct.pack('>HH', kind, len(value)) + value
    return b'\x01\x01' + struct.pack('>HI', len(attribute), 0x2112A442) + transaction + attribute


@pytest.mark.parametrize('packed, text', [
    (socket.inet_aton('203.0.113.21'), '203.0.113.21'),
    (socket.inet_pton(socket.AF_INET6, '2001:db8::1'), '2001:db8::1'),
    (socket.inet_pton(socket.AF_INET6, '::ffff:203.0.113.21'), '203.0.113.21')])
@pytest.mark.parametrize('kind', [0x0020, 0x0001])
def test_the_address_in_an_answer(packed, text, kind):
    assert stun.parse_response(answer(TRANSACTION, packed, 41000, kind), TRANSACTION) == (text, 41000)


def test_what_is_no_answer():
    good = answer(TRANSACTION, b'\1\2\3\4', 5)
    assert stun.parse_response(good, bytes(12)) is None
    for length in range(len(good)):
        assert stun.parse_response(good[:length], TRANSACTION) is None
    assert stun.parse_response(stun.request(TRANSACTION), TRANSACTION) is None


@pytest.fixture
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(('127.0.0.1', 0))
        yield link


def test_looking_at_stun(udp):
    def serve():
        data, source = udp.recvfrom(2048)
        udp.sendto(answer(data[8:20], socket.inet_aton(source[0]), source[1]), source)

    thread = threading.Thread(target=serve)
    thread.start()
    assert probe_stun('127.0.0.1', udp.getsockname()[1]).startswith('sees us as 127.0.0.1:')
    thread.join()


def test_a_mute_port_and_a_closed_one(udp):
    port = udp.getsockname()[1]
    with pytest.raises(Unreachable, match='no answer within'):
        probe_stun('127.0.0.1', port, timeout=0.2)
    assert 'not refused' in probe_relay('127.0.0.1', port, timeout=0.2)
    udp.close()
    for probe in (probe_stun, probe_relay):
        with pytest.raises(Unreachable, match='nothing listens there'):
            probe('127.0.0.1', port)


def test_a_closed_server_is_a_line_that_failed():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable, match='refused'):
        probe_server('127.0.0.1', port, 's.test', {})
    probes = check.probes_of_server('127.0.0.1', 's.test', (port, port, port), {}, lambda protocol, number: 'do this')
    seen = check.run_probes(probes[:2])
    assert [(each.what, each.ok, each.next_command) for each in seen] == [
        ('control', False, 'do this'), ('DERP', False, 'do this')]


def test_every_port_of_every_public_address_is_forwarded():
    settings = SiteSettings('s.test', ('203.0.113.9', '2001:db8::9'), private=('192.168.7.10', 'fd00::10'))
    found = forwarding.forwards(settings)
    assert [(each.protocol, each.port) for each in found] == [('tcp', 8080), ('udp', 3478), ('udp', 40000)] * 2
    rules = forwarding.nftables(found)
    assert 'ip daddr 203.0.113.9 udp dport 40000 dnat ip to 192.168.7.10:40000' in rules
    assert 'ip6 daddr 2001:db8::9 tcp dport 8080 dnat ip6 to [fd00::10]:8080' in rules
    # Only what the server sends to itself gets another source.
    assert rules.count('masquerade') == 2 and 'saddr 192.168.7.10 ip daddr 192.168.7.10' in rules


def test_robots_beside_the_server_get_the_routers_source():
    beside = [forwarding.check_beside('192.168.7.0/24'), forwarding.check_beside('fd00::/64')]
    rules = forwarding.nftables(forwarding.forwards(BEHIND), beside)
    # Once, whatever the number of ports; and no rule for the other IP version, which is not forwarded.
    assert rules.count('ip saddr 192.168.7.0/24 ip daddr 192.168.7.10 ct status dnat masquerade') == 1
    assert 'fd00' not in rules and 'robots beside' not in forwarding.nftables(forwarding.forwards(BEHIND))
    assert 'Let 192.168.7.0/24 reach 203.0.113.9 alike' in forwarding.text(forwarding.forwards(BEHIND), beside[:1])
    with pytest.raises(UsageError, match='lan is no network'):
        forwarding.check_beside('lan')


def test_the_same_in_words():
    text = forwarding.text(forwarding.forwards(BEHIND))
    for word in ('TCP 8080', 'UDP 3478', 'UDP 40000', '203.0.113.9', '192.168.7.10', 'default gateway', 'hairpin'):
        assert word in text


@pytest.mark.parametrize('settings, private, word', [
    (SiteSettings('s.test'), None, 'no public address'),
    (SiteSettings('s.test', ('203.0.113.9',)), None, 'no private address'),
    (SiteSettings('s.test', ('2001:db8::9',)), '192.168.7.10', 'another IP version'),
])
def test_nothing_to_forward(settings, private, word):
    with pytest.raises(UsageError, match=word) as caught:
        forwarding.forwards(settings, private)
    assert caught.value.next_command
