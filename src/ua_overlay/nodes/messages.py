"""From values to ROS messages: no decision is taken here."""
import rospy

from ua_overlay import msg
from ua_overlay.tailscale.model import LinkType

#: tailscale.model.LinkType -> ua_overlay/Link constant.
LINK_TYPES = {
    LinkType.UNKNOWN: msg.Link.UNKNOWN,
    LinkType.DIRECT: msg.Link.DIRECT,
    LinkType.PEER_RELAY: msg.Link.PEER_RELAY,
    LinkType.DERP: msg.Link.DERP,
    LinkType.IDLE: msg.Link.IDLE,
    LinkType.OFFLINE: msg.Link.OFFLINE,
}


def stamp(seconds):
    """A ROS time from Unix seconds (float) or None; None is the zero time."""
    return rospy.Time.from_sec(seconds) if seconds else rospy.Time()


def peer_array(snapshot):
    """`PeerArray` of a tailscale.watch Snapshot."""
    message = msg.PeerArray()
    message.header.stamp = stamp(snapshot.stamp)
    for peer in sorted(snapshot.peers, key=lambda item: item.name):
        message.peers.append(msg.Peer(
            name=peer.name, dns_name=peer.dns_name, addresses=list(peer.addresses), os=peer.os, tags=list(peer.tags),
            online=peer.online, last_seen=stamp(None if peer.online else peer.last_seen)))
    return message


def link_array(snapshot, round_trips):
    """`LinkArray` of a Snapshot.

    :param round_trips: {peer name: (LinkType, seconds)} of probes; one for another type than the present is left out.
    """
    message = msg.LinkArray()
    message.header.stamp = stamp(snapshot.stamp)
    for link in sorted(snapshot.links, key=lambda item: item.peer):
        probed, rtt = round_trips.get(link.peer, (None, 0.0))
        message.links.append(msg.Link(
            peer=link.peer, dns_name=link.dns_name, type=LINK_TYPES[link.type], endpoint=link.endpoint,
            relay=link.relay, rx_bytes=link.rx_bytes, tx_bytes=link.tx_bytes, last_handshake=stamp(link.last_handshake),
            rtt=rtt if probed == link.type else 0.0))
    return message


def link_event(change, snapshot):
    """`LinkEvent` of a tailscale.snapshot LinkChange, with the new path as ``snapshot`` has it."""
    message = msg.LinkEvent()
    message.header.stamp = stamp(snapshot.stamp)
    message.peer = change.peer
    message.from_type, message.to_type = LINK_TYPES[change.before], LINK_TYPES[change.after]
    link = next((item for item in snapshot.links if item.peer == change.peer), None)
    if link is not None:
        message.endpoint, message.relay = link.endpoint, link.relay
    return message
