"""Which ROS master, and which name for this robot: one decision on plain values, read by shells, programs and nodes."""
from dataclasses import dataclass, field, replace

from ua_overlay import defaults, tags
from ua_overlay.rosenv import mastership

OK = 'OK'
NO_OVERLAY = 'NO_OVERLAY'
NO_MASTER = 'NO_MASTER'
MASTER_OFFLINE = 'MASTER_OFFLINE'
TWO_MASTERS = 'TWO_MASTERS'
#: Two robots are tagged, and it is too early to call that an error.
SETTLING = 'SETTLING'
NAME_UNRESOLVED = 'NAME_UNRESOLVED'


@dataclass(frozen=True)
class Preferences:
    """What the invitation and the launch file ask for.

    :ivar master: name (or DNS name) of the robot that shall run the team's roscore; '': the one tagged for it.
    :ivar team_port: TCP port of the team's roscore.
    :ivar addressing: 'names' or 'addresses'; one setting of the whole team, see :data:`defaults.ADDRESSING`.
    :ivar team: team of the invitation. The tags of this node win over it: the server may have moved the robot.
    """

    master: str = ''
    team_port: int = defaults.TEAM_PORT
    addressing: str = defaults.NAMES
    team: str = ''


@dataclass(frozen=True)
class RosEnvironment:
    """The decision.

    :ivar master_uri: URI of the team's master, or '' when no robot is it.
    :ivar hostname: what this robot calls itself in ROS: its DNS name without the final dot, or its IPv4 address.
    :ivar master: name of the master robot, or ''.
    :ivar state: one of the words above.
    :ivar why: one sentence for people; also set when all is well.
    :ivar names_ok: this robot's name and those of all its team mates resolve here.
    :ivar usable: the environment may be given to shells and programs (there is a master and our own name works here).
        A master that is offline stays: a program that fails visibly beats one that talks to another graph.
    :ivar left: this robot is in no team by the word of tailscaled; False with NO_OVERLAY: it cannot be known now.
    :ivar next_command: what to type, or ''.
    :ivar stamp: when it was decided, as the caller's clock has it; not part of comparisons.
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
    def is_master(self):
        """This robot is the one that runs the team's roscore."""
        return bool(self.master) and self.master == self.robot

    def variables(self):
        """The variables of the env file, {} when there is nothing to export.

        ROS_HOSTNAME wins over ROS_IP inside ROS (rosgraph.network.get_address_override), so exactly one of them is set.
        """
        if not self.usable:
            return {}
        return {'ROS_MASTER_URI': self.master_uri,
                'ROS_IP' if self.addressing == defaults.ADDRESSES else 'ROS_HOSTNAME': self.hostname,
                'UA_OVERLAY_TEAM': self.team,
                'UA_OVERLAY_ROBOT': self.robot}


def dns_name(node):
    """DNS name of a node without the final dot, in which ROS names would differ from what others type."""
    return (node.dns_name or '').rstrip('.')


def ipv4(node):
    """The node's IPv4 overlay address or ''. ROS 1 writes URIs without brackets, so IPv6 is of no use to it."""
    return next((address for address in node.addresses or () if ':' not in address), '')


def team_of(node, preferences):
    """The team a node is in, or '': the preferred one if the node carries its tag, else what its tags say."""
    return tags.team_of(node.tags, preferences.team)


def follow_map(preferences, node):
    """The preferences as the network map has them: a robot may have been moved to another team since it was invited,
    and a team may have changed. What the map does not say stays as it was.

    :param node: this robot (tailscale.model.SelfNode).
    """
    team = tags.team_of(node.tags, preferences.team)
    return replace(preferences, team=team, **tags.facts_of(node.attributes)) if team else preferences


def team_mates(status, preferences):
    """The peers in this robot's team, as a tuple."""
    team = team_of(status.self_node, preferences) if status.self_node is not None else ''
    return tuple(peer for peer in status.peers or () if team and 'tag:' + team in (peer.tags or ()))


def observe_master(before, status, preferences, now):
    """The :class:`~ua_overlay.rosenv.mastership.Mastership` after this status, for :func:`decide_environment`.

    :param before: the one before, or None.
    :param status: as for decide_environment; without an overlay ``before`` stays as it is.
    :param now: monotonic seconds.
    """
    me = None if status is None else status.self_node
    if status is None or status.state != 'Running' or me is None or not team_of(me, preferences):
        return None if has_left(status) else before
    robots = (me,) + team_mates(status, preferences)
    return mastership.observe(before, team_of(me, preferences), robots,
                              [node for node in robots if defaults.MASTER_TAG in (node.tags or ())], now)


def has_left(status):
    """Whether tailscaled says that this robot is in no network; False when it does not answer or is starting."""
    return status is not None and status.state in ('Stopped', 'NeedsLogin', 'NeedsMachineAuth')


def decide_environment(status, preferences, names, now=0.0, master=None):
    """Decide what ROS_MASTER_URI and ROS_HOSTNAME have to be on this robot.

    :param status: what tailscaled says: ``state`` ('Running'…), ``self_node`` and ``peers`` with name, dns_name,
        addresses, tags (all) and online (peers); None when tailscaled does not answer.
    :param names: :class:`ua_overlay.rosenv.names.NameReport`, or None when the resolver was not asked yet.
    :param now: the caller's clock, kept as ``stamp``.
    :param master: what :func:`observe_master` knows from the observations so far; None: as if
        it had been like this for long.
    """
    me = None if status is None else status.self_node
    if status is None or status.state != 'Running' or me is None or not dns_name(me) or not ipv4(me):
        return RosEnvironment(state=NO_OVERLAY, why='This robot is not in the overlay.',
                              addressing=preferences.addressing, left=has_left(status),
                              next_command='ua-overlay status', stamp=now)
    known = dict(hostname=_host(me, preferences), team=team_of(me, preferences), robot=me.name,
                 addressing=preferences.addressing, names_ok=names is not None and names.ok, stamp=now)
    if not known['team']:
        return RosEnvironment(state=NO_OVERLAY, why='{} is in the overlay but in no team.'.format(me.name), left=True,
                              next_command='ua-overlay robot list   # on the server', **known)
    if master is None or master.team != known['team']:
        # One look and no past: taken as if it had been so for long.
        master = observe_master(observe_master(None, status, preferences, 0.0), status, preferences, float('inf'))
    node, verdict = _find_master(me, team_mates(status, preferences), preferences, known['team'], master)
    if node is not None:
        known.update(master=node.name,
                     master_uri='http://{}:{}'.format(_host(node, preferences), preferences.team_port))
    if names is None or not names.own_ok:
        why = 'This robot has not yet been asked to resolve its own name {}.'.format(dns_name(me))
        return RosEnvironment(state=NAME_UNRESOLVED, why=why if names is None else names.why,
                              next_command='' if names is None else _resolve_command(me, preferences), **known)
    if node is None:
        return RosEnvironment(**dict(known, **verdict))
    if dns_name(node) in names.unresolved:
        return RosEnvironment(state=NAME_UNRESOLVED, why=names.why, next_command=_resolve_command(node, preferences),
                              **known)
    if verdict:
        return RosEnvironment(usable=True, **dict(known, **verdict))
    if node.name != me.name and not node.online:
        return RosEnvironment(state=MASTER_OFFLINE, why='The master of team {}, {}, is offline.'.format(
            known['team'], node.name), next_command='ua-overlay status', usable=True, **known)
    why = 'Team {} has its master on {}.'.format(known['team'], 'this robot' if node.name == me.name else node.name)
    if not names.ok:
        why = names.why
    return RosEnvironment(state=OK, why=why, usable=True, **known)


def _host(node, preferences):
    return ipv4(node) if preferences.addressing == defaults.ADDRESSES else dns_name(node)


def _resolve_command(node, preferences):
    return 'ua-overlay status' if preferences.addressing == defaults.ADDRESSES else 'getent ahostsv4 ' + dns_name(node)


def _find_master(me, mates, preferences, team, present):
    """Return (node or None, the fields that say what is wrong, {} when nothing is).

    :param present: the Mastership.
    """
    if preferences.master:
        desired = preferences.master.rstrip('.')
        for node in (me,) + mates:
            if desired in (node.name, dns_name(node)):
                return node, {}
        why = 'No robot of team {} is called {}, the master that was asked for.'.format(team, preferences.master)
        return None, dict(state=NO_MASTER, why=why, next_command='ua-overlay status')
    command = 'ua-overlay team master {} ROBOT   # on the server'.format(team)
    if present.kind == mastership.SEVERAL and (present.stable or present.master is None):
        text = 'Team {} has {} robots tagged as master: {}'.format(
            team, len(present.claimants), ', '.join(present.claimants))
        if not present.stable:
            return None, dict(state=SETTLING, why=text + '; it is too early to call that an error.')
        keeps = '; {} was it before and stays it.'.format(present.master.name) if present.master is not None else '.'
        return present.master, dict(state=TWO_MASTERS, why=text + keeps, next_command=command)
    if present.master is None:
        return None, dict(state=NO_MASTER, why='No robot of team {} is tagged as its master.'.format(team),
                          next_command=command)
    return present.master, {}
