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
    return _meant(rules, _meanings(rules).get((source, target), ()), protocol, port)


def expectations(rules, brief=False):
    """Every Expectation of a site: each pair of teams, users and the relay, at the ports where rules differ.

    :param brief: of pairs that no rule joins only some ports: what Headscale, and everybody, has to read is shorter.
    """
    meanings = _meanings(rules)
    ports = {each for found in meanings.values() for opened, _, _ in found for each in opened if isinstance(each, int)}
    low, high = rules.ephemeral
    edges = {low - 1, low, high} | ({high + 1} if high < 65535 else set())
    whole = {'tcp': sorted(edges | ports | set(_OTHER_TCP) | {words.SSH_PORT}
                           | {team.port for team in rules.teams.values()}), 'udp': sorted(edges | set(_OTHER_UDP))}
    some = {'tcp': [words.SSH_PORT, low], 'udp': [low]}
    aliases = (sorted(_alias(team) for team in rules.teams) + sorted(name + '@' for name in rules.users)
               + [defaults.RELAY_TAG])
    return [Expectation(source, target, protocol, port,
                        _meant(rules, meanings.get((source, target), ()), protocol, port))
            for source in aliases for target in aliases for protocol in ('tcp', 'udp')
            for port in (some if brief and (source, target) not in meanings else whole)[protocol] if port > 0]


def allows(policy, source, target, protocol, port):
    """Whether the grants of ``policy`` (dict) let ``source`` open ``port`` of ``target``.

    The rule of tailscaled is the same but for ping: it lets an echo through wherever any grant joins the two.
    """
    return any(_covers(each, protocol, port) for each in _opened(policy).get((source, target), ()))


def unmet(policy, rules):
    """Sentences about what ``policy`` does otherwise than ``rules`` mean; empty when it is right."""
    opened = _opened(policy)
    found = ['{} {} reach {} on {} port {}, and does{}.'.format(
        each.source, 'should' if each.allowed else 'should not', each.target, each.protocol.upper(), each.port,
        ' not' if each.allowed else '')
        for each in expectations(rules)
        if any(_covers(entry, each.protocol, each.port)
               for entry in opened.get((each.source, each.target), ())) != each.allowed]
    return found + _undeclared(policy)


def _undeclared(policy):
    if 'grants' not in policy:
        return ['The policy has no grants at all, which opens everything.']
    used = {alias for grant in policy['grants'] for alias in grant['src'] + grant['dst']}
    used |= {alias for attributes in policy.get('nodeAttrs', ()) for alias in attributes['target']}
    missing = sorted(alias for alias in used if alias.startswith('tag:') and alias not in policy['tagOwners'])
    return ['{} is used, and no owner is declared for it.'.format(alias) for alias in missing]


def _opened(policy):
    """dict (source, target) -> list of the `ip` entries that are granted."""
    found = {}
    for grant in policy.get('grants', ()):
        for source in grant['src']:
            for target in grant['dst']:
                found.setdefault((source, target), []).extend(grant.get('ip', ()))
    return found


def _meanings(rules):
    """dict (source, target) -> list of (ports, port of the target's roscore, whether it is only the way back)."""
    found = {}
    for source, target, ports, port in _edges(rules):
        found.setdefault((source, target), []).append((ports, port, False))
        if words.ROS in ports:
            found.setdefault((target, source), []).append((ports, port, True))
    return found


def _meant(rules, meanings, protocol, port):
    return any(_is_node_port(rules, protocol, port) if back else _opens(rules, ports, protocol, port, team_port)
               for ports, team_port, back in meanings)


def _edges(rules):
    """(source alias, target alias, ports, port of the target's roscore) of everything that is opened."""
    for name, team in rules.teams.items():
        yield _alias(name), _alias(name), team.inside, team.port
    for rule in rules.talk:
        yield _alias(rule.source), _alias(rule.target), rule.what, rules.teams[rule.target].port
    for name, user in rules.users.items():
        for team in user.teams:
            yield name + '@', _alias(team), user.what, rules.teams[team].port


def _alias(team):
    return 'tag:' + team


def _opens(rules, ports, protocol, port, team_port):
    if words.EVERYTHING in ports:
        return True
    if protocol == 'icmp':
        return words.PING in ports
    if words.ROS in ports and (_is_node_port(rules, protocol, port) or (protocol, port) == ('tcp', team_port)):
        return True
    return protocol == 'tcp' and (port in ports or words.SSH in ports and port == words.SSH_PORT)


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
