"""Take IP packets apart, put TCP streams together, and search both for a canary. Pure."""
import base64
import ipaddress
import struct
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

TCP, UDP = 6, 17
#: Of TCP: sequence numbers begin anywhere and wrap here.
_WRAP = 2 ** 32


class Packet(NamedTuple):
    """A packet of UDP or TCP. Of other protocols, and of later fragments, ``payload`` is everything behind the IP
    header.

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
    """The packet in bytes that begin with an IP header; None when they do not."""
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
    # A length of 0 is that of a segment that the kernel has not cut yet; bytes beyond the length are padding.
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
    """What TCP carried, each direction by itself: one item for each stretch without a hole.

    Retransmissions and segments out of order are put in their position.
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
    """The spellings of a canary that the search knows: as it was sent, its bytes, and its bytes in base 64.

    :param canary: hexadecimal digits.
    """
    binary = bytes.fromhex(canary)
    return [canary.encode(), canary.upper().encode(), binary, base64.b64encode(binary).rstrip(b'=')]


def with_canary(canary: str, packets: Iterable[Packet]) -> List[Packet]:
    """The packets that hold a canary whole."""
    spellings = forms(canary)
    return [packet for packet in packets if any(form in packet.raw for form in spellings)]


def count(canary: str, packets: Sequence[Packet]) -> Tuple[int, int]:
    """How often a canary is there: (packets that hold it whole, times in TCP streams).

    The second is larger where it crosses from one segment to the next, or a segment holds it several times.
    """
    joined = sum(stretch.count(form) for stretch in streams(packets) for form in set(forms(canary)))
    return len(with_canary(canary, packets)), joined
