"""Decide the ROS master and this robot's ROS name, from plain values, for shells, programs and nodes. Pure.
"""
from dataclasses import dataclass, field, replace
from typing import Dict, NamedTuple, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.rosenv import mastership
from ua_overlay.rosenv.mastership import Mastership
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.rosenv.team import Node, dns_name, has_left, ipv4, team_mates, team_of
from ua_overlay.tailscale.model import Status

OK = 'OK'
NO_OVERLAY = 'NO_OVERLAY'
NO_MASTER = 'NO_MASTER'
MASTER_OFFLINE = 'MASTER_OFFLINE'
TWO_MASTERS = 'TWO_MASTERS'
#: Two robots are tagged, but not yet for long enough to be an error.
SETTLING = 'SETTLING'
NAME_UNRESOLVED = 'NAME_UNRESOLVED'


@dataclass(frozen=True)
class RosEnvironment:
    """The decision.

    :ivar master_uri: URI of the team's master, or '' when there is none.
    :ivar hostname: this robot's name in ROS: its DNS name without the final dot, or its IPv4 address.
    :ivar master: name of the master robot, or ''.
    :ivar state: one of the words above.
    :ivar why: one sentence for people; also set when all is well.
    :ivar names_ok: this robot's name and those of all robots and laptops that it sees resolve here.
    :ivar usable: shells and programs may use the environment (there is a master and our own name works here).
        A master that is offline stays: a program that fails visibly beats one that talks to another graph.
    :ivar left: tailscaled reports that this robot is in no team; False with NO_OVERLAY, when that is unknown.
    :ivar next_command: the command to type next, or ''.
    :ivar stamp: when it was decided, by the caller's clock; not part of comparisons.
    """

    master_uri: str = ''
    hostname: str = ''
    master: str = ''
    state: str = NO_OVERLAY
    why: str = ''
    names_ok: bool = False
    usable: bool = False
    team: str = ''
    robot: str = ''
    addressing: str = defaults.NAMES
    left: bool = False
    next_command: str = ''
    stamp: float = field(default=0.0, compare=False)

    @property
    def is_master(self) -> bool:
        """This robot is the one that runs the team's roscore."""
        return bool(self.master) and self.master == self.robot

    def variables(self) -> Dict[str, str]:
        """Return the variables of the env file, {} when there is nothing to export.

        ROS_HOSTNAME wins over ROS_IP inside ROS (rosgraph.network.get_address_override), so exactly one of them is set.
        """
        if not self.usable:
            return {}
        return {'ROS_MASTER_URI': self.master_uri,
                'ROS_IP' if self.addressing == defaults.ADDRESSES else 'ROS_HOSTNAME': self.hostname,
                'UA_OVERLAY_TEAM': self.team,
                'UA_OVERLAY_ROBOT': self.robot}


class _Verdict(NamedTuple):
    """A problem with the master: fields of RosEnvironment."""

    state: str
    why: str
    next_command: str = ''


def observe_master(before: Optional[Mastership], status: Optional[Status], preferences: Preferences,
                   now: float) -> Optional[Mastership]:
    """Return the Mastership after this status, for :func:`decide_environment`.

    :param before: the previous Mastership, or None.
    :param status: as for decide_environment; without an overlay, ``before`` is returned unchanged.
    :param now: monotonic seconds.
    """
    if status is None or not status.running or not team_of(status.self_node, preferences.team):
        return None if has_left(status) else before
    return _observe(before, status, preferences, now)


def _observe(before: Optional[Mastership], status: Status, preferences: Preferences, now: float) -> Mastership:
    robots: Tuple[Node, ...] = (status.self_node,) + team_mates(status, preferences.team)
    return mastership.observe(before, team_of(status.self_node, preferences.team), robots,
                              [node for node in robots if defaults.MASTER_TAG in node.tags], now)


def decide_environment(status: Optional[Status], preferences: Preferences, names: Optional[NameReport],
                       now: float = 0.0, master: Optional[Mastership] = None) -> RosEnvironment:
    """Decide what ROS_MASTER_URI and ROS_HOSTNAME have to be on this robot.

    :param status: of tailscaled; None when it does not answer.
    :param names: None while the names have not been checked.
    :param now: the caller's clock, kept as ``stamp``.
    :param master: the latest result of :func:`observe_master`; None: treat the present state as stable.
    """
    if status is None or not status.running or not dns_name(status.self_node) or not ipv4(status.self_node):
        return RosEnvironment(state=NO_OVERLAY, why='This robot is not in the overlay.',
                              addressing=preferences.addressing, left=has_left(status),
                              next_command='ua-overlay status', stamp=now)
    me = status.self_node
    base = RosEnvironment(hostname=_host(me, preferences), team=team_of(me, preferences.team), robot=me.name,
                          addressing=preferences.addressing, names_ok=names is not None and names.ok, stamp=now)
    if not base.team:
        return replace(base, state=NO_OVERLAY, why='{} is in the overlay but in no team.'.format(me.name), left=True,
                       next_command='ua-overlay robot list   # on the server')
    if master is None or master.team != base.team:
        # A single observation without history counts as stable.
        master = _observe(_observe(None, status, preferences, 0.0), status, preferences, float('inf'))
    node, verdict = _find_master(status, preferences, base.team, master)
    if node is not None:
        base = replace(base, master=node.name,
                       master_uri='http://{}:{}'.format(_host(node, preferences), preferences.team_port))
    if names is None:
        return replace(base, state=NAME_UNRESOLVED, why='Whether the name {} of this robot resolves here is not known '
                                                        'yet.'.format(dns_name(me)))
    if not names.own_ok:
        return replace(base, state=NAME_UNRESOLVED, why=names.why, next_command=_resolve_command(me, preferences))
    if node is None:
        return replace(base, **verdict._asdict()) if verdict is not None else base
    if dns_name(node) in names.unresolved:
        return replace(base, state=NAME_UNRESOLVED, why=names.why, next_command=_resolve_command(node, preferences))
    base = replace(base, usable=True)
    if verdict is not None:
        return replace(base, **verdict._asdict())
    if node.name != me.name and not node.online:
        return replace(base, state=MASTER_OFFLINE, why='The master of team {}, {}, is offline.'.format(
            base.team, node.name), next_command='ua-overlay status')
    why = 'Team {} has its master on {}.'.format(base.team, 'this robot' if node.name == me.name else node.name)
    return replace(base, state=OK, why=why if names.ok else names.why)


def _host(node: Node, preferences: Preferences) -> str:
    return ipv4(node) if preferences.addressing == defaults.ADDRESSES else dns_name(node)


def _resolve_command(node: Node, preferences: Preferences) -> str:
    return 'ua-overlay status' if preferences.addressing == defaults.ADDRESSES else 'getent ahostsv4 ' + dns_name(node)


def _find_master(status: Status, preferences: Preferences, team: str,
                 present: Mastership) -> Tuple[Optional[Node], Optional[_Verdict]]:
    """Return (the master or None, the problem or None); at least one of them is set."""
    if preferences.master:
        desired = preferences.master.rstrip('.')
        for node in (status.self_node,) + team_mates(status, preferences.team):
            if desired in (node.name, dns_name(node)):
                return node, None
        return None, _Verdict(NO_MASTER, 'Team {} has no robot called {}, the master that was asked for.'.format(
            team, preferences.master), 'ua-overlay status')
    advice = 'ua-overlay team master {} {}   # on the server'
    if present.kind == mastership.SEVERAL and (present.stable or present.master is None):
        text = 'Team {} has {} robots tagged as master: {}'.format(
            team, len(present.claimants), ', '.join(present.claimants))
        if not present.stable:
            return None, _Verdict(SETTLING, text + '; it is too early to call that an error.')
        keeps = '; {} was the master before and remains so.'.format(present.master.name) if present.master else '.'
        # The one whose roscore runs, so that no node has to be started anew.
        keeper = present.master.name if present.master else present.claimants[0]
        return present.master, _Verdict(TWO_MASTERS, text + keeps, command(advice, team, keeper))
    if present.master is None:
        return None, _Verdict(NO_MASTER, 'No robot of team {} is tagged as its master.'.format(team), command(
            advice, team, 'ROBOT'))
    return present.master, None
