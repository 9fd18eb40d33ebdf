"""Find the robots of this robot's team among the nodes of the overlay, and their names in ROS. Pure."""
from typing import Optional, Tuple, Union

from ua_overlay import defaults, tags
from ua_overlay.tailscale.model import Peer, SelfNode, Status

#: This robot or another node of the overlay.
Node = Union[SelfNode, Peer]


def dns_name(node: Node) -> str:
    """Return the DNS name of a node without the final dot: ROS compares names as text, and people omit the dot."""
    return node.dns_name.rstrip('.')


def ipv4(node: Node) -> str:
    """Return the node's IPv4 overlay address or ''. ROS 1 writes URIs without brackets, so it cannot use IPv6."""
    return next((address for address in node.addresses if ':' not in address), '')


def has_left(status: Optional[Status]) -> bool:
    """Return whether tailscaled reports that this robot is in no network; False when it does not answer or is starting.
    """
    return status is not None and status.state in ('Stopped', 'NeedsLogin', 'NeedsMachineAuth')


def team_of(node: Node, preferred: str) -> str:
    """Return the team of a node, or '': ``preferred`` if the node has its tag, else the one that its tags name."""
    return tags.team_of(node.tags, preferred)


def team_mates(status: Status, preferred: str) -> Tuple[Peer, ...]:
    """Return the peers in this robot's team.

    :param preferred: as for :func:`team_of`.
    """
    team = team_of(status.self_node, preferred)
    return tuple(peer for peer in status.peers if team and tags.PREFIX + team in peer.tags)


def visible_nodes(status: Status) -> Tuple[Peer, ...]:
    """Return the peers with which this robot may exchange messages: robots of its team and of teams with a talk rule,
    and laptops of users. A server and relays run no nodes."""
    return tuple(peer for peer in status.peers
                 if defaults.RELAY_TAG not in peer.tags and dns_name(peer) and ipv4(peer))
