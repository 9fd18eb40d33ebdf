"""Capture the packets of a host into pcap files, one for each interface, and read such files.

Run it as a program inside a host (root): ``python3 capture.py DIRECTORY NAME``. Python's standard library is enough, so
a robot needs no tcpdump. It prints `capturing`, runs until SIGTERM, and then prints as JSON what :func:`capture`
returns.
"""
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from types import FrameType
from typing import IO, Any, Callable, Dict, List, Optional, Tuple

_MAGIC = 0xa1b2c3d4
_MAGIC_NANOSECONDS = 0xa1b23c4d
#: Link-layer types of pcap files (https://www.tcpdump.org/linktypes.html).
ETHERNET, RAW, COOKED, COOKED_2 = 1, 101, 113, 276
#: Link type -> where the EtherType and the network packet begin.
_HEADERS = {ETHERNET: (12, 14), COOKED: (14, 16), COOKED_2: (0, 20)}
_IP = (0x0800, 0x86dd)
_VLAN = (0x8100, 0x88a8)
#: Segments that the kernel has not split yet (GSO) are up to this long.
LONGEST = 262144
_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SO_RCVBUFFORCE = 33
_BUFFER = 32 << 20
#: Seconds at most to read the packets that passed before SIGTERM.
_DRAIN = 1.0


class NotPcap(Exception):
    """The file is not a usable pcap file; the text says why."""


def file_header() -> bytes:
    return struct.pack('<IHHiIII', _MAGIC, 2, 4, 0, 0, LONGEST, RAW)


def record(when: float, packet: bytes) -> bytes:
    """The record of a packet in a pcap file. :param when: unix seconds."""
    return struct.pack('<IIII', int(when), int(when % 1 * 1e6), len(packet), len(packet)) + packet


def read(data: bytes) -> List[Tuple[float, bytes]]:
    """The IP packets of a pcap file. Its last record may be incomplete, as after a capture that was killed.

    :param data: content of a file of :func:`capture`, or of `tcpdump -w`.
    :returns: [(unix seconds, bytes that begin with the IP header)], in the file's order.
    :raises NotPcap: another format (pcapng), another link layer, or truncated packets: a proof needs whole ones.
    """
    order, scale = _byte_order(data)
    kind = struct.unpack_from(order + 'I', data, 20)[0] & 0x0fffffff
    if kind != RAW and kind not in _HEADERS:
        raise NotPcap('its link layer {} is unknown'.format(kind))
    packets, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, kept, length = struct.unpack_from(order + 'IIII', data, at)
        frame = data[at + 16:at + 16 + kept]
        at += 16 + kept
        if kept < length:
            raise NotPcap('its packets were cut (tcpdump -s 0 keeps them whole)')
        packet = strip(frame, kind)
        if packet and len(frame) == kept:
            packets.append((seconds + fraction * scale, packet))
    return packets


def _byte_order(data: bytes) -> Tuple[str, float]:
    """(byte order for struct, resolution of its time stamps in seconds)."""
    for order in '<>':
        if len(data) >= 24:
            magic = struct.unpack_from(order + 'I', data)[0]
            if magic in (_MAGIC, _MAGIC_NANOSECONDS):
                return order, 1e-6 if magic == _MAGIC else 1e-9
    raise NotPcap('it is not a pcap file (tcpdump -w writes one)')


def strip(frame: bytes, kind: int) -> Optional[bytes]:
    """The IP packet in a frame of a link type, None for another protocol."""
    if kind == RAW:
        return frame
    protocol_at, start = _HEADERS[kind]
    if len(frame) < start:
        return None
    protocol = struct.unpack_from('!H', frame, protocol_at)[0]
    while protocol in _VLAN and len(frame) >= start + 4:
        protocol = struct.unpack_from('!H', frame, start + 2)[0]
        start += 4
    return frame[start:] if protocol in _IP else None


class Files:
    """A pcap file for each interface that had a packet. ``packets``: {interface: count}."""

    def __init__(self, directory: str, name: str) -> None:
        self.directory = directory
        self.name = name
        self.packets: Dict[str, int] = {}
        self._open: Dict[str, IO[bytes]] = {}

    def add(self, interface: str, when: float, packet: bytes) -> None:
        stream = self._open.get(interface)
        if stream is None:
            stream = open(os.path.join(self.directory, '{}.{}.pcap'.format(self.name, interface)), 'wb')
            stream.write(file_header())
            self._open[interface] = stream
        stream.write(record(when, packet))
        self.packets[interface] = self.packets.get(interface, 0) + 1

    def close(self) -> None:
        for stream in self._open.values():
            stream.close()


def capture(directory: str, name: str, stop: socket.socket, say: Callable[[str], None]) -> Dict[str, Any]:
    """Write every IP packet of every interface, in both directions, until ``stop`` can be read.

    :param say: called with 'capturing' once every packet is captured.
    :returns: {'packets': {interface: count}, 'dropped': packets that the kernel had no room for}.
    :raises PermissionError: without CAP_NET_RAW.
    """
    files = Files(directory, name)
    # Without a link header, the packets of a tunnel and of a cable have the same form.
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL)) as link:
        link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        link.setblocking(False)
        say('capturing')
        until: Optional[float] = None
        while until is None or time.time() < until:
            ready = select.select([link] + ([stop] if until is None else []), [], [], 0 if until else None)[0]
            if stop in ready:
                until = time.time() + _DRAIN
            elif not ready:
                break
            if link in ready:
                packet, address = link.recvfrom(LONGEST)
                if address[1] in _IP:
                    files.add(address[0], time.time(), packet)
        dropped = struct.unpack('II', link.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
    files.close()
    return {'packets': files.packets, 'dropped': dropped}


def _ignore(number: int, frame: Optional[FrameType]) -> None:
    """Do nothing: the wake-up descriptor reports the signal."""


def main() -> None:
    directory, name = sys.argv[1:]
    stop, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGTERM, _ignore)
    print(json.dumps(capture(directory, name, stop, lambda word: print(word, flush=True))))


if __name__ == '__main__':
    main()
