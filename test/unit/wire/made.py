"""Generated packets for the tests of wire."""
import ipaddress
import os
import struct

from ua_overlay.wire import encryption, packets

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


#: What carries a page outside, by link type.
CARRIERS = {'DIRECT': lambda: [udp(data()) for _ in range(20)], 'PEER_RELAY': lambda: [
    udp(geneve(data())) for _ in range(20)], 'DERP': lambda: [tcp(number * 2000, tls()) for number in range(20)]}


def points(link, inside=CANARY, outside='', carriers=None):
    """The points of captures on two robots and the router between them.

    :param inside, outside: text of a packet there. :param carriers: packets outside; None: those of the link type.
    """
    clear = [tcp(0, inside.encode())] + ([udp(outside.encode())] if outside else [])
    made = [encryption.inspect(host, 'tailscale0', True, [tcp(0, inside.encode())], CANARY) for host in ('a', 'b')]
    shown = (CARRIERS[link]() if carriers is None else carriers) + clear[1:]
    return made + [encryption.inspect(host, 'wan', False, shown, CANARY) for host in ('a', 'b', 'nat')]
