"""Classify a packet outside a tunnel by its first bytes, and measure the entropy of its content. Pure.

WireGuard (https://www.wireguard.com/protocol/): a type, three zero bytes, lengths fixed for types 1 to 3. A peer relay
puts a Geneve header (RFC 8926) of 8 bytes before it, with a protocol number of Tailscale's own. DERP carries the same
messages in TLS (net/packet/geneve.go and disco/disco.go of tailscale.com v1.98.10).
"""
import collections
import math
import struct
from typing import Collection, Dict, Iterable, List, Optional, Set, Tuple

from ua_overlay.wire import packets
from ua_overlay.wire.packets import Packet

#: (source, port, target, port) of a TCP connection, in one direction.
Flow = Tuple[str, int, str, int]

INITIATION, RESPONSE, COOKIE, DATA = 'WireGuard 1 initiation', 'WireGuard 2 response', 'WireGuard 3 cookie', \
    'WireGuard 4 data'
RELAYED = ' in Geneve'
DISCO, STUN, TLS, OTHER = 'disco', 'STUN', 'TLS', 'other'
_LENGTHS = {1: (INITIATION, 148), 2: (RESPONSE, 92), 3: (COOKIE, 64)}
#: Bytes of a data message before its cipher text (type, receiver, counter), and of an empty data message.
DATA_HEADER, DATA_LEAST = 16, 32
GENEVE_HEADER = 8
_GENEVE_DISCO, _GENEVE_WIREGUARD = 0x7a11, 0x7a12
_DISCO_MAGIC = b'TS\xf0\x9f\x92\xac'
_STUN_COOKIE = b'\x21\x12\xa4\x42'
_TLS_RECORDS = (0x14, 0x15, 0x16, 0x17)
#: Bytes of a TLS record: its header, and the longest content (RFC 8446, 5.2).
_TLS_HEADER, _TLS_LONGEST = 5, 16384 + 256


def message(payload: bytes) -> str:
    """The kind of a WireGuard message or disco packet, '' for anything else.

    A train of data messages that the kernel has not split into packets yet (UDP segmentation offload) counts as one.
    """
    if payload[:6] == _DISCO_MAGIC:
        return DISCO
    if len(payload) < 4 or payload[1:4] != b'\0\0\0':
        return ''
    kind, length = _LENGTHS.get(payload[0], ('', 0))
    if kind and len(payload) == length:
        return kind
    return DATA if payload[0] == 4 and len(payload) >= DATA_LEAST else ''


def datagram(payload: bytes) -> str:
    """The kind of a UDP datagram."""
    kind = message(payload)
    if kind:
        return kind
    if len(payload) >= 20 and payload[4:8] == _STUN_COOKIE and payload[0] < 4:
        return STUN
    # Version 0 without options; the first bit of the second byte marks control messages.
    if len(payload) > GENEVE_HEADER and payload[0] == 0 and payload[1] & 0x7f == 0:
        protocol = struct.unpack_from('!H', payload, 2)[0]
        inner = message(payload[GENEVE_HEADER:])
        if protocol == _GENEVE_DISCO and inner == DISCO or protocol == _GENEVE_WIREGUARD and inner not in ('', DISCO):
            return inner + RELAYED
    return OTHER


def tls_flows(found: Iterable[Packet]) -> Set[Flow]:
    """The TCP flows in which a segment begins with a TLS record. Captures start and segments end in the middle of
    records, so the other segments of these flows cannot be recognised by their first bytes."""
    return {flow(packet) for packet in found if packet.protocol == packets.TCP and is_record(packet.payload)}


def flow(packet: Packet) -> Flow:
    return packet.source, packet.source_port, packet.target, packet.target_port


def is_record(payload: bytes) -> bool:
    """Whether bytes begin with the header of a TLS record: a type, version 3.x and a length within the limit."""
    if len(payload) < _TLS_HEADER or payload[0] not in _TLS_RECORDS or payload[1] != 3 or payload[2] > 4:
        return False
    return bool(0 < struct.unpack_from('!H', payload, 3)[0] <= _TLS_LONGEST)


def framing(packet: Packet, tls: Collection[Flow] = ()) -> str:
    """The kind of a packet outside the tunnel. :param tls: the flows of :func:`tls_flows`."""
    if packet.protocol == packets.UDP:
        return datagram(packet.payload)
    return TLS if packet.protocol == packets.TCP and flow(packet) in tls else OTHER


def cipher_text(packet: Packet, kind: str) -> bytes:
    """The encrypted part of a packet of a kind: the body of a data message, a TLS segment; b'' for others."""
    if kind == DATA:
        return packet.payload[DATA_HEADER:]
    if kind == DATA + RELAYED:
        return packet.payload[GENEVE_HEADER + DATA_HEADER:]
    if kind == TLS:
        return packet.payload[_TLS_HEADER if is_record(packet.payload) else 0:]
    return b''


def sort(found: Collection[Packet]) -> Dict[str, List[Packet]]:
    """Packets with a payload, by kind."""
    tls = tls_flows(found)
    kinds: Dict[str, List[Packet]] = {}
    for packet in found:
        if packet.payload:
            kinds.setdefault(framing(packet, tls), []).append(packet)
    return dict(sorted(kinds.items()))


def entropy(data: bytes) -> Optional[float]:
    """Bits per byte, 0 to 8: text has 4 to 5, encrypted bytes nearly 8 (7.99 of 20 kB). None for b''."""
    if not data:
        return None
    return -sum(number / len(data) * math.log2(number / len(data)) for number in collections.Counter(data).values())
