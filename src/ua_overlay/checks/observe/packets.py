"""Test whether small and full packets reach the robots of the team."""
import ipaddress
import os
import socket
import subprocess
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ua_overlay.checks.facts import Packets, Route
from ua_overlay.checks.links import OVERLAY_MTU
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.firewall import clamp
from ua_overlay.rosenv.team import ipv4
from ua_overlay.system.interfaces import InterfaceAddress
from ua_overlay.tailscale.model import Link, Peer, SelfNode

#: Bytes of an ICMP echo's headers (IPv4 20, ICMP 8).
ECHO_HEADERS = 28
#: Sizes of packets, in bytes, of which the largest that passes is found when a full one does not. WireGuard pads each
#: to a multiple of 16.
_SMALLER = (1264, 1248, 1216, 1184, 1120, 1008, 880, 624, 496)
#: Options of getsockopt(2): the largest packet on the route of a connected socket (ip(7), IP_MTU; linux/in6.h).
_IP_MTU, _IPV6_MTU = 14, 24
#: Payload of a small echo, in bytes.
_SMALL = 64
#: Maximum number of robots to test, and of routes to look up.
_MOST_PEERS, _MOST_ROUTES = 4, 32
#: A port for connect(2), to which nothing is sent.
_ANY_PORT = 9


def overlay_mtu(own: SelfNode, interfaces: Sequence[InterfaceAddress], sys: str = '/sys/class/net',
                path: Optional[int] = None) -> int:
    """Return the bytes of the largest TCP packet of the overlay: the MTU of the interface with our overlay address, or
    tailscaled's default if it cannot be read; less if a clamp is set up.

    :param path: of firewall.clamp.path_in_force.
    """
    mtu = OVERLAY_MTU
    for name, address, _ in interfaces:
        if address == ipv4(own):
            try:
                with open(os.path.join(sys, name, 'mtu'), encoding='ascii') as stream:
                    mtu = int(stream.read())
            except (OSError, ValueError):
                break
    return mtu if path is None else min(mtu, clamp.segment_of(path) + clamp.HEADERS)


def route_mtu(address: str) -> Optional[int]:
    """Return the bytes of the largest packet that the kernel sends to ``address``, None without a route. It knows the
    interface's MTU, a route's own, and what routers reported. Nothing is sent.
    """
    version6 = ':' in address
    try:
        with socket.socket(socket.AF_INET6 if version6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _ANY_PORT))
            if version6:
                return probe.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
            return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    except OSError:
        return None


def observe_routes(links: Sequence[Link], find: Callable[[str], Optional[int]] = route_mtu) -> Tuple[Route, ...]:
    """Return the ways of tailscaled's packets: to the peers' endpoints and relays in use."""
    hosts = sorted({host for host in (endpoint_host(link.endpoint) for link in links) if host})
    found = [(host, find(host)) for host in hosts[:_MOST_ROUTES]]
    return tuple(Route(host, mtu) for host, mtu in found if mtu is not None)


def endpoint_host(endpoint: str) -> str:
    """Return the address of `ip:port`, `[ip]:port` or `ip:port:vni:N`, '' for any other text."""
    try:
        return str(ipaddress.ip_address(urlsplit('//' + endpoint.split(':vni:')[0]).hostname or ''))
    except ValueError:
        return ''


def echo(address: str, size: int, run: Any = subprocess.run) -> Optional[bool]:
    """Return whether one of two ICMP echoes with ``size`` bytes, unfragmented, comes back; None without `ping`.

    :param run: subprocess.run.
    """
    try:
        done = run(['ping', '-n', '-q', '-c', '2', '-i', '0.3', '-W', '1', '-M', 'do', '-s', str(size), address],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=4)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # iputils: 0: some came back, 1: none did, 2: ping failed.
    return None if done.returncode > 1 else done.returncode == 0


def observe_packets(mates: Sequence[Peer], mtu: int, questions: Questions,
                    patience: float) -> Optional[Tuple[Packets, ...]]:
    """Send a small and a full packet to each of ``mates``; None if one of them could not be tested.

    :param mtu: of the overlay's interface.
    """
    tried = mates[:_MOST_PEERS]
    sizes = (_SMALL, mtu - ECHO_HEADERS)
    came = questions.ask({(mate.name, size): partial(echo, ipv4(mate), size) for mate in tried for size in sizes},
                         patience)
    packets = []
    for mate in tried:
        small, full = (came[mate.name, size] for size in sizes)
        if small is None or full is None:
            return None
        packets.append(Packets(mate.name, small, full))
    cut = [mate for mate, result in zip(tried, packets) if result.small and not result.full]
    smaller = [size for size in _SMALLER if size < mtu]
    answers = questions.ask({(mate.name, size): partial(echo, ipv4(mate), size - ECHO_HEADERS) for mate in cut
                             for size in smaller}, patience) if cut else {}
    largest = {mate.name: max((size for size in smaller if answers[mate.name, size]), default=None) for mate in cut}
    return tuple(replace(result, largest=largest.get(result.peer)) for result in packets)
