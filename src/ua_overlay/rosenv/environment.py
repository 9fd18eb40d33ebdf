"""Which ROS master, and which name for this robot: one decision on plain values, read by shells, programs and nodes."""
from dataclasses import dataclass, field

from ua_overlay import defaults

OK = 'OK'
NO_OVERLAY = 'NO_OVERLAY'
NO_MASTER = 'NO_MASTER'
MASTER_OFFLINE = 'MASTER_OFFLINE'
TWO_MASTERS = 'TWO_MASTERS'
NAME_UNRESOLVED = 'NAME_UNRESOLVED'

NAMES = 'names'
ADDRESSES = 'addresses'
ADDRESSING = (NAMES, ADDRESSES)


@dataclass(frozen=True)
class Wishes:
    """What the invitation and the launch file ask for.

    :ivar master: name (or DNS name) of the robot that shall run the team's roscore; '': the one tagged for it.
    :ivar team_port: TCP port of the team's roscore.
    :ivar addressing: 'names' or 'addresses'; one setting of the whole team, see :data:`ADDRESSING`.
    :ivar team: team of the invitation. The tags of this node win over it: the server may have moved the robot.
    """

    master: str = ''
    team_port: int = defaults.TEAM_PORT
    addressing: str = NAMES
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
    addressing: str = NAMES
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
                'ROS_IP' if self.addressing == ADDRESSES else 'ROS_HOSTNAME': self.hostname,
                'UA_OVERLAY_TEAM': self.team,
                'UA_OVERLAY_ROBOT': self.robot}


def dns_name(node):
    """DNS name of a node without the final dot, in which ROS names would differ from what others type."""
    return (node.dns_name or '').rstrip('.')


def ipv4(node):
    """The node's IPv4 overlay address or ''. ROS 1 writes URIs without brackets, so IPv6 is of no use to it."""
    return next((address for address in node.addresses or () if ':' not in address), '')


def team_of(node, wishes):
    """The team a node is in, or '': the wished one if the node carries its tag, else what its tags say."""
    tags = node.tags or ()
    if wishes.team and 'tag:' + wishes.team in tags:
        return wishes.team
    teams = sorted(tag[len('tag:'):] for tag in tags if tag.startswith('tag:'))
    return next((team for team in teams if team not in defaults.RESERVED_TEAMS), '')


def team_mates(status, wishes):
    """The peers in this robot's team, as a tuple."""
    team = team_of(status.self_node, wishes) if status.self_node is not None else ''
    return tuple(peer for peer in status.peers or () if team and 'tag:' + team in (peer.tags or ()))


def decide_environment(status, wishes, names, now=0.0):
    """Decide what ROS_MASTER_URI and ROS_HOSTNAME have to be on this robot.

    :param status: what tailscaled says: ``state`` ('Running'…), ``self_node`` and ``peers`` with name, dns_name,
        addresses, tags (all) and online (peers); None when tailscaled does not answer.
    :param names: :class:`ua_overlay.rosenv.names.NameReport`, or None when the resolver was not asked yet.
    :param now: the caller's clock, kept as ``stamp``.
    """
    me = None if status is None else status.self_node
    if status is None or status.state != 'Running' or me is None or not dns_name(me) or not ipv4(me):
        return RosEnvironment(state=NO_OVERLAY, why='This robot is not in the overlay.', addressing=wishes.addressing,
                              next_command='ua-overlay status', stamp=now)
    known = dict(hostname=_host(me, wishes), team=team_of(me, wishes), robot=me.name, addressing=wishes.addressing,
                 names_ok=names is not None and names.ok, stamp=now)
    if not known['team']:
        return RosEnvironment(state=NO_OVERLAY, why='{} is in the overlay but in no team.'.format(me.name),
                              next_command='ua-overlay robot list   # on the server', **known)
    if names is None or not names.own_ok:
        why = 'This robot has not yet been asked to resolve its own name {}.'.format(dns_name(me))
        return RosEnvironment(state=NAME_UNRESOLVED, why=why if names is None else names.why,
                              next_command='' if names is None else _resolve_command(me, wishes), **known)
    master, verdict = _find_master(me, team_mates(status, wishes), wishes, known['team'])
    if master is None:
        return RosEnvironment(**dict(known, **verdict))
    known.update(master=master.name, master_uri='http://{}:{}'.format(_host(master, wishes), wishes.team_port))
    if dns_name(master) in names.unresolved:
        return RosEnvironment(state=NAME_UNRESOLVED, why=names.why, next_command=_resolve_command(master, wishes),
                              **known)
    if master is not me and not master.online:
        return RosEnvironment(state=MASTER_OFFLINE, why='The master of team {}, {}, is offline.'.format(
            known['team'], master.name), next_command='ua-overlay status', usable=True, **known)
    why = 'Team {} has its master on {}.'.format(known['team'], 'this robot' if master is me else master.name)
    if not names.ok:
        why = names.why
    return RosEnvironment(state=OK, why=why, usable=True, **known)


def _host(node, wishes):
    return ipv4(node) if wishes.addressing == ADDRESSES else dns_name(node)


def _resolve_command(node, wishes):
    return 'ua-overlay status' if wishes.addressing == ADDRESSES else 'getent ahostsv4 ' + dns_name(node)


def _find_master(me, mates, wishes, team):
    """Return (node, None), or (None, the fields that say why there is none)."""
    team_robots = (me,) + mates
    if wishes.master:
        wanted = wishes.master.rstrip('.')
        for node in team_robots:
            if wanted in (node.name, dns_name(node)):
                return node, None
        why = 'No robot of team {} is called {}, the master that was asked for.'.format(team, wishes.master)
        return None, dict(state=NO_MASTER, why=why, next_command='ua-overlay status')
    claimants = [node for node in team_robots if defaults.MASTER_TAG in (node.tags or ())]
    if len(claimants) == 1:
        return claimants[0], None
    if claimants:
        return None, dict(state=TWO_MASTERS, why='Team {} has {} robots tagged as master: {}.'.format(
            team, len(claimants), ', '.join(sorted(node.name for node in claimants))),
            next_command='ua-overlay robot list   # on the server')
    return None, dict(state=NO_MASTER, why='No robot of team {} is its master.'.format(team),
                      next_command='roslaunch ua_overlay overlay.launch master:=ROBOT')
