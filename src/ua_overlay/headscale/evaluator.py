"""Compute the allowed connections twice, from the site's rules and from a policy, and compare them. Pure.

Headscale tests a policy only between tags and users that have nodes. This module checks the whole policy by comparing
two independently derived results: from the rules (`expected`) and from the grants (`allows`).
"""
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.headscale.rules import EVERYTHING, PING, ROS, SSH, SSH_PORT, Ports, Rules
from ua_overlay.protocols import JsonObject

#: One end of a connection as a policy writes it: 'tag:TEAM', 'NAME@' or the relay's tag.
Alias = str
#: (source, target).
Pair = Tuple[Alias, Alias]


class Expectation(NamedTuple):
    """``source`` may (``allowed``) or may not open ``port`` of ``target``; ``protocol`` is 'tcp' or 'udp'."""

    source: Alias
    target: Alias
    protocol: str
    port: int
    allowed: bool


class _Opening(NamedTuple):
    """The part of its target that one rule opens."""

    ports: Ports
    #: Port of the roscore: the target's, or for the reverse direction the source's.
    team_port: int
    #: Only the reverse direction: ROS nodes call their subscribers.
    back: bool


#: A web server, and the local graph of every robot: ports that a rule for ROS must not open.
_OTHER_TCP = (80, defaults.LOCAL_MASTER_PORT)
#: DNS.
_OTHER_UDP = (53,)


def expected(rules: Rules, source: Alias, target: Alias, protocol: str, port: int) -> bool:
    """Return whether the rules allow ``source`` to open ``port`` of ``target``.

    :param protocol: 'tcp', 'udp' or 'icmp', for which ``port`` is ignored.
    """
    return _meant(rules, _openings(rules).get((source, target), ()), protocol, port)


def expectations(rules: Rules, brief: bool = False) -> List[Expectation]:
    """Return every Expectation of a site: each pair of teams, users and the relay, at the ports where rules differ.

    :param brief: use fewer ports for pairs that no rule connects, which keeps the policy's tests short for Headscale
        and for people.
    """
    openings = _openings(rules)
    ports = {port for several in openings.values() for opening in several for port in opening.ports
             if isinstance(port, int)}
    low, high = rules.ephemeral
    edges = {low - 1, low, high} | ({high + 1} if high < 65535 else set())
    whole = {'tcp': sorted(edges | ports | set(_OTHER_TCP) | {SSH_PORT} | {team.port for team in rules.teams.values()}),
             'udp': sorted(edges | set(_OTHER_UDP))}
    some = {'tcp': [SSH_PORT, low], 'udp': [low]}
    aliases = (sorted(_alias(team) for team in rules.teams) + sorted(name + '@' for name in rules.users)
               + [defaults.RELAY_TAG])
    return [Expectation(source, target, protocol, port,
                        _meant(rules, openings.get((source, target), ()), protocol, port))
            for source in aliases for target in aliases for protocol in ('tcp', 'udp')
            for port in (some if brief and (source, target) not in openings else whole)[protocol] if port > 0]


def allows(policy: JsonObject, source: Alias, target: Alias, protocol: str, port: int) -> bool:
    """Return whether the grants of ``policy`` let ``source`` open ``port`` of ``target``.

    tailscaled decides in the same way except for ping: it allows an echo wherever any grant connects the two.
    """
    return any(_covers(entry, protocol, port) for entry in _granted(policy).get((source, target), ()))


def unmet(policy: JsonObject, rules: Rules) -> List[str]:
    """Return the differences between ``policy`` and ``rules`` as sentences; empty if there is none."""
    granted = _granted(policy)
    differences = ['{} {} reach {} on {} port {}, and does{}.'.format(
        each.source, 'should' if each.allowed else 'should not', each.target, each.protocol.upper(), each.port,
        ' not' if each.allowed else '')
        for each in expectations(rules)
        if any(_covers(entry, each.protocol, each.port)
               for entry in granted.get((each.source, each.target), ())) != each.allowed]
    return differences + _undeclared(policy)


def _undeclared(policy: JsonObject) -> List[str]:
    if 'grants' not in policy:
        return ['The policy has no grants at all, which opens everything.']
    used = {alias for grant in policy['grants'] for alias in grant['src'] + grant['dst']}
    used |= {alias for attributes in policy.get('nodeAttrs', ()) for alias in attributes['target']}
    missing = sorted(alias for alias in used if alias.startswith('tag:') and alias not in policy['tagOwners'])
    return ['The policy uses {} without declaring an owner for it.'.format(alias) for alias in missing]


def _granted(policy: JsonObject) -> Dict[Pair, List[str]]:
    """Return the granted `ip` entries of each pair."""
    granted: Dict[Pair, List[str]] = {}
    for grant in policy.get('grants', ()):
        for source in grant['src']:
            for target in grant['dst']:
                granted.setdefault((source, target), []).extend(grant.get('ip', ()))
    return granted


def _openings(rules: Rules) -> Dict[Pair, List[_Opening]]:
    """Return the openings of the rules between each pair."""
    openings: Dict[Pair, List[_Opening]] = {}
    for source, target, ports, port in _edges(rules):
        openings.setdefault((source, target), []).append(_Opening(ports, port, False))
        if ROS in ports:
            openings.setdefault((target, source), []).append(_Opening(ports, port, True))
    return openings


def _meant(rules: Rules, openings: Sequence[_Opening], protocol: str, port: int) -> bool:
    return any(_is_node_port(rules, protocol, port) if opening.back else _opens(rules, opening, protocol, port)
               for opening in openings)


def _edges(rules: Rules) -> Iterator[Tuple[Alias, Alias, Ports, int]]:
    """Yield (source, target, ports, port of the target's roscore) for each opening of a rule."""
    for name, team in rules.teams.items():
        yield _alias(name), _alias(name), team.inside, team.port
    for rule in rules.talk:
        yield _alias(rule.source), _alias(rule.target), rule.what, rules.teams[rule.target].port
    for name, user in rules.users.items():
        for target in user.teams:
            yield name + '@', _alias(target), user.what, rules.teams[target].port


def _alias(team: str) -> Alias:
    return 'tag:' + team


def _opens(rules: Rules, opening: _Opening, protocol: str, port: int) -> bool:
    if EVERYTHING in opening.ports:
        return True
    if protocol == 'icmp':
        return PING in opening.ports
    if ROS in opening.ports and (_is_node_port(rules, protocol, port)
                                 or (protocol, port) == ('tcp', opening.team_port)):
        return True
    return protocol == 'tcp' and (port in opening.ports or SSH in opening.ports and port == SSH_PORT)


def _is_node_port(rules: Rules, protocol: str, port: int) -> bool:
    return protocol in ('tcp', 'udp') and rules.ephemeral[0] <= port <= rules.ephemeral[1]


def _covers(entry: str, protocol: str, port: int) -> bool:
    """Return whether one `ip` entry of a grant (`*`, `tcp:22`, `udp:1-9`, `icmp:*`) covers ``protocol`` and
    ``port``."""
    if entry == '*':
        return True
    name, _, ports = entry.partition(':')
    if name != protocol:
        return False
    low, _, high = ports.partition('-')
    return ports == '*' or int(low) <= port <= int(high or low)
