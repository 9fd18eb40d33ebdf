"""Headscale's policy from the rules of a site: pure functions, and its JSON.

Teams are tags, users are Headscale's. Only what the site's file opens is open; the site's peer relay carries traffic
for all and can be reached by none.
"""
import hashlib
import json

from ua_overlay import defaults
from ua_overlay.headscale import rules as words
from ua_overlay.headscale.evaluator import expectations
from ua_overlay.tags import team_facts

#: Begins the name of a tag that no node has and that differs from policy to policy: Headscale says which tags it
#: knows, so the one in force can be read back (see `enforce`). Its GET /policy is no such thing: it reads the file.
MARKER = 'tag:' + defaults.MARKER_TEAM
#: What robots and laptops are told to leave alone. `disable-captive-portal-detection`: without it a machine that loses
#: its server asks hosts of Tailscale Inc. whether it sits behind a captive portal.
ATTRIBUTES = ('disable-captive-portal-detection', 'disable-web-client')
#: The same for all but the site's relays: nobody else can be made one.
NO_RELAY = 'disable-relay-server'
#: The machines of all users. Their names are only in grants of their own: a name that Headscale does not know yet
#: makes it drop the grant that it is in, and refuse a policy, even at its start, that has it in nodeAttrs.
PEOPLE = 'autogroup:member'


def team_tag(team):
    """`iris` -> `tag:iris`."""
    return 'tag:' + team


def headscale_user(name):
    """`ana` -> `ana@`: how a policy writes a user."""
    return name + '@'


def make_policy(rules, present=()):
    """The policy as a dict (policy v2 of Headscale 0.29).

    :param rules: rules.Rules.
    :param present: aliases (`tag:iris`, `ana@`) that at least one node has. A test that names another one fails, and
        with it the whole policy, so only these are tested by Headscale.
    :returns: dict with `tagOwners` (owned by nobody: only the server's administrator gives tags away), `grants`,
        `nodeAttrs` and, when somebody is present, `tests`. Without rules `grants` is empty, which denies everything; a
        policy without it would allow all.
    """
    teams = [team_tag(name) for name in sorted(rules.teams)]
    people = [PEOPLE] if rules.users else []
    grants = _grants(rules)
    for sources in (teams, people):
        if sources:
            grants.append({'src': sources, 'dst': [defaults.RELAY_TAG], 'app': {'tailscale.com/cap/relay': [{}]}})
    policy = {
        'tagOwners': {tag: [] for tag in teams + [defaults.MASTER_TAG, defaults.RELAY_TAG]},
        'grants': grants,
        'nodeAttrs': [{'target': ['*'], 'attr': list(ATTRIBUTES)}],
    }
    if teams:
        policy['nodeAttrs'].append({'target': teams + people, 'attr': [NO_RELAY]})
    # In the network map, so that a robot that is moved to another team, or whose team changes, follows by itself.
    policy['nodeAttrs'] += [{'target': [team_tag(name)],
                             'attr': team_facts(rules.teams[name].port, rules.teams[name].addressing)}
                            for name in sorted(rules.teams)]
    tests = _tests(rules, frozenset(present))
    if tests:
        policy['tests'] = tests
    policy['tagOwners'][marker(policy)] = []
    return policy


def marker(policy):
    """The tag by which ``policy`` can be told from every other: of what it does, so without its tests."""
    owners = {tag: owners for tag, owners in policy['tagOwners'].items() if not tag.startswith(MARKER)}
    text = json.dumps(dict(policy, tagOwners=owners, tests=[]), sort_keys=True)
    return MARKER + hashlib.sha256(text.encode('utf-8')).hexdigest()[:16]


def present_aliases(nodes):
    """The tags and users (`ana@`) that ``nodes`` (list of rest.Node) have, as a set."""
    found = {tag for node in nodes for tag in node.tags}
    return found | {headscale_user(node.user) for node in nodes if node.user and not node.tags}


def _grants(rules):
    grants = []
    for name in sorted(rules.teams):
        team = rules.teams[name]
        grants += _both_ways(rules, team_tag(name), team_tag(name), team.inside, team.port)
    for rule in rules.talk:
        grants += _both_ways(rules, team_tag(rule.source), team_tag(rule.target), rule.what,
                             rules.teams[rule.target].port)
    for name in sorted(rules.users):
        for team in rules.users[name].teams:
            grants += _both_ways(rules, headscale_user(name), team_tag(team), rules.users[name].what,
                                 rules.teams[team].port)
    return grants


def _both_ways(rules, source, target, ports, port):
    """Grants from ``source`` to ``target``, and for ROS the way back."""
    nodes = ['{}:{}-{}'.format(protocol, *rules.ephemeral) for protocol in ('tcp', 'udp')]
    opened = []
    if words.EVERYTHING in ports:
        opened = ['*']
    else:
        if words.ROS in ports:
            opened += ['tcp:{}'.format(port)] + nodes
        if words.SSH in ports:
            opened.append('tcp:{}'.format(words.SSH_PORT))
        if words.PING in ports:
            opened += ['icmp:*', 'ipv6-icmp:*']
        opened += ['tcp:{}'.format(each) for each in ports if isinstance(each, int)]
    grants = [{'src': [source], 'dst': [target], 'ip': opened}] if opened else []
    if words.ROS in ports and source != target:
        grants.append({'src': [target], 'dst': [source], 'ip': nodes})
    return grants


def _tests(rules, present):
    """What Headscale itself can test now: those expectations whose two ends have nodes."""
    grouped = {}
    if not present:
        return []
    for each in expectations(rules, brief=True):
        if each.source in present and each.target in present:
            entry = grouped.setdefault((each.source, each.protocol), {'accept': [], 'deny': []})
            entry['accept' if each.allowed else 'deny'].append('{}:{}'.format(each.target, each.port))
    return [dict({'src': source, 'proto': protocol}, **{key: value for key, value in entry.items() if value})
            for (source, protocol), entry in sorted(grouped.items())]


def dump_policy(policy):
    """The policy as JSON text, the same for the same policy."""
    return json.dumps(policy, indent=2, sort_keys=True) + '\n'
