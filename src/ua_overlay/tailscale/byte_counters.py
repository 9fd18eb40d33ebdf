"""tailscaled's user metrics: bytes by path, added over all peers. Pure.

Their size does not depend on the number of peers, every user may read them, and a read takes 0.1 ms: a cheap sign that
traffic moved on some path (tailscale.com v1.98.10, wgengine/magicsock/magicsock.go registerMetrics). Disco pings and
heartbeats do not count: an idle overlay's counters stand still.
"""
import re
from typing import Dict, Mapping, Set

from ua_overlay import link_types
from ua_overlay.link_types import LinkType

_BYTES = re.compile(rb'^tailscaled_(?:in|out)bound_bytes_total\{path="([a-z0-9_]+)"\} (\d{1,20})$', re.MULTILINE)

#: Link type -> bytes in and out since the daemon started.
Counters = Mapping[LinkType, int]

#: Path label -> the link type whose traffic it counts.
TYPE_OF_PATH = {
    'direct_ipv4': link_types.DIRECT, 'direct_ipv6': link_types.DIRECT,
    'peer_relay_ipv4': link_types.PEER_RELAY, 'peer_relay_ipv6': link_types.PEER_RELAY,
    'derp': link_types.DERP,
}


def parse_bytes(text: bytes) -> Counters:
    """Return the counters of a metrics text.

    An unknown path label counts as UNKNOWN, so that no traffic goes unnoticed. Lines that are no counters are skipped.
    """
    counters: Dict[LinkType, int] = {}
    for label, value in _BYTES.findall(text):
        kind = TYPE_OF_PATH.get(label.decode('ascii'), link_types.UNKNOWN)
        counters[kind] = counters.get(kind, 0) + int(value)
    return counters


def moved(before: Counters, after: Counters) -> Set[LinkType]:
    """Return the link types whose counter changed; a counter that fell (a restart) changed as well."""
    return {kind for kind in set(before) | set(after) if before.get(kind, 0) != after.get(kind, 0)}
