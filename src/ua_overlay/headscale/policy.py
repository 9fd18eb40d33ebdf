"""Generate Headscale's policy from the rules of a site. Pure.

Teams are tags, users are Headscale's users. The policy opens what site.yaml opens and nothing else. The site's peer
relay carries traffic for all nodes, but no node may connect to it.
"""
import hashlib
import json
from typing import Any, Collection, Dict, Iterable, List, Set, Tuple

from ua_overlay import defaults
from ua_overlay.headscale.evaluator import Alias, expectations
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rules import EVERYTHING, PING, ROS, SSH, SSH_PORT, Ports, Rules
from ua_overlay.protocols import JsonObject
from ua_overlay.system import foreign_json
from ua_overlay.tags import CGNAT_LANS, memory_fact, team_facts

#: Prefix of a tag that no node has and that differs between policies. Headscale reports whether it knows a tag, which
#: identifies the policy in force (site.policy_applier). GET /policy cannot do that: it reads the file.
MARKER = 'tag:' + defaults.MARKER_TEAM
#: Features that are disabled on robots and laptops. `disable-captive-portal-detection`: without it a machine that loses
#: its server asks hosts of Tailscale Inc. whether it is behind a captive portal.
ATTRIBUTES = ('disable-captive-portal-detection', 'disable-web-client')
#: Has tailscaled keep its network map on disk: a robot that starts while the server is dead has its address, its peers
#: and their names at once (tailscale.com v1.102.5, tailcfg.NodeAttrCacheNetworkMaps). Relays keep none: a tailscaled
#: that starts with a map does not ask for a login when the server has removed its node (ipnlocal: nextStateLocked), so
#: a relay would not use the key of its new enrolment.
KEEP_MAP = 'cache-network-maps'
#: Disabled on all nodes except the site's relays, so that no robot or laptop can become a relay.
NO_RELAY = 'disable-relay-server'
#: The machines of all users. A user's name appears only in separate grants: if Headscale does not know the name yet, it
#: drops the whole grant, and it refuses a policy (even at its start) with such a name in nodeAttrs.
ALL_USERS = 'autogroup:member'


def team_tag(team: str) -> Alias:
    """Return the tag of a team: 'iris' -> 'tag:iris'."""
    return 'tag:' + team


def headscale_user(name: str) -> Alias:
    """Return a user's name as a policy writes it: 'ana' -> 'ana@'."""
    return name + '@'


def make_policy(rules: Rules, present: Collection[Alias] = ()) -> JsonObject:
    """Return the policy (policy v2 of Headscale 0.29).

    :param present: the tags and users that at least one node has. Headscale tests only these: a test that names another
        one fails, and the whole policy with it.
    :returns: dict with `tagOwners` (without owners: only the server's administrator assigns tags), `grants`,
        `nodeAttrs` and, when ``present`` is not empty, `tests`. Without rules `grants` is empty, which denies
        everything; a policy without `grants` would allow everything.
    """
    teams = [team_tag(name) for name in sorted(rules.teams)]
    users = [ALL_USERS] if rules.users else []
    grants = _grants(rules)
    for sources in (teams, users):
        if sources:
            grants.append({'src': sources, 'dst': [defaults.RELAY_TAG], 'app': {'tailscale.com/cap/relay': [{}]}})
    attributes: List[JsonObject] = [{'target': ['*'], 'attr': list(ATTRIBUTES) + (
        [CGNAT_LANS] if rules.cgnat_lans else [])}]
    if teams:
        attributes.append({'target': teams + users, 'attr': [NO_RELAY, KEEP_MAP, memory_fact(rules.memory)]})
    # Sent in the network map, so that a robot adapts when it moves to another team or its team changes.
    attributes += [{'target': [team_tag(name)],
                    'attr': team_facts(rules.teams[name].port, rules.teams[name].addressing)}
                   for name in sorted(rules.teams)]
    policy: JsonObject = {
        'tagOwners': {tag: [] for tag in teams + [defaults.MASTER_TAG, defaults.RELAY_TAG]},
        'grants': grants,
        'nodeAttrs': attributes,
    }
    tests = _tests(rules, frozenset(present))
    if tests:
        policy['tests'] = tests
    policy['tagOwners'][marker(policy)] = []
    return policy


def marker(policy: JsonObject) -> Alias:
    """Return the tag that identifies ``policy`` without its tests."""
    owners = {tag: owners for tag, owners in policy['tagOwners'].items() if not tag.startswith(MARKER)}
    text = json.dumps(dict(policy, tagOwners=owners, tests=[]), sort_keys=True)
    return MARKER + hashlib.sha256(text.encode('utf-8')).hexdigest()[:16]


def marker_of_text(text: str) -> Alias:
    """Return the marker of a policy as :func:`dump_policy` writes it; '' if ``text`` is none, as after an edit."""
    try:
        policy = foreign_json.parse_object(text)
        found = marker(policy)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ''
    return found if found in policy['tagOwners'] else ''


def present_aliases(nodes: Iterable[Node]) -> Set[Alias]:
    """Return the tags and users ('ana@') that ``nodes`` have."""
    aliases: Set[Alias] = set()
    for node in nodes:
        aliases |= set(node.tags)
        if node.user and not node.tags:
            aliases.add(headscale_user(node.user))
    return aliases


def _grants(rules: Rules) -> List[JsonObject]:
    grants: List[JsonObject] = []
    for name in sorted(rules.teams):
        team = rules.teams[name]
        grants += _both_ways(rules, team_tag(name), team_tag(name), team.inside, team.port)
    for rule in rules.talk:
        grants += _both_ways(rules, team_tag(rule.source), team_tag(rule.target), rule.what,
                             rules.teams[rule.target].port)
    for name in sorted(rules.users):
        for target in rules.users[name].teams:
            grants += _both_ways(rules, headscale_user(name), team_tag(target), rules.users[name].what,
                                 rules.teams[target].port)
    return grants


def _both_ways(rules: Rules, source: Alias, target: Alias, ports: Ports, port: int) -> List[JsonObject]:
    """Return the grants from ``source`` to ``target``, and for ROS those of the reverse direction.

    :param port: of the target's roscore.
    """
    nodes = ['{}:{}-{}'.format(protocol, *rules.ephemeral) for protocol in ('tcp', 'udp')]
    entries: List[str] = []
    if EVERYTHING in ports:
        entries = ['*']
    else:
        if ROS in ports:
            entries += ['tcp:{}'.format(port)] + nodes
        if SSH in ports:
            entries.append('tcp:{}'.format(SSH_PORT))
        if PING in ports:
            entries += ['icmp:*', 'ipv6-icmp:*']
        entries += ['tcp:{}'.format(each) for each in ports if isinstance(each, int)]
    grants: List[JsonObject] = [{'src': [source], 'dst': [target], 'ip': entries}] if entries else []
    if ROS in ports and source != target:
        grants.append({'src': [target], 'dst': [source], 'ip': nodes})
    return grants


def _tests(rules: Rules, present: Collection[Alias]) -> List[JsonObject]:
    """Return the tests that Headscale can run now: the expectations whose two ends have nodes."""
    if not present:
        return []
    grouped: Dict[Tuple[Alias, str], Dict[str, List[str]]] = {}
    for each in expectations(rules, brief=True):
        if each.source in present and each.target in present:
            entry = grouped.setdefault((each.source, each.protocol), {'accept': [], 'deny': []})
            entry['accept' if each.allowed else 'deny'].append('{}:{}'.format(each.target, each.port))
    tests: List[JsonObject] = []
    for (source, protocol), entry in sorted(grouped.items()):
        test: Dict[str, Any] = {'src': source, 'proto': protocol}
        test.update({key: targets for key, targets in entry.items() if targets})
        tests.append(test)
    return tests


def dump_policy(policy: JsonObject) -> str:
    """Return the policy as JSON text, always the same text for the same policy."""
    return json.dumps(policy, indent=2, sort_keys=True) + '\n'
