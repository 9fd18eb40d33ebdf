"""Packets, framings, canaries and verdicts of the proof of encryption, on made packets."""
import ipaddress
import os
import struct
import subprocess
import sys

import pytest

from ua_overlay import link_types
from ua_overlay.wire import capture, encryption, encryption_page, packets, wireguard

CANARY = '0123456789abcdef' * 4


def ip(protocol, body, source='10.0.2.15', target='203.0.113.22', offset=0, total=None):
    header = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(body) if total is None else total, 0, offset, 64, protocol,
                         0, ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed)
    return header + body


def udp(payload, **options):
    return packets.parse(1.0, ip(17, struct.pack('!HHHH', 41641, 41641, 8 + len(payload), 0) + payload, **options))


def tcp(sequence, payload, port=1234, when=1.0):
    body = struct.pack('!HHIIBBHHH', port, 8080, sequence % 2 ** 32, 0, 5 << 4, 16, 1000, 0, 0)
    return packets.parse(when, ip(6, body + payload))


def data(length=1200):
    """A WireGuard data message."""
    return struct.pack('<IIQ', 4, 77, 5) + os.urandom(length)


def geneve(payload, protocol=0x7a12):
    return struct.pack('!BBHI', 0, 0, protocol, 7 << 8) + payload


def tls(length=1200):
    return struct.pack('!BBBH', 0x17, 3, 3, length) + os.urandom(length)


# --- capture

def pcap(records, link=capture.RAW, order='<', magic=0xa1b2c3d4, kept=None):
    whole = struct.pack(order + 'IHHiIII', magic, 2, 4, 0, 0, 262144, link)
    for packet in records:
        whole += struct.pack(order + 'IIII', 7, 500000, len(packet) if kept is None else kept, len(packet))
        whole += packet[:kept]
    return whole


def test_what_is_written_is_read():
    written = capture.file_header() + capture.record(7.5, b'\x45one') + capture.record(8.25, b'\x45two')
    assert capture.read(written) == [(7.5, b'\x45one'), (8.25, b'\x45two')]
    assert capture.read(written[:-1]) == [(7.5, b'\x45one')]


@pytest.mark.parametrize('order', '<>')
def test_files_of_tcpdump(order):
    ethernet = bytes(12) + b'\x08\x00' + b'\x45packet'
    vlan = bytes(12) + b'\x81\x00\x00\x05\x08\x00' + b'\x45vlan'
    arp = bytes(12) + b'\x08\x06' + b'arp'
    assert [packet for _, packet in capture.read(pcap([ethernet, arp, vlan], capture.ETHERNET, order))] == [
        b'\x45packet', b'\x45vlan']
    assert capture.read(pcap([bytes(14) + b'\x86\xdd' + b'\x60six'], capture.COOKED, order))[0][1] == b'\x60six'
    assert capture.read(pcap([b'\x08\x00' + bytes(18) + b'\x45any'], capture.COOKED_2, order))[0][1] == b'\x45any'
    assert capture.read(pcap([b'\x45'], order=order, magic=0xa1b23c4d))[0][0] == pytest.approx(7.0005)


@pytest.mark.parametrize('data, word', [
    (b'', 'no pcap'), (b'\n\r\r\n' + bytes(40), 'no pcap'), (pcap([], 127), '127'),
    (pcap([b'\x45xxxx'], kept=2), 'cut')])
def test_files_that_prove_nothing(data, word):
    with pytest.raises(capture.NotPcap, match=word):
        capture.read(data)


# --- packets

def test_a_packet_is_taken_apart():
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


def test_a_canary_across_segments_out_of_order_and_repeated():
    text = b'head ' + CANARY.encode() + b' tail'
    start = 2 ** 32 - 12
    parts = [tcp(start, text[:20]), tcp(start + 40, text[40:]), tcp(start + 20, text[20:40]), tcp(start, text[:20]),
             tcp(start + 10, text[10:25])]
    assert packets.streams(parts) == [text]
    assert packets.count(CANARY, parts) == (0, 1)
    assert packets.count(CANARY, parts[:2]) == (0, 0), 'a hole is no point for a canary'
    assert len(packets.streams(parts[:2])) == 2
    assert packets.count(CANARY, [tcp(0, text[:20]), tcp(20, text[20:], port=99)]) == (0, 0)


@pytest.mark.parametrize('form', packets.forms(CANARY))
def test_each_form_is_found(form):
    assert packets.count(CANARY, [udp(b'..' + form + b'..')]) == (1, 0)


# --- wireguard

@pytest.mark.parametrize('payload, kind', [
    (b'\1\0\0\0' + bytes(144), wireguard.INITIATION), (b'\2\0\0\0' + bytes(88), wireguard.RESPONSE),
    (b'\3\0\0\0' + bytes(60), wireguard.COOKIE), (data(16), wireguard.DATA), (data(), wireguard.DATA),
    (b'\1\0\0\0' + bytes(143), wireguard.OTHER), (data(8), wireguard.OTHER), (b'\4\0\1\0' + bytes(60), wireguard.OTHER),
    (b'\5\0\0\0' + bytes(60), wireguard.OTHER), (b'TS\xf0\x9f\x92\xac' + bytes(60), wireguard.DISCO),
    (geneve(data()), wireguard.DATA + wireguard.RELAYED),
    (geneve(b'\1\0\0\0' + bytes(144)), wireguard.INITIATION + wireguard.RELAYED),
    (geneve(b'TS\xf0\x9f\x92\xac', 0x7a11), wireguard.DISCO + wireguard.RELAYED),
    (geneve(data(), 0x6558), wireguard.OTHER), (geneve(b'text of a robot'), wireguard.OTHER),
    (b'\0\1\0\0\x21\x12\xa4\x42' + bytes(12), wireguard.STUN), (b'GET / HTTP/1.1', wireguard.OTHER)])
def test_datagrams(payload, kind):
    assert wireguard.datagram(payload) == kind


def test_a_stream_of_tls_is_known_by_one_record():
    stream = tls()
    found = [tcp(500, stream[700:]), tcp(0, tls(5)), tcp(0, b'GET /', port=7)]
    assert {kind: len(group) for kind, group in wireguard.sort(found).items()} == {'TLS': 2, 'other': 1}
    assert not wireguard.is_record(b'\x17\3\3\0\0') and not wireguard.is_record(b'\x17\3\3\xff\xff')


def test_cipher_text_is_what_is_behind_the_headers():
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


# --- verdicts

CARRIERS = {'DIRECT': lambda: [udp(data()) for _ in range(20)], 'PEER_RELAY': lambda: [
    udp(geneve(data())) for _ in range(20)], 'DERP': lambda: [tcp(number * 2000, tls()) for number in range(20)]}


def points(link, inside=CANARY, outside='', carriers=None):
    clear = [tcp(0, inside.encode())] + ([udp(outside.encode())] if outside else [])
    made = [encryption.inspect(host, 'tailscale0', True, [tcp(0, inside.encode())], CANARY) for host in ('a', 'b')]
    shown = (CARRIERS[link]() if carriers is None else carriers) + clear[1:]
    return made + [encryption.inspect(host, 'wan', False, shown, CANARY) for host in ('a', 'b', 'nat')]


def judge(link, found, **options):
    return encryption.judge(link, found, ('a', 'b'), ('nat',), **options)


@pytest.mark.parametrize('link', link_types.CARRYING)
def test_a_proof(link):
    assert judge(link, points(link)) == []


@pytest.mark.parametrize('link', link_types.CARRYING)
def test_a_proof_that_fails(link):
    assert len([why for why in judge(link, points(link, outside=CANARY)) if 'outside the tunnel on' in why]) == 3
    assert 'not found inside the tunnel on a' in judge(link, points(link, inside='nothing'))[0]
    assert 'lost 3 packets' in judge(link, points(link), dropped=3)[0]
    assert all('another way' in why for why in judge(link, points(link, carriers=[])))
    for other in set(link_types.CARRYING) - {link}:
        assert len(judge(link, points(other))) == 3, 'the page went another way'


def test_the_host_of_the_relays_has_to_have_carried_the_page():
    class Stage:
        between, relays = ('nat',), ('server',)

    assert encryption.on_the_way(Stage, 'DIRECT') == encryption.on_the_way(Stage, encryption.RAW) == ('nat',)
    for link in ('PEER_RELAY', 'DERP'):
        why = encryption.judge(link, points(link), ('a', 'b'), encryption.on_the_way(Stage, link))
        assert len(why) == 1 and 'On server there were 0 bytes' in why[0]


def test_a_leak_is_no_chance():
    def run(link, **options):
        return encryption.Run(link, CANARY, points('DIRECT', **options), ['why'], None)

    assert encryption.worth_another_try(run('DIRECT', carriers=[]))
    assert not encryption.worth_another_try(run('DIRECT', outside=CANARY))
    assert not encryption.worth_another_try(run('raw'))


def test_the_run_past_the_tunnel_has_to_find_it():
    assert judge(encryption.RAW, points('DIRECT', outside=CANARY)) == []
    assert len(judge(encryption.RAW, points('DIRECT'))) == 3


def test_a_proof_needs_every_run():
    runs = [encryption.Run(link, CANARY, [], [], None) for link in ('raw',) + link_types.CARRYING]
    assert encryption.proven(runs) and not encryption.proven(runs[1:]) and encryption.proven(runs[:2], ('DIRECT',))
    assert not encryption.proven(runs[:3] + [runs[3]._replace(why=['no'])])


# --- pictures

def run_with_picture():
    inner = tcp(0, b'x' * 1000 + CANARY.encode(), when=1.0)
    outer = udp(data(1300))._replace(when=1.001)
    return {'link': 'DIRECT', 'ok': True, 'why': [], 'canary': CANARY,
            'places': [dict(point._asdict()) for point in points('DIRECT')],
            'picture': encryption.pair_of('DIRECT', [inner], [udp(data(40))._replace(when=1.0005), outer], CANARY)}


def test_the_carrier_of_a_packet():
    run = run_with_picture()
    assert run['picture']['kind'] == wireguard.DATA and run['picture']['header'] == 20 + 8 + 16
    assert encryption.pair_of('DIRECT', [], [], CANARY) is None
    assert encryption.pair_of('raw', [tcp(0, CANARY.encode())], [], CANARY) is None


def test_the_page_shows_both_and_needs_no_network():
    run = run_with_picture()
    run['why'] = ['<b>']
    text = encryption_page.document({'proven': True, 'runs': [run]})
    assert text.count('<pre>') == 2 and '&lt;b&gt;' in text and 'http' not in text and 'src=' not in text
    assert '<mark>' in encryption_page.dump(b'0123456789', (2, 4)) and 'bytes more' in encryption_page.dump(bytes(999))
    assert encryption_page.dump(bytes(999), (700, 764)).count('<mark>') == 128, 'shown wherever it is'



def test_the_capture_needs_nothing_but_python():
    """It is carried to a robot as one file."""
    code = 'import runpy; runpy.run_path({!r})'.format(capture.__file__)
    assert subprocess.run([sys.executable, '-I', '-S', '-c', code]).returncode == 0
