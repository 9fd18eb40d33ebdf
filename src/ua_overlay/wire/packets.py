"""Parse IP packets, reassemble TCP streams, and search both for a canary. Pure."""
import base64
import ipaddress
import struct
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

TCP, UDP = 6, 17
#: TCP's sequence numbers begin anywhere and wrap here.
_WRAP = 2 ** 32


class Packet(NamedTuple):
    """An IP packet. For protocols other than UDP and TCP, and for later fragments, ``payload`` is everything behind the
    IP header.

    :ivar when: unix seconds.
    :ivar source_port, target_port: 0 where there is none.
    :ivar sequence: of the first byte of TCP's payload, else 0.
    :ivar raw: from the IP header on.
    """

    when: float
    source: str
    target: str
    protocol: int
    source_port: int
    target_port: int
    sequence: int
    payload: bytes
    raw: bytes


def parse(when: float, raw: bytes) -> Optional[Packet]:
    """The packet in bytes that begin with an IP header; None for other bytes."""
    version = raw[0] >> 4 if raw else 0
    if version == 4 and len(raw) >= 20:
        header, total, protocol = 4 * (raw[0] & 15), struct.unpack_from('!H', raw, 2)[0], raw[9]
        ends = raw[12:16], raw[16:20]
        # A later fragment begins in the middle of its payload, so it has no ports.
        whole = struct.unpack_from('!H', raw, 6)[0] & 0x1fff == 0
    elif version == 6 and len(raw) >= 40:
        header, total, protocol, whole = 40, 40 + struct.unpack_from('!H', raw, 4)[0], raw[6], True
        ends = raw[8:24], raw[24:40]
    else:
        return None
    source, target = (str(ipaddress.ip_address(bytes(end))) for end in ends)
    # A segment that the kernel has not split yet has length 0; bytes beyond the length are padding.
    body = raw[header:total] if total > header else raw[header:]
    ports, sequence, payload = (0, 0), 0, body
    if whole and protocol == UDP and len(body) >= 8:
        ports, payload = struct.unpack_from('!HH', body), body[8:]
    elif whole and protocol == TCP and len(body) >= 20:
        ports, sequence = struct.unpack_from('!HH', body), struct.unpack_from('!I', body, 4)[0]
        payload = body[4 * (body[12] >> 4):]
    return Packet(when, source, target, protocol, ports[0], ports[1], sequence, payload, raw)


def parse_all(records: Iterable[Tuple[float, bytes]]) -> List[Packet]:
    """The packets of :func:`capture.read`."""
    return [packet for packet in (parse(when, raw) for when, raw in records) if packet]


def streams(packets: Iterable[Packet]) -> List[bytes]:
    """The content of TCP connections, by direction: one item for each stretch without a hole.

    Retransmissions and segments out of order are put in position.
    """
    flows: Dict[Tuple[str, int, str, int], List[Packet]] = {}
    for packet in packets:
        if packet.protocol == TCP and packet.payload:
            key = packet.source, packet.source_port, packet.target, packet.target_port
            flows.setdefault(key, []).append(packet)
    return [stretch for flow in flows.values() for stretch in _join(flow)]


def _join(flow: Sequence[Packet]) -> List[bytes]:
    start = flow[0].sequence
    # Relative to the first one, as a signed number.
    pieces = sorted((((packet.sequence - start + _WRAP // 2) % _WRAP - _WRAP // 2, packet.payload) for packet in flow),
                    key=lambda piece: piece[0])
    stretches: List[bytearray] = []
    end = 0
    for at, payload in pieces:
        if not stretches or at > end:
            stretches.append(bytearray())
            end = at
        stretches[-1] += payload[end - at:]
        end = max(end, at + len(payload))
    return [bytes(stretch) for stretch in stretches]


def forms(canary: str) -> List[bytes]:
    """The forms of a canary that the search covers: as it was sent, its bytes, and its bytes in base64.

    :param canary: hexadecimal digits.
    """
    binary = bytes.fromhex(canary)
    return [canary.encode(), canary.upper().encode(), binary, base64.b64encode(binary).rstrip(b'=')]


def with_canary(canary: str, packets: Iterable[Packet]) -> List[Packet]:
    """The packets that hold the whole canary."""
    spellings = forms(canary)
    return [packet for packet in packets if any(form in packet.raw for form in spellings)]


def count(canary: str, packets: Sequence[Packet]) -> Tuple[int, int]:
    """Count a canary: (packets that hold all of it, occurrences in TCP streams).

    The second number is larger if a canary crosses a segment boundary, or if a segment holds several.
    """
    joined = sum(stretch.count(form) for stretch in streams(packets) for form in set(forms(canary)))
    return len(with_canary(canary, packets)), joined
