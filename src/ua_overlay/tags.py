"""Interpret a node's tags and attributes: its team, and the settings that the site sends to all robots of a team. Pure.

A site gives a robot its team's tag ('tag:iris'), and one more when it is the team's master. Port and addressing of the
team come as node attributes of the network map ('ua-overlay:team-port=11312'), and so does the time for which a robot
may remember its team while the server is away ('ua-overlay:memory=86400').
"""
from typing import Any, Dict, Iterable, List, Optional

from ua_overlay.defaults import ADDRESSING, ADMISSION_MEMORY, ADMISSION_MEMORY_RANGE, RESERVED_TEAMS
from ua_overlay.digits import is_number

PREFIX = 'tag:'
#: Prefix of the node attributes with which a site sends the common settings of a team to its robots.
FACT = 'ua-overlay:'
#: Node attribute that makes tailscaled accept packets from its own address range on other interfaces (tailscale 1.98:
#: tailcfg.NodeAttrDisableLinuxCGNATDropRule). Without it the packet filter of tailscaled drops them, against machines
#: on a robot's network that pose as robots.
CGNAT_LANS = 'disable-linux-cgnat-drop-rule'
#: The user that Headscale assigns to nodes with tags; no person has this name.
TAGGED = 'tagged-devices'


def team_of(tags: Optional[Iterable[str]], preferred: str = '') -> str:
    """Return the team among ``tags`` ('tag:iris' -> 'iris'), or '' when there is none.

    :param preferred: a team that wins when its tag is among them.
    """
    teams = sorted(tag[len(PREFIX):] for tag in tags or () if tag.startswith(PREFIX))
    teams = [team for team in teams if team not in RESERVED_TEAMS]
    return preferred if preferred in teams else teams[0] if teams else ''


def belonging(tags: Optional[Iterable[str]], user: str = '', preferred: str = '') -> str:
    """Return where a node belongs: its team ('iris'), 'ana@' for an untagged machine of the user ana, or ''.

    :param user: name of the node's user, '' for none.
    """
    team = team_of(tags, preferred)
    return team or (user + '@' if user and not tags and user != TAGGED else '')


def describe_belonging(belongs: str) -> str:
    """Format a value of :func:`belonging` for people: 'team iris', 'the group of user ana'."""
    return 'the group of user ' + belongs[:-1] if belongs.endswith('@') else 'team ' + belongs


def team_facts(port: int, addressing: str) -> List[str]:
    """Return the node attributes with which a site sends a team's port and addressing to its robots."""
    return ['{}team-port={}'.format(FACT, port), '{}addressing={}'.format(FACT, addressing)]


def memory_fact(seconds: int) -> str:
    """Return the node attribute with which a site tells its robots how long they may remember their team."""
    return '{}memory={}'.format(FACT, seconds)


def memory_of(attributes: Optional[Iterable[str]]) -> int:
    """Return for how many seconds this robot may remember its team while the server is away; the default of a site if
    ``attributes`` (Self.CapMap) do not say, or say what no site can have."""
    text = _facts(attributes).get('memory', '')
    shortest, longest = ADMISSION_MEMORY_RANGE
    return int(text) if is_number(text, 7) and shortest <= int(text) <= longest else ADMISSION_MEMORY


def facts_of(attributes: Optional[Iterable[str]]) -> Dict[str, Any]:
    """Return the port and addressing of this robot's team: team_port (int) and addressing, where they are valid.

    :param attributes: names of the node's attributes (Self.CapMap).
    """
    pairs = _facts(attributes)
    port, addressing = pairs.get('team-port', ''), pairs.get('addressing', '')
    facts: Dict[str, Any] = {}
    if is_number(port, 5) and 0 < int(port) < 65536:
        facts['team_port'] = int(port)
    if addressing in ADDRESSING:
        facts['addressing'] = addressing
    return facts


def _facts(attributes: Optional[Iterable[str]]) -> Dict[str, str]:
    """Return what the site sends in node attributes: name -> value, not checked."""
    return dict(each[len(FACT):].split('=', 1) for each in attributes or () if each.startswith(FACT) and '=' in each)


def team_on_map(tags: Optional[Iterable[str]], attributes: Optional[Iterable[str]], preferred: str) -> Dict[str, Any]:
    """Return the team settings in the network map: `team` and those of :func:`facts_of`; {} without a team.

    The map overrides the settings that a robot keeps from its invitation: since then the server may have moved the
    robot to another team, or changed the team.

    :param preferred: the team in the robot's settings.
    """
    team = team_of(tags, preferred)
    return dict(facts_of(attributes), team=team) if team else {}
