"""/diagnostics of the overlay node (REP-107): `<robot>: overlay: <group>`, judged by the table of checks."""
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from ua_overlay.checks import finding as findings_module
from ua_overlay.checks.facts import Facts, Graph
from ua_overlay.checks.table import GROUPS, headline, run_group
from ua_overlay.nodes.messages import stamp

#: A check that cannot be observed is no alarm.
LEVELS = {findings_module.OK: DiagnosticStatus.OK, findings_module.UNKNOWN: DiagnosticStatus.OK,
          findings_module.WARN: DiagnosticStatus.WARN, findings_module.ERROR: DiagnosticStatus.ERROR}
#: What a group says that has nothing to judge.
NOTHING = {'server': 'not asked: no team', 'links': 'no peers', 'environment': 'This robot is not in the overlay.'}


def facts_of(snapshot, server, report, now):
    """The facts that the overlay node has anyway; what costs network is left to `ua-overlay doctor`.

    :param snapshot: tailscale.snapshot.Snapshot.
    :param server: checks.facts.Server of the last probe.
    :param report: rosenv.keeper.Report.
    :param now: Unix seconds.
    """
    desired = report.desired
    return Facts(
        now=now, daemon_problem=snapshot.daemon_error, status=snapshot.status,
        links=snapshot.links if snapshot.status.running else None, server=server, desired=desired,
        actual=report.actual if report.env_file else None, env_problem=report.problem,
        graph=Graph(desired.master_uri, report.master_alive) if desired.usable else None)


def checks_of(facts):
    """{group: (level, text, {key: value})} of `diagnostic_array`; each check of a group is one of its values."""
    result = {}
    for group in GROUPS:
        found = run_group(facts, group)
        first = headline(found)
        if first is None:
            level, text = DiagnosticStatus.OK, NOTHING.get(group, '')
        elif LEVELS[first.level] == DiagnosticStatus.OK:
            level, text = DiagnosticStatus.OK, ' '.join(finding.what for finding in found)
        else:
            level = LEVELS[first.level]
            text = first.what + (' Next: ' + first.next_command if first.next_command else '')
        values = {}
        for finding in found:
            values[finding.id] = '; '.join(filter(None, [values.get(finding.id), '{}: {}'.format(
                finding.level, finding.sentence())]))
        result[group] = (level, text, values)
    return result


def details(snapshot, server, report):
    """{group: {key: value}} for people who look closer."""
    own = snapshot.status.self_node
    return {
        'daemon': {'version': snapshot.status.version, 'dns name': own.dns_name, 'addresses': ', '.join(own.addresses),
                   'tags': ', '.join(own.tags), 'health': '; '.join(snapshot.status.health)},
        'server': {'url': server.url},
        'links': {link.peer: link.type for link in snapshot.links},
        'environment': {'ROS_MASTER_URI': report.actual.get('ROS_MASTER_URI', ''), 'env file': report.env_file,
                        'names ok': str(report.desired.names_ok), 'master alive': str(report.master_alive)},
    }


def diagnostic_array(robot, checks, when):
    """`DiagnosticArray` of {check name: (level, text, {key: value})} for ``robot``, seen at ``when`` (Unix seconds)."""
    message = DiagnosticArray()
    message.header.stamp = stamp(when)
    for name, (level, text, values) in sorted(checks.items()):
        message.status.append(DiagnosticStatus(
            level=level, name='{}: overlay: {}'.format(robot, name), message=text, hardware_id=robot,
            values=[KeyValue(key=key, value=value) for key, value in sorted(values.items())]))
    return message
