"""The types of a link (the path that packets to a peer take now): their order and meaning. Pure.

Every module that names a link type imports it from here; these constants are also the keys of colours and marks in
figures. The texts equal the constants in msg/Link.msg.
"""
from typing import Dict, Tuple

#: One of :data:`ORDER`.
LinkType = str

DIRECT: LinkType = 'DIRECT'
PEER_RELAY: LinkType = 'PEER_RELAY'
DERP: LinkType = 'DERP'
IDLE: LinkType = 'IDLE'
OFFLINE: LinkType = 'OFFLINE'
UNKNOWN: LinkType = 'UNKNOWN'

#: The best path first, then the links without a path. Counts, tables and figures keep this order.
ORDER: Tuple[LinkType, ...] = (DIRECT, PEER_RELAY, DERP, IDLE, OFFLINE, UNKNOWN)
#: Types with a path, on which packets travel.
CARRYING: Tuple[LinkType, ...] = (DIRECT, PEER_RELAY, DERP)
#: Types whose packets pass through another machine of the site.
RELAYED: Tuple[LinkType, ...] = (PEER_RELAY, DERP)
#: Types whose packets travel by UDP; DERP needs only TCP.
BY_UDP: Tuple[LinkType, ...] = (DIRECT, PEER_RELAY)

#: What each type means, in the words of `ua-overlay status --help`.
MEANING: Dict[LinkType, str] = {
    DIRECT: 'UDP',
    PEER_RELAY: 'UDP through a relay of the site',
    DERP: 'TCP through a DERP of the site: the last resort',
    IDLE: 'no traffic for 45 s',
    OFFLINE: 'not connected to the server',
    UNKNOWN: 'not in the network map, or its key has expired',
}


def is_better(kind: LinkType, other: LinkType) -> bool:
    """Return whether ``kind`` comes before ``other`` in :data:`ORDER`."""
    return ORDER.index(kind) < ORDER.index(other)
