"""The proof of encryption: judge captures of the overlay's traffic. Pure; encryption_run makes the captures.

A page with a canary travels from one robot to the other while packets are captured inside the tunnel and outside it, at
both ends and everywhere between. The canary must appear inside and nowhere outside. The captures outside must also hold
enough bytes in the framing of the link type: empty captures would prove nothing. In a run past the tunnel, the search
must find the canary outside.
"""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from ua_overlay import link_types
from ua_overlay.link_types import LinkType
from ua_overlay.protocols import JsonObject
from ua_overlay.wire import packets, wireguard
from ua_overlay.wire.packets import Packet

#: Instead of a link type: a run past the tunnel.
RAW = 'raw'
#: The runs of a complete proof.
ALL_LINKS = (RAW,) + link_types.CARRYING
#: Framing of the page outside, by link type.
FRAMING: Dict[LinkType, str] = {link_types.DIRECT: wireguard.DATA,
                                link_types.PEER_RELAY: wireguard.DATA + wireguard.RELAYED,
                                link_types.DERP: wireguard.TLS}
#: Port of the web server that has the page.
PORT = 8080
#: Bytes of the page: several segments, so that the canary also crosses their boundaries.
PAGE_LENGTH = 20000
_FILLER = 'What the robots say to each other is for the robots. '


class CapturePoint(NamedTuple):
    """The counts of the packets of one interface.

    :ivar inside: whether the interface is the tunnel.
    :ivar packets: their number.
    :ivar found: packets that hold the whole canary.
    :ivar in_streams: occurrences of the canary in TCP's streams.
    :ivar kinds: {framing: {'packets', 'bytes' of payload}} of packets with a payload; empty inside.
    :ivar entropy: bits per byte of the payload inside, of the cipher text outside; None without any.
    """

    host: str
    interface: str
    inside: bool
    packets: int
    found: int
    in_streams: int
    kinds: Dict[str, Dict[str, int]]
    entropy: Optional[float]

    @property
    def has_canary(self) -> bool:
        return self.found + self.in_streams > 0

    def bytes_of(self, framing: str) -> int:
        return self.kinds.get(framing, {}).get('bytes', 0)


class Run(NamedTuple):
    """One transfer of the page.

    :ivar link: RAW or a link type.
    :ivar why: sentences, empty when the run is as expected.
    :ivar picture: the result of :func:`pair_of`.
    """

    link: str
    canary: str
    points: Sequence[CapturePoint]
    why: Sequence[str]
    picture: Optional[JsonObject]


def page(canary: str, length: int = PAGE_LENGTH) -> str:
    """A page of text with the canary in each line. Lines differ in length, so it also crosses segment boundaries."""
    text, line = '', 0
    while len(text) < length:
        text += '{} {} {}\n'.format(line, canary, _FILLER * (1 + line % 5))
        line += 1
    return text


def inspect(host: str, interface: str, inside: bool, found: Sequence[Packet], canary: str) -> CapturePoint:
    """Count the packets of an interface."""
    single, joined = packets.count(canary, found)
    kinds = wireguard.sort(found)
    if inside:
        body = b''.join(packet.payload for packet in found)
    else:
        body = b''.join(wireguard.cipher_text(packet, kind) for kind, group in kinds.items() for packet in group)
    counts = {kind: {'packets': len(group), 'bytes': sum(len(packet.payload) for packet in group)}
              for kind, group in kinds.items()}
    return CapturePoint(host, interface, inside, len(found), single, joined, {} if inside else counts,
                        wireguard.entropy(body))


def judge(link: str, points: Sequence[CapturePoint], ends: Sequence[str], between: Sequence[str], dropped: int = 0,
          length: int = PAGE_LENGTH) -> List[str]:
    """List the problems of a run, as sentences; empty when it is as expected.

    :param link: RAW or a link type.
    :param ends: names of the two robots. :param between: names of the hosts that all their packets pass.
    :param dropped: number of packets that the captures lost.
    :param length: bytes of the page.
    """
    outside = [point for point in points if not point.inside]
    why = ['The captures lost {} packets.'.format(dropped)] if dropped else []
    if link == RAW:
        readers = {point.host for point in outside if point.has_canary}
        return why + ['Without the tunnel the canary was not found outside on {}: the search is blind.'.format(host)
                      for host in list(ends) + list(between) if host not in readers]
    inside = {point.host for point in points if point.inside and point.has_canary}
    why += ['The canary was not found inside the tunnel on {}.'.format(host) for host in ends if host not in inside]
    why += ['The canary was found outside the tunnel on {} ({}).'.format(point.host, point.interface)
            for point in outside if point.has_canary]
    for host in list(ends) + list(between):
        carried = sum(point.bytes_of(FRAMING[link]) for point in outside if point.host == host)
        if carried < length:
            why.append('On {} there were {} bytes of {} outside, fewer than the {} of the page: it went another way.'
                       .format(host, carried, FRAMING[link], length))
    return why


def judge_files(points: Sequence[CapturePoint], length: int = PAGE_LENGTH // 10) -> List[str]:
    """List the problems of captures of real robots, as sentences. Their ``host`` is the file.

    :param length: least number of bytes in the overlay's framings in each capture outside.
    """
    outside = [point for point in points if not point.inside]
    why = ['The canary is not in {}, inside the tunnel.'.format(point.host)
           for point in points if point.inside and not point.has_canary]
    why += ['The canary is in {}, outside the tunnel.'.format(point.host) for point in outside if point.has_canary]
    return why + ['{} holds nothing that carries the overlay: it proves nothing.'.format(point.host)
                  for point in outside if sum(map(point.bytes_of, FRAMING.values())) < length]


def worth_another_try(run: Run) -> bool:
    """Whether another run may succeed: the link changed, or a capture lost packets. A canary outside the tunnel, or a
    search that fails past the tunnel, is final."""
    return run.link != RAW and not any(point.has_canary for point in run.points if not point.inside)


def pair_of(link: str, inside: Sequence[Packet], outside: Sequence[Packet], canary: str) -> Optional[JsonObject]:
    """A packet inside with the canary, and the packet outside that carried it, or the nearest one in time.

    :param inside, outside: packets of the robot that sent the page.
    :returns: {'inner', 'outer': hexadecimal digits, 'kind': framing of the outer, 'header': bytes before its cipher
        text}, None when one of them is missing.
    """
    inner = packets.with_canary(canary, inside)
    if not inner or link == RAW:
        return None
    # The largest packet is a segment of the page, not the request.
    chosen = max(inner, key=lambda packet: len(packet.raw))
    carriers = [packet for packet in wireguard.sort(outside).get(FRAMING[link], ()) if packet.source_port and
                packet.when >= chosen.when and len(packet.payload) >= min(len(chosen.raw), 1000)]
    if not carriers:
        return None
    carrier = min(carriers, key=lambda packet: packet.when)
    header = len(carrier.raw) - len(wireguard.cipher_text(carrier, FRAMING[link]))
    return {'inner': chosen.raw.hex(), 'outer': carrier.raw.hex(), 'kind': FRAMING[link], 'header': header}


def as_json(runs: Sequence[Run], links: Sequence[str] = ALL_LINKS) -> JsonObject:
    """The runs as plain values, for a file and for the report. :param links: the runs that the proof needs."""
    return {'schema': 1, 'proven': proven(runs, links), 'runs': [run_as_json(run) for run in runs]}


def run_as_json(run: Run) -> JsonObject:
    values: Dict[str, Any] = {'link': run.link, 'canary': run.canary, 'ok': not run.why, 'why': list(run.why),
                              'picture': run.picture, 'places': [point._asdict() for point in run.points]}
    return values


def proven(runs: Sequence[Run], links: Sequence[str] = ALL_LINKS) -> bool:
    """Whether every link type was proven, and the run past the tunnel found the canary outside."""
    return {run.link for run in runs if not run.why} == set(links) | {RAW}
