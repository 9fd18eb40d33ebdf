"""The cost of headers on a link: the bytes around the data of a packet, and the share that is left for data. Pure."""
from typing import Optional

#: Bytes of an Ethernet frame on the wire around its IP packet: preamble 8, header 14, check sum 4, gap 12 (IEEE 802.3).
ETHERNET = 38
#: IPv4 20, TCP 20 (RFC 9293), time stamps 12 (RFC 7323).
TCP_IPV4 = 52
#: IPv4 20, UDP or ICMP 8.
UDP_IPV4 = 28
#: WireGuard data message around an inner packet: IPv4 20, UDP 8, type 4, receiver 4, counter 8, tag 16.
WIREGUARD_IPV4 = 60
RAW_MTU, OVERLAY_MTU = 1500, 1280
#: A WireGuard message in a DERP frame: type and length 5, key of the peer 32; TLS 1.3 record 22.
DERP_FRAME, TLS_RECORD = 37, 22


def raw_efficiency(mtu: int = RAW_MTU) -> float:
    """Share of an Ethernet's bits that are data of TCP over IPv4: 0.9415 with MTU 1500."""
    return (mtu - TCP_IPV4) / (mtu + ETHERNET)


def overlay_efficiency(mtu: int = OVERLAY_MTU) -> float:
    """The same share inside WireGuard over IPv4, with its padding to 16 bytes: 0.8911 with MTU 1280."""
    return (mtu - TCP_IPV4) / (_padded(mtu) + WIREGUARD_IPV4 + ETHERNET)


def derp_efficiency(mtu: int = OVERLAY_MTU) -> float:
    """The same share over one leg to a DERP relay, whose stream is itself TCP over IPv4: 0.843 with MTU 1280."""
    message = _padded(mtu) + WIREGUARD_IPV4 - UDP_IPV4
    return (mtu - TCP_IPV4) / ((message + DERP_FRAME + TLS_RECORD) / raw_efficiency())


def _padded(size: int) -> int:
    return -(-size // 16) * 16


def header_floor(efficiency: float, raw: Optional[float] = None) -> float:
    """Throughput in % that headers alone cost against the raw network: 5.35 for WireGuard, 10.4 for a leg of DERP.

    :param raw: the raw network's efficiency; None for the efficiency with MTU 1500.
    """
    return (1 - efficiency / (raw or raw_efficiency())) * 100


def overlay_packet_bits(size: int) -> float:
    """Bits of an Ethernet that a packet of ``size`` bytes takes inside WireGuard."""
    return 8.0 * (size + WIREGUARD_IPV4 + ETHERNET)
