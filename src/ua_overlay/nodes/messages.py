"""From values to ROS messages: no decision is taken here."""
import rospy

from ua_overlay import link_types, msg
from ua_overlay.tags import team_of

#: Link type -> ua_overlay/Link constant.
LINK_TYPES = {
    link_types.UNKNOWN: msg.Link.UNKNOWN,
    link_types.DIRECT: msg.Link.DIRECT,
    link_types.PEER_RELAY: msg.Link.PEER_RELAY,
    link_types.DERP: msg.Link.DERP,
    link_types.IDLE: msg.Link.IDLE,
    link_types.OFFLINE: msg.Link.OFFLINE,
}
#: State of tailscaled -> ua_overlay/OverlayState constant.
STATES = {
    'NoState': msg.OverlayState.NO_LOGIN,
    'NeedsLogin': msg.OverlayState.NO_LOGIN,
    'NeedsMachineAuth': msg.OverlayState.NO_LOGIN,
    'Stopped': msg.OverlayState.STOPPED,
    'Starting': msg.OverlayState.STARTING,
    'Running': msg.OverlayState.RUNNING,
}
#: What nodes.sources.ServerProbe says of the server -> ua_overlay/OverlayState constant.
SERVER_STATES = {
    'UNKNOWN': msg.OverlayState.SERVER_UNKNOWN,
    'OK': msg.OverlayState.SERVER_OK,
    'UNREACHABLE': msg.OverlayState.SERVER_UNREACHABLE,
    'UNTRUSTED': msg.OverlayState.SERVER_UNTRUSTED,
}


def stamp(seconds):
    """A ROS time from Unix seconds (float) or None; None is the zero time."""
    return rospy.Time.from_sec(seconds) if seconds else rospy.Time()


def peer_array(snapshot):
    """`PeerArray` of a tailscale.snapshot.Snapshot."""
    message = msg.PeerArray()
    message.header.stamp = stamp(snapshot.stamp)
    for peer in sorted(snapshot.status.peers, key=lambda item: item.name):
        message.peers.append(msg.Peer(
            name=peer.name, dns_name=peer.dns_name, addresses=list(peer.addresses), os=peer.os, tags=list(peer.tags),
            online=peer.online, last_seen=stamp(None if peer.online else peer.last_seen)))
    return message


def link_array(snapshot, round_trips):
    """`LinkArray` of a Snapshot.

    :param round_trips: {peer name: (link type, seconds)} of probes; one for another type than the present is left out.
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


def overlay_state(snapshot, removed, server_url, server, server_since):
    """`OverlayState` of a Snapshot.

    :param removed: whether the server does not know this robot any more.
    :param server: (key of SERVER_STATES, text); :param server_since: Unix seconds since when.
    """
    own = snapshot.status.self_node
    message = msg.OverlayState()
    message.header.stamp = stamp(snapshot.stamp)
    message.state = msg.OverlayState.NO_DAEMON if snapshot.daemon_error else STATES.get(snapshot.status.state, 0)
    message.removed = removed
    message.online = own.online and not snapshot.daemon_error and not removed
    message.robot, message.dns_name, message.addresses = own.name, own.dns_name, list(own.addresses)
    message.team, message.tags = team_of(own.tags), list(own.tags)
    message.server_url = server_url
    message.server, message.server_text = SERVER_STATES[server[0]], server[1]
    message.server_since = stamp(server_since)
    message.key_expiry = stamp(own.key_expiry)
    message.health = list(snapshot.status.health)
    message.daemon_version = snapshot.status.version
    message.text = state_text(message, snapshot.daemon_error)
    return message


def state_text(state, daemon_error):
    """One sentence for OverlayState.text."""
    if daemon_error:
        return str(daemon_error)
    if state.state == msg.OverlayState.RUNNING:
        text = '{} is in team {} at {}.'.format(state.robot, state.team or '(none)', ', '.join(state.addresses[:1]))
        if state.server in (msg.OverlayState.SERVER_UNREACHABLE, msg.OverlayState.SERVER_UNTRUSTED):
            return text + ' The server does not answer as it should; links that exist go on.'
        if state.removed:
            return text + ' The server does not know it any more: it was removed there. Next: ua-overlay doctor'
        return text if state.online else text + ' The server does not see it.'
    return {
        msg.OverlayState.NO_LOGIN: 'This robot is in no team. Next: ua-overlay join INVITATION',
        msg.OverlayState.STOPPED: 'This robot left and keeps its identity. Next: ua-overlay join',
        msg.OverlayState.STARTING: 'tailscaled is starting.',
    }.get(state.state, 'The state of tailscaled is not known yet.')


def ros_environment(report):
    """`RosEnvironment` of a rosenv.keeper Report."""
    desired, actual = report.desired, report.actual
    message = msg.RosEnvironment()
    message.header.stamp = stamp(desired.stamp)
    message.state, message.master, message.master_uri = report.state, desired.master, desired.master_uri
    message.hostname = desired.hostname
    message.actual_master_uri = actual.get('ROS_MASTER_URI', '')
    message.actual_hostname = actual.get('ROS_HOSTNAME') or actual.get('ROS_IP', '')
    message.master_alive, message.names_ok = report.master_alive, desired.names_ok
    message.env_file = report.env_file if actual else ''
    message.why = report.why
    return message
