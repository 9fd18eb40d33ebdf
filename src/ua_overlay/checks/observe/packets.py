"""Test whether small and full packets reach the robots of the team."""
import os
import subprocess
from functools import partial
from typing import Any, Optional, Sequence, Tuple

from ua_overlay.checks.facts import Packets
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.rosenv.team import ipv4
from ua_overlay.system.interfaces import InterfaceAddress
from ua_overlay.tailscale.model import Peer, SelfNode

#: Bytes of an ICMP echo's headers (IPv4 20, ICMP 8).
ECHO_HEADERS = 28
#: MTU of tailscaled's interface (tailscale: net/tstun/mtu.go).
OVERLAY_MTU = 1280
#: Payload of a small echo, in bytes.
_SMALL = 64
#: Maximum number of robots to test.
_MOST_PEERS = 4


def overlay_mtu(own: SelfNode, interfaces: Sequence[InterfaceAddress], sys: str = '/sys/class/net') -> int:
    """Return the MTU of the interface with our overlay address, or tailscaled's default if it cannot be read."""
    for name, address, _ in interfaces:
        if address == ipv4(own):
            try:
                with open(os.path.join(sys, name, 'mtu'), encoding='ascii') as stream:
                    return int(stream.read())
            except (OSError, ValueError):
                break
    return OVERLAY_MTU


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
                         patience + 2.0)
    packets = []
    for mate in tried:
        small, full = (came[mate.name, size] for size in sizes)
        if small is None or full is None:
            return None
        packets.append(Packets(mate.name, small, full))
    return tuple(packets)
