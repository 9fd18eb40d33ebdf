"""/diagnostics of the overlay node (REP-107): `<robot>: overlay: <check>`."""
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from ua_overlay import msg
from ua_overlay.nodes.messages import LINK_TYPES, stamp
from ua_overlay.tailscale.model import LinkType

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def daemon_check(state):
    """state: an OverlayState message. Returns (level, text, values) as every check does."""
    level = {msg.OverlayState.RUNNING: OK, msg.OverlayState.STARTING: WARN, msg.OverlayState.STOPPED: WARN,
             msg.OverlayState.NO_LOGIN: WARN}.get(state.state, ERROR)
    if level == OK and not state.online:
        level = WARN
    return level, state.text, {'version': state.daemon_version, 'team': state.team, 'dns name': state.dns_name,
                               'addresses': ', '.join(state.addresses), 'health': '; '.join(state.health)}


def server_check(state):
    level = {msg.OverlayState.SERVER_OK: OK, msg.OverlayState.SERVER_UNKNOWN: OK}.get(state.server, ERROR)
    text = state.server_text or ('answers' if state.server == msg.OverlayState.SERVER_OK else 'not asked: no team')
    return level, text, {'url': state.server_url}


def links_check(links):
    """links: tuple of tailscale.model.Link. Relayed by the server (DERP) is worth a warning: it is ten times slower."""
    counts = {kind: sum(link.type == kind for link in links) for kind in LINK_TYPES}
    text = ', '.join('{} {}'.format(count, kind) for kind, count in sorted(counts.items()) if count) or 'no peers'
    slow = sorted(link.peer for link in links if link.type == LinkType.DERP)
    if slow:
        return WARN, '{} (through the server: {})'.format(text, ', '.join(slow)), {
            link.peer: link.type for link in links}
    return OK, text, {link.peer: link.type for link in links}


def environment_check(report):
    """report: rosenv.keeper.Report."""
    wanted = report.wanted
    values = {'ROS_MASTER_URI': report.actual.get('ROS_MASTER_URI', ''), 'env file': report.env_file,
              'names ok': str(wanted.names_ok), 'master alive': str(report.master_alive)}
    if report.problem:
        return ERROR, report.problem, values
    if wanted.state == 'NO_OVERLAY':
        return OK, wanted.why, values
    if wanted.state == 'NAME_UNRESOLVED' or (wanted.state == 'OK' and not wanted.names_ok):
        return ERROR, wanted.why, values
    if wanted.state != 'OK':
        return WARN, wanted.why, values
    if not report.master_alive:
        return WARN, 'The master {} does not answer.'.format(wanted.master_uri), values
    return OK, wanted.why, values


def diagnostic_array(robot, checks, when):
    """`DiagnosticArray` of {check name: (level, text, {key: value})} for ``robot``, seen at ``when`` (Unix seconds)."""
    message = DiagnosticArray()
    message.header.stamp = stamp(when)
    for name, (level, text, values) in sorted(checks.items()):
        message.status.append(DiagnosticStatus(
            level=level, name='{}: overlay: {}'.format(robot, name), message=text, hardware_id=robot,
            values=[KeyValue(key=key, value=value) for key, value in sorted(values.items())]))
    return message
