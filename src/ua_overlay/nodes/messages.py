"""From values to ROS messages: no decision is taken here."""
from typing import Mapping, Optional

import rospy

from ua_overlay import link_types, msg  # type: ignore[attr-defined]  # msg: made by catkin of msg/
from ua_overlay.errors import Problem
from ua_overlay.link_types import LinkType
from ua_overlay.nodes import server_probe
from ua_overlay.nodes.server_probe import ServerView
from ua_overlay.nodes.state import RoundTrips
from ua_overlay.rosenv.report import Report
from ua_overlay.tags import team_of
from ua_overlay.tailscale.snapshot import LinkChange, Snapshot

#: Link type -> ua_overlay/Link constant.
LINK_TYPES: Mapping[LinkType, int] = {kind: getattr(msg.Link, kind) for kind in link_types.ORDER}
#: State of tailscaled -> ua_overlay/OverlayState constant.
STATES: Mapping[str, int] = {
    'NoState': msg.OverlayState.NO_LOGIN,
    'NeedsLogin': msg.OverlayState.NO_LOGIN,
    'NeedsMachineAuth': msg.OverlayState.NO_LOGIN,
    'Stopped': msg.OverlayState.STOPPED,
    'Starting': msg.OverlayState.STARTING,
    'Running': msg.OverlayState.RUNNING,
}
#: State of a ServerView -> ua_overlay/OverlayState constant.
SERVER_STATES: Mapping[str, int] = {
    server_probe.UNKNOWN: msg.OverlayState.SERVER_UNKNOWN,
    server_probe.OK: msg.OverlayState.SERVER_OK,
    server_probe.UNREACHABLE: msg.OverlayState.SERVER_UNREACHABLE,
    server_probe.UNTRUSTED: msg.OverlayState.SERVER_UNTRUSTED,
}


def stamp(seconds: Optional[float]) -> rospy.Time:
    """Return a ROS time from Unix seconds; the zero time for None."""
    return rospy.Time.from_sec(seconds) if seconds else rospy.Time()


def peer_array(snapshot: Snapshot) -> msg.PeerArray:
    message = msg.PeerArray()
    message.header.stamp = stamp(snapshot.stamp)
    for peer in sorted(snapshot.status.peers, key=lambda item: item.name):
        message.peers.append(msg.Peer(
            name=peer.name, dns_name=peer.dns_name, addresses=list(peer.addresses), os=peer.os, tags=list(peer.tags),
            online=peer.online, last_seen=stamp(None if peer.online else peer.last_seen)))
    return message


def link_array(snapshot: Snapshot, round_trips: RoundTrips) -> msg.LinkArray:
    """
    :param round_trips: one of another type than the link has now is left out.
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


def link_event(change: LinkChange, snapshot: Snapshot) -> msg.LinkEvent:
    """
    :param snapshot: has the new path.
    """
    message = msg.LinkEvent()
    message.header.stamp = stamp(snapshot.stamp)
    message.peer = change.peer
    message.from_type, message.to_type = LINK_TYPES[change.before], LINK_TYPES[change.after]
    link = next((item for item in snapshot.links if item.peer == change.peer), None)
    if link is not None:
        message.endpoint, message.relay = link.endpoint, link.relay
    return message


def overlay_state(snapshot: Snapshot, removed: bool, server: ServerView, server_since: float) -> msg.OverlayState:
    """
    :param removed: the server does not know this robot any more.
    :param server_since: Unix seconds.
    """
    status = snapshot.status
    own = status.self_node
    message = msg.OverlayState()
    message.header.stamp = stamp(snapshot.stamp)
    message.state = msg.OverlayState.NO_DAEMON if snapshot.daemon_error else STATES.get(status.state, 0)
    message.removed = removed
    message.online = own.online and not snapshot.daemon_error and not removed
    message.robot, message.dns_name, message.addresses = own.name, own.dns_name, list(own.addresses)
    message.team, message.tags = team_of(own.tags), list(own.tags)
    message.server_url = server.url
    message.server, message.server_text = SERVER_STATES[server.state], server.text
    message.server_since = stamp(server_since)
    message.key_expiry = stamp(own.key_expiry)
    message.health = list(status.health)
    message.daemon_version = status.version
    message.text = state_text(message, snapshot.daemon_error)
    return message


def state_text(state: msg.OverlayState, daemon_error: Optional[Problem]) -> str:
    """Return one sentence for OverlayState.text."""
    if daemon_error is not None:
        return str(daemon_error)
    if state.state == msg.OverlayState.RUNNING:
        text = '{} is in team {} at {}.'.format(state.robot, state.team or '(none)', ', '.join(state.addresses[:1]))
        if state.server in (msg.OverlayState.SERVER_UNREACHABLE, msg.OverlayState.SERVER_UNTRUSTED):
            return text + ' The server does not answer as it should; existing links go on.'
        if state.removed:
            return text + ' The server does not know it any more: it was removed there. Next: ua-overlay doctor'
        return text if state.online else text + ' The server does not see it.'
    return {
        msg.OverlayState.NO_LOGIN: 'This robot is in no team. Next: ua-overlay join INVITATION',
        msg.OverlayState.STOPPED: 'This robot left and keeps its identity. Next: ua-overlay join',
        msg.OverlayState.STARTING: 'tailscaled is starting.',
    }.get(state.state, 'The state of tailscaled is not known yet.')


def ros_environment(report: Report) -> msg.RosEnvironment:
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


def team_runner(report: Report) -> msg.TeamRunner:
    runner = report.runner
    message = msg.TeamRunner()
    message.header.stamp = stamp(report.desired.stamp)
    message.state, message.why, message.starts = runner.state, runner.why, runner.starts
    message.launch = ' '.join(runner.launch)
    if runner.graph is not None:
        message.master_uri, message.run_id = runner.graph.uri, runner.graph.run_id
    return message
