"""Classify the path that the traffic to a peer takes, from the values of `model`. Pure.

Traps (tailscale.com v1.98.10, wgengine/magicsock/endpoint.go populatePeerStatus):

- ``Relay`` is the peer's home region, set on direct and idle links alike: it means DERP only on an active link that has
  neither a direct nor a relayed address.
- The status has the address of a path only while its last pong is younger than 6.5 s. Heartbeats stop 45 s after the
  last packet, so an idle link has no address: IDLE, not DERP.
- ``Online`` is the server's view. A peer that lost the server can still use a direct or relayed path, but not DERP,
  because the site's server is also its DERP server.

This module does not smooth. When a pong is late, tailscaled really does send by DERP as well, so the type at that
moment is true, and a hold time would delay every real change by the same time (a change must be visible within 0.3 s).
A display that should not flicker (an alarm, a lamp) can hold its value for 7 s: longer than the 6.5 s of trust.
"""
from typing import Tuple

from ua_overlay import link_types
from ua_overlay.link_types import LinkType
from ua_overlay.tailscale.model import Link, Peer, PeerPath, PingResult, Status


def classify(path: PeerPath) -> LinkType:
    """Return the type of the link that ``path`` describes."""
    if not path.in_network_map or path.expired:
        return link_types.UNKNOWN
    if path.active:
        if path.endpoint:
            return link_types.DIRECT
        if path.peer_relay:
            return link_types.PEER_RELAY
    if not path.online:
        return link_types.OFFLINE
    if not path.active:
        return link_types.IDLE
    return link_types.DERP if path.home_relay else link_types.UNKNOWN


def link_of(peer: Peer, path: PeerPath) -> Link:
    """Return the link to ``peer``."""
    kind = classify(path)
    endpoint = ''
    if kind == link_types.DIRECT:
        endpoint = path.endpoint
    elif kind == link_types.PEER_RELAY:
        endpoint = path.peer_relay
    return Link(
        peer=peer.name,
        dns_name=peer.dns_name,
        type=kind,
        endpoint=endpoint,
        relay=path.home_relay if kind == link_types.DERP else '',
        rx_bytes=path.rx_bytes,
        tx_bytes=path.tx_bytes,
        last_handshake=path.last_handshake)


def links_of(status: Status) -> Tuple[Link, ...]:
    """Return the links of ``status``, in the order of its peers."""
    return tuple(link_of(peer, path) for peer, path in zip(status.peers, status.paths))


def classify_ping(result: PingResult) -> LinkType:
    """Return the link type that a ping's answer took; UNKNOWN for an error or a kind of ping that reports no path."""
    if result.error:
        return link_types.UNKNOWN
    if result.endpoint:
        return link_types.DIRECT
    if result.peer_relay:
        return link_types.PEER_RELAY
    return link_types.DERP if result.derp else link_types.UNKNOWN
