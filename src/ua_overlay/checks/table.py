"""The table of checks: their stable ids, meanings and remedies. docs/checks.md is generated from it. Pure."""
from typing import Callable, Iterable, NamedTuple, Optional, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.checks import (
    agent,
    clocks,
    disks,
    duplicate_identity,
    egress,
    graph,
    health,
    links,
    ports,
    programs,
    robot,
    server,
)
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Finding, Verdict, Verdicts, worst


class Check(NamedTuple):
    """One check.

    ``id``: stable, for scripts and issue reports; ``group``: the diagnostic status (`<robot>: overlay: <group>`) to
    which it belongs; ``judge``: pure; ``meaning`` and ``remedy``: Markdown for the documentation.
    """

    id: str
    group: str
    judge: Callable[[Facts], Verdicts]
    meaning: str
    remedy: str


CHECKS = (
    Check('daemon', 'daemon', robot.daemon, 'tailscaled answers on its socket and is new enough.',
          '`sudo systemctl start tailscaled`; `ua-overlay tools install` for a newer one.'),
    Check('daemon-tested', 'daemon', robot.daemon_tested,
          'tailscaled is of no later minor version than the newest with which this package was tested.',
          '`make canary VERSION=…` in a checkout of this package tries that version; a newer version of this package.'),
    Check('health', 'daemon', health.health,
          "tailscaled reports no problem of its own: its state file, its packet filter, its DNS set-up. Each is shown "
          "in tailscaled's words.",
          'A damaged state file: move it away, restart tailscaled, join again. A kernel that refuses its packet '
          'filter: `sudo tailscale set --netfilter-mode=off`.'),
    Check('disk', 'daemon', disks.disk,
          'There is room in {}, {} and {}.'.format(defaults.RUN_DIR, defaults.STATE_DIR, defaults.DAEMON_STATE_DIR),
          'Remove files; everything goes on by itself.'),
    Check('login', 'daemon', robot.login, 'This robot is logged in, in a team, and the server sees it.',
          '`ua-overlay join INVITATION`; on the server `ua-overlay robot list`.'),
    Check('key-expiry', 'daemon', robot.key_expiry,
          'The key of this robot is good for at least 14 days. The keys of robots that joined by invitation do not '
          'expire.',
          'A new invitation.'),
    Check('server', 'server', server.server, "The site's server answers, with a certificate that the site's CA signed.",
          '`ua-overlay server status` on the server; `sudo ua-overlay robot prepare` for the CA.'),
    Check('registered', 'server', server.registered,
          'The server knows this robot. tailscaled still reports that it runs after it was removed there; the overlay '
          'node asks the server itself and notices within 25 s.',
          'A new invitation (`ua-overlay invite TEAM ROBOT` on the server), and `ua-overlay join INVITATION`.'),
    Check('remembered-team', 'server', server.remembered_team,
          'The server is there, so the team is the one that it sends. While it is away a robot goes on with the team '
          'that it remembers, over restarts, too, for as long as the site says (`admission_memory`, a day): a warning '
          'until an hour before the end, then an error.',
          '`ua-overlay server status` on the server, before that time is over.'),
    Check('duplicate-identity', 'server', duplicate_identity.duplicate_identity,
          'No other machine uses the identity of this robot (a copied SD card): the endpoints that the server has of '
          'it are its own. The overlay node reports it after a minute. Of the two machines, the one that reported to '
          'the server last sees nothing; two with an address and port in common (behind NATs) cannot be distinguished.',
          'On the copy `ua-overlay leave --new-identity`, and an invitation of its own; then on the other machine '
          '`ua-overlay leave; ua-overlay join`.'),
    Check('certificate', 'server', server.certificate,
          "The server's certificate is good for at least 14 days (error: 2), the CA for 90.",
          '`ua-overlay server renew` on the server.'),
    Check('clock', 'server', server.clock,
          "This machine's clock is within 2 s of the server's (error: 30 s, or no certificate is valid).",
          '`sudo date -s` with the difference, once; [Clocks](operate.md#clocks) keeps it right.'),
    Check('team-clocks', 'environment', clocks.team_clocks,
          'The clocks of this robot and of every team mate whose overlay node runs agree within 50 ms (error: 1 s); '
          '/diagnostics compares with the master\'s robot.',
          'One time source for the team, such as the site\'s server: [Clocks](operate.md#clocks).'),
    Check('address-range', 'daemon', robot.address_range,
          'No other interface has an address in {} (carriers and other VPNs use it), or the site lets its robots '
          'accept that range there.'.format(defaults.OVERLAY_V4),
          '`sudo ua-overlay policy cgnat-lans on` on the server; a robot whose address lies in that network joins '
          'anew, which gives it another one.'),
    Check('egress', 'daemon', egress.egress,
          'On a robot that was prepared: the egress rule, by which nothing leaves the site, is loaded as it was '
          'written, for the addresses of the site. Only root can see it, so it is UNKNOWN to other users and not in '
          '/diagnostics.',
          '`sudo ua-overlay doctor`; `systemctl status ua-overlay-agent`, which keeps it; '
          '`sudo ua-overlay robot prepare`.'),
    Check('agent', 'daemon', agent.agent,
          'On a robot that was prepared: the root service ua-overlay-agent runs, and none of its duties hangs or fails '
          '(the user that may join and leave, the names in /etc/hosts, the egress rule, the home DERP, the saved '
          'identity, paths after a logout, the remembered team). Not seen from a container with a network of its own.',
          '`sudo systemctl restart ua-overlay-agent`; `journalctl -u ua-overlay-agent` has the reason.'),
    Check('names', 'environment', graph.names,
          'This machine resolves its own overlay name and those of all peers that it can see (its team, teams with a '
          'rule, operators), to their overlay addresses.',
          'Restart tailscaled and the agent; `resolvectl status`, /etc/resolv.conf (which program overwrote it?).'),
    Check('environment', 'environment', graph.environment,
          'The team has one master, and shells and programs get the environment for it.',
          '`roslaunch ua_overlay overlay.launch`; the tag `{}` on the server.'.format(defaults.MASTER_TAG)),
    Check('master', 'environment', graph.master, "The team's master answers over the overlay.",
          '`ua-overlay doctor` on the master.'),
    Check('foreign-master', 'environment', graph.foreign_master,
          "The team's master was started by a roscore, as overlay.launch does, not by another roslaunch.",
          'End that roslaunch; start it again with `ua-overlay exec --wait roslaunch`.'),
    Check('ports-out', 'environment', ports.ports_out,
          "The team port of the master, and a node's or an ephemeral port of every team mate that is online, accept "
          'our connection or refuse it: only silence means that it was dropped.',
          "`ua-overlay policy show` on the server, then firewalls on the robot that is named."),
    Check('ports-in', 'environment', ports.ports_in,
          'Team mates reach this robot on an ephemeral port. The master is asked to call back, by address and by name, '
          'through a registration as every node makes one; every other robot whose overlay node runs is asked to '
          'connect. An older connection proves nothing, so without an answer the result is UNKNOWN.',
          "The site's policy, the firewall of this machine, name resolution on the master."),
    Check('node-names', 'environment', programs.node_names,
          "Every node in the team's master is registered under a name or address of the overlay.",
          'Start those nodes with `ua-overlay exec`.'),
    Check('half-connected', 'environment', programs.half_connected,
          "Neither this shell nor a running node, whoever started it (a boot script, too), has the overlay's "
          "ROS_MASTER_URI together with a LAN's ROS_IP or ROS_HOSTNAME (or none), or the reverse.",
          'Remove the exports from ~/.bashrc and from start scripts; use `ua-overlay exec`.'),
    Check('old-master', 'environment', programs.old_master,
          "No running node was started for a former master of the team.",
          'Start those nodes again: nodes do not follow a move.'),
    Check('other-graph', 'environment', programs.other_graph,
          'Every running node of this robot uses its local graph or its team graph, and none moved from one to the '
          'other.',
          'Start it with `ua-overlay exec --wait`, or set ROS_MASTER_URI before the workspace is sourced.'),
    Check('offline-nodes', 'environment', programs.offline_nodes,
          'No node of a robot that is offline is registered at the team\'s master. The master calls such nodes for '
          'each new publisher and waits.',
          '`ua-overlay exec rosnode cleanup`.'),
    Check('link-derp', 'links', links.derp, 'No link goes through the server (DERP).',
          'Allow UDP out; ask for UDP {} to be allowed in on one side.'.format(defaults.DAEMON_PORT)),
    Check('link-lan', 'links', links.lan, 'No link is relayed although both robots are on one LAN.',
          "Client isolation of the access point, the robots' firewalls."),
    Check('mtu', 'links', links.mtu,
          'Packets of full size get through the overlay, not only small ones, and fit the interface and the path that '
          'carry them: tailscaled\'s have up to 1340 bytes.',
          '`sudo ua-overlay robot mtu BYTES`. A smaller MTU on an interface makes it worse.'),
)
IDS = tuple(check.id for check in CHECKS)
GROUPS = ('daemon', 'server', 'links', 'environment')


def run_checks(facts: Facts, checks: Iterable[Check] = CHECKS) -> Tuple[Finding, ...]:
    """Return the findings in the order of the table. Checks without facts give none."""
    findings = []
    for check in checks:
        verdicts = check.judge(facts)
        for verdict in [verdicts] if isinstance(verdicts, Verdict) else verdicts or ():
            findings.append(Finding(check.id, verdict.level, verdict.what, verdict.why, verdict.next_command))
    return tuple(findings)


def run_group(facts: Facts, group: str) -> Tuple[Finding, ...]:
    """Return the findings of one diagnostic status."""
    return run_checks(facts, [check for check in CHECKS if check.group == group])


def headline(findings: Sequence[Finding]) -> Optional[Finding]:
    """Return the most important of several findings: the first of the worst level, None without any."""
    level = worst(findings)
    return next((finding for finding in findings if finding.level == level), None)


def markdown() -> str:
    """Return the table of docs/checks.md."""
    lines = ['| id | what is checked | what helps | in /diagnostics |', '|---|---|---|---|']
    lines += ['| `{}` | {} | {} | {} |'.format(check.id, check.meaning, check.remedy, check.group) for check in CHECKS]
    return '\n'.join(lines) + '\n'
