"""/diagnostics of the overlay node (REP-107): `<robot>: overlay: <group>`, judged by the table of checks."""
from dataclasses import replace
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

import rospy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from ua_overlay.checks.facts import ClockOffset, Facts, Graph, Server
from ua_overlay.checks.finding import ERROR, OK, UNKNOWN, WARN
from ua_overlay.checks.observe.agent import observe_agent
from ua_overlay.checks.observe.disks import observe_disks
from ua_overlay.checks.robot import when
from ua_overlay.checks.table import GROUPS, headline, run_group
from ua_overlay.rosenv import report as reports
from ua_overlay.rosenv.report import Report
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.snapshot import Snapshot

#: UNKNOWN raises no alarm.
LEVELS = {OK: DiagnosticStatus.OK, UNKNOWN: DiagnosticStatus.OK, WARN: DiagnosticStatus.WARN,
          ERROR: DiagnosticStatus.ERROR}
#: The text of a group without findings.
_EMPTY = {'server': 'not checked: this robot is in no team', 'links': 'no peers',
          'environment': 'This robot is not in the overlay.'}


class GroupStatus(NamedTuple):
    """One DiagnosticStatus without its name: level, text, and values for people who want details."""

    level: int
    text: str
    values: Dict[str, str]


def statuses(snapshot: Snapshot, server: Server, report: Report, now: float,
             clocks: Optional[Tuple[ClockOffset, ...]] = None,
             stamp: Optional[Stamp] = None) -> Dict[str, GroupStatus]:
    """Return {group: its status}, including the team runner's.

    :param server: of the last probe.
    :param now: Unix seconds.
    :param clocks: of nodes.team_clock.
    :param stamp: of the network map that tailscaled keeps.
    """
    facts = replace(facts_of(snapshot, server, report, now), clocks=clocks, map_stamp=stamp)
    details = _details(snapshot, server, report)
    team = facts.remembered_team
    details['server']['remembered since'] = '' if team is None or team.since is None else when(team.since)
    details['server']['remembered until'] = '' if team is None or team.until is None else when(team.until)
    result = {group: judge(facts, group, details[group]) for group in GROUPS}
    result['runner'] = runner_status(report)
    return result


def facts_of(snapshot: Snapshot, server: Server, report: Report, now: float) -> Facts:
    """Return the facts that the overlay node already has; only `ua-overlay doctor` tests the network."""
    desired = report.desired
    return Facts(
        now=now, daemon_problem=snapshot.daemon_error, status=snapshot.status,
        links=snapshot.links if snapshot.status.running else None, server=server, desired=desired,
        actual=report.actual if report.env_file else None, env_problem=report.problem,
        graph=Graph(desired.master_uri, report.master_alive) if desired.usable else None, disks=observe_disks(),
        agent=observe_agent())


def judge(facts: Facts, group: str, details: Optional[Mapping[str, str]] = None) -> GroupStatus:
    """Return the status of a group; its values are ``details`` and one entry for each check."""
    findings = run_group(facts, group)
    first = headline(findings)
    if first is None:
        level, text = DiagnosticStatus.OK, _EMPTY.get(group, '')
    elif LEVELS[first.level] == DiagnosticStatus.OK:
        level, text = DiagnosticStatus.OK, ' '.join(finding.what for finding in findings)
    else:
        level = LEVELS[first.level]
        text = first.what + (' Next: ' + first.next_command if first.next_command else '')
    values: Dict[str, str] = {}
    for finding in findings:
        sentence = '{}: {}'.format(finding.level, finding.sentence())
        values[finding.id] = '; '.join(filter(None, [values.get(finding.id), sentence]))
    return GroupStatus(level, text, {**values, **(details or {})})


def runner_status(report: Report) -> GroupStatus:
    """Return the status of the team runner."""
    runner = report.runner
    level = {reports.FAILED: DiagnosticStatus.ERROR, reports.STOPPING: DiagnosticStatus.WARN}.get(
        runner.state, DiagnosticStatus.OK)
    if runner.state == reports.WAITING and report.desired.usable:
        level = DiagnosticStatus.WARN
    return GroupStatus(level, '{}: {}'.format(runner.state, runner.why), {
        'launch': ' '.join(runner.launch), 'starts': str(runner.starts),
        'ROS_MASTER_URI': '' if runner.graph is None else runner.graph.uri})


def diagnostic_array(robot: str, groups: Mapping[str, GroupStatus], when: float) -> DiagnosticArray:
    """Return the message.

    :param groups: by name.
    :param when: Unix seconds.
    """
    message = DiagnosticArray()
    message.header.stamp = rospy.Time.from_sec(when)
    for name, group in sorted(groups.items()):
        message.status.append(DiagnosticStatus(
            level=group.level, name='{}: overlay: {}'.format(robot, name), message=group.text, hardware_id=robot,
            values=[KeyValue(key=key, value=value) for key, value in sorted(group.values.items())]))
    return message


def _details(snapshot: Snapshot, server: Server, report: Report) -> Dict[str, Dict[str, str]]:
    status = snapshot.status
    own = status.self_node
    return {
        'daemon': {'version': status.version, 'dns name': own.dns_name, 'addresses': ', '.join(own.addresses),
                   'tags': ', '.join(own.tags), 'health': '; '.join(status.health)},
        'server': {'url': server.url},
        'links': {link.peer: link.type for link in snapshot.links},
        'environment': {'ROS_MASTER_URI': report.actual.get('ROS_MASTER_URI', ''), 'env file': report.env_file,
                        'names ok': str(report.desired.names_ok), 'master alive': str(report.master_alive)},
    }
