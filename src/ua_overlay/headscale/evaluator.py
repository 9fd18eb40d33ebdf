"""Who reaches whom, twice over: what the site's rules mean, and what a policy lets through. Pure.

Headscale tests a policy only between tags and users that have nodes. This module checks all of it, by comparing two
things that were made apart from each other: the meaning of the rules (`expected`) and the grants (`allows`).
"""
from collections import namedtuple

from ua_overlay import defaults
from ua_overlay.headscale import rules as words

#: ``source`` may (``allowed``) or may not open ``port`` of ``target``; both are aliases of a policy (`tag:iris`,
#: `ana@`); ``protocol`` is 'tcp' or 'udp'.
Expectation = namedtuple('Expectation', 'source target protocol port allowed')

#: The local graph of every robot, a web server, DNS: what a rule for ROS must not open.
_OTHER_TCP = (80, 11311)
_OTHER_UDP = (53,)


def expected(rules, source, target, protocol, port):
    """Whether the rules mean that ``source`` may open ``port`` of ``target``.

    :param source: alias: `tag:TEAM`, `NAME@`, or the relay's tag.
    :param port: number; without meaning for protocol 'icmp'.
    """
    for here, there, reach, team_port in _edges(rules):
        if (source, target) == (here, there) and _opens(rules, reach, protocol, port, team_port):
            return True
        if (source, target) == (there, here) and words.ROS in reach and _is_node_port(rules, protocol, port):
            return True
    return False


def expectations(rules):
    """Every Expectation of a site: each pair of teams, operators and the relay, at the ports where rules differ."""
    ports = {each for _, _, reach, _ in _edges(rules) for each in reach if isinstance(each, int)}
    low, high = rules.ephemeral
    edges = {low - 1, low, high} | ({high + 1} if high < 65535 else set())
    tcp = sorted(edges | ports | set(_OTHER_TCP) | {words.SSH_PORT} | {team.port for team in rules.teams.values()})
    udp = sorted(edges | set(_OTHER_UDP))
    aliases = sorted(_alias(team) for team in rules.teams) + sorted(name + '@' for name in rules.operators)
    return [Expectation(source, target, protocol, port, expected(rules, source, target, protocol, port))
            for source in aliases + [defaults.RELAY_TAG] for target in aliases + [defaults.RELAY_TAG]
            for protocol, numbers in (('tcp', tcp), ('udp', udp)) for port in numbers if port > 0]


def allows(policy, source, target, protocol, port):
    """Whether the grants of ``policy`` (dict) let ``source`` open ``port`` of ``target``.

    The rule of tailscaled is the same but for ping: it lets an echo through wherever any grant joins the two.
    """
    return any(source in grant['src'] and target in grant['dst'] and _covers(each, protocol, port)
               for grant in policy.get('grants', ()) for each in grant.get('ip', ()))


def unmet(policy, rules):
    """Sentences about what ``policy`` does otherwise than ``rules`` mean; empty when it is right."""
    found = ['{} {} reach {} on {} port {}, and does{}.'.format(
        each.source, 'should' if each.allowed else 'should not', each.target, each.protocol.upper(), each.port,
        ' not' if each.allowed else '')
        for each in expectations(rules)
        if allows(policy, each.source, each.target, each.protocol, each.port) != each.allowed]
    return found + _undeclared(policy)


def _undeclared(policy):
    if 'grants' not in policy:
        return ['The policy has no grants at all, which opens everything.']
    used = {alias for grant in policy['grants'] for alias in grant['src'] + grant['dst']}
    used |= {alias for attributes in policy.get('nodeAttrs', ()) for alias in attributes['target']}
    missing = sorted(alias for alias in used if alias.startswith('tag:') and alias not in policy['tagOwners'])
    return ['{} is used, and no owner is declared for it.'.format(alias) for alias in missing]


def _edges(rules):
    """(source alias, target alias, reach, port of the target's roscore) of everything that is opened."""
    for name, team in rules.teams.items():
        yield _alias(name), _alias(name), team.inside, team.port
    for rule in rules.talk:
        yield _alias(rule.source), _alias(rule.target), rule.what, rules.teams[rule.target].port
    for name, operator in rules.operators.items():
        for team in operator.teams:
            yield name + '@', _alias(team), operator.what, rules.teams[team].port


def _alias(team):
    return 'tag:' + team


def _opens(rules, reach, protocol, port, team_port):
    if words.EVERYTHING in reach:
        return True
    if protocol == 'icmp':
        return words.PING in reach
    if words.ROS in reach and (_is_node_port(rules, protocol, port) or (protocol, port) == ('tcp', team_port)):
        return True
    return protocol == 'tcp' and (port in reach or words.SSH in reach and port == words.SSH_PORT)


def _is_node_port(rules, protocol, port):
    return protocol in ('tcp', 'udp') and rules.ephemeral[0] <= port <= rules.ephemeral[1]


def _covers(opened, protocol, port):
    """Whether one `ip` entry of a grant (`*`, `tcp:22`, `udp:1-9`, `icmp:*`) covers ``protocol`` and ``port``."""
    if opened == '*':
        return True
    name, _, ports = opened.partition(':')
    if name != protocol:
        return False
    low, _, high = ports.partition('-')
    return ports == '*' or int(low) <= port <= int(high or low)
