"""tailscaled's user metrics: bytes by path, added over all peers.

Constant size whatever the number of peers, readable by everybody, 0.1 ms: the cheap sign that the traffic of some
path moved (tailscale.com v1.98.10, wgengine/magicsock/magicsock.go registerMetrics). Disco pings and heartbeats do not
count: an idle overlay's counters stand still.
"""
import re

from ua_overlay import link_types

_BYTES = re.compile(rb'^tailscaled_(?:in|out)bound_bytes_total\{path="([a-z0-9_]+)"\} (\d+)', re.MULTILINE)

#: path label -> the link type whose traffic it counts.
TYPE_OF_PATH = {
    'direct_ipv4': link_types.DIRECT, 'direct_ipv6': link_types.DIRECT,
    'peer_relay_ipv4': link_types.PEER_RELAY, 'peer_relay_ipv6': link_types.PEER_RELAY,
    'derp': link_types.DERP,
}


def parse_bytes(text):
    """Return {link type: bytes in and out since the daemon started} of a metrics text (bytes).

    A path label that is not known counts as UNKNOWN, so that no traffic goes unnoticed.
    """
    counters = {}
    for label, value in _BYTES.findall(text):
        kind = TYPE_OF_PATH.get(label.decode('ascii'), link_types.UNKNOWN)
        counters[kind] = counters.get(kind, 0) + int(value)
    return counters


def moved(before, after):
    """Return the set of link types whose counter changed; a counter that fell (a restart) changed as well."""
    return {kind for kind in set(before) | set(after) if before.get(kind, 0) != after.get(kind, 0)}
