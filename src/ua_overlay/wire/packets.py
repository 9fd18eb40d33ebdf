"""IP packets taken apart, TCP streams put together, and the search for a canary in both. Pure."""
import base64
import collections
import ipaddress
import struct

TCP, UDP = 6, 17

#: A packet of UDP or TCP (other protocols: ports and sequence 0, the payload is all behind the IP header).
#: source and target are texts; sequence is that of TCP's first payload byte.
Packet = collections.namedtuple('Packet', 'when source target protocol source_port target_port sequence payload raw')


def parse(when, raw):
    """A :data:`Packet` of bytes that begin with an IP header; None when they are no IP packet."""
    version = raw[0] >> 4 if raw else 0
    if version == 4 and len(raw) >= 20:
        header, total, protocol = 4 * (raw[0] & 15), struct.unpack_from('!H', raw, 2)[0], raw[9]
        ends = raw[12:16], raw[16:20]
        # A later fragment begins in the middle of its payload: there is no port to read.
        whole = struct.unpack_from('!H', raw, 6)[0] & 0x1fff == 0
    elif version == 6 and len(raw) >= 40:
        header, total, protocol, whole = 40, 40 + struct.unpack_from('!H', raw, 4)[0], raw[6], True
        ends = raw[8:24], raw[24:40]
    else:
        return None
    source, target = (str(ipaddress.ip_address(bytes(end))) for end in ends)
    # A length of 0 is that of a segment that the kernel has not cut yet; what is behind the length is padding.
    body = raw[header:total] if total > header else raw[header:]
    ports, sequence, payload = (0, 0), 0, body
    if whole and protocol == UDP and len(body) >= 8:
        ports, payload = struct.unpack_from('!HH', body), body[8:]
    elif whole and protocol == TCP and len(body) >= 20:
        ports, sequence = struct.unpack_from('!HH', body), struct.unpack_from('!I', body, 4)[0]
        payload = body[4 * (body[12] >> 4):]
    return Packet(when, source, target, protocol, ports[0], ports[1], sequence, payload, raw)


def parse_all(records):
    """The packets of :func:`capture.read`."""
    return [packet for packet in (parse(when, raw) for when, raw in records) if packet]


def streams(packets):
    """What TCP carried, each direction by itself: list of bytes, one for each stretch without a hole.

    Retransmissions and segments out of order are put in their point.
    """
    flows = collections.OrderedDict()
    for packet in packets:
        if packet.protocol == TCP and packet.payload:
            key = packet.source, packet.source_port, packet.target, packet.target_port
            flows.setdefault(key, []).append(packet)
    return [stretch for flow in flows.values() for stretch in _join(flow)]


def _join(flow):
    start = flow[0].sequence
    # Relative to the first, as a signed number: sequences begin anywhere and wrap at 2**32.
    pieces = sorted((((packet.sequence - start + 2 ** 31) % 2 ** 32 - 2 ** 31, packet.payload) for packet in flow),
                    key=lambda piece: piece[0])
    stretches, end = [], None
    for at, payload in pieces:
        if end is None or at > end:
            stretches.append(bytearray())
            end = at
        stretches[-1] += payload[end - at:]
        end = max(end, at + len(payload))
    return [bytes(stretch) for stretch in stretches]


def forms(canary):
    """The spellings of a canary that are looked for: as it was sent, its bytes, and its bytes in base 64.

    :param canary: text of hexadecimal digits.
    """
    binary = bytes.fromhex(canary)
    return [canary.encode(), canary.upper().encode(), binary, base64.b64encode(binary).rstrip(b'=')]


def count(canary, packets):
    """How often a canary is there: (packets that hold it whole, times in TCP streams).

    The second is larger where it crosses from one segment to the next, or a segment holds it several times.
    """
    desired = forms(canary)
    single = sum(any(form in packet.raw for form in desired) for packet in packets)
    joined = sum(stretch.count(form) for stretch in streams(packets) for form in set(desired))
    return single, joined


def first_with(canary, packets):
    """The first packet that holds a canary whole, None when there is none."""
    desired = forms(canary)
    return next((packet for packet in packets if any(form in packet.raw for form in desired)), None)
