"""The evaluator: a policy opens exactly what the rules allow, and a difference is reported."""
import copy
import itertools

import pytest

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.headscale.evaluator import allows, expected, unmet
from ua_overlay.headscale.policy import make_policy
from ua_overlay.headscale.rules import Rules, Talk, Team, User

PORTS = [(), ('everything',), ('ros',), ('ssh',), ('ping',), (8080,), ('ros', 'ssh', 'ping', 443)]
RULES = Rules({'iris': Team('iris', inside=('ros', 'ping')), 'blue': Team('blue', 11400), 'rose': Team('rose')},
              (Talk('blue', 'iris', ('ros', 'ssh')),), {'ana': User('ana', ('iris',))})


@pytest.mark.parametrize('inside, between, person', list(itertools.product(PORTS, PORTS, PORTS[:3])))
def test_the_generated_policy_matches_the_rules(inside, between, person):
    rules = Rules({'iris': Team('iris', 11311, inside=inside), 'blue': Team('blue')},
                  (Talk('iris', 'blue', between),), {'ana': User('ana', ('blue',), person)}, (1024, 65535))
    assert unmet(make_policy(rules), rules) == []


@pytest.mark.parametrize('source, target, protocol, port, answer', [
    ('tag:iris', 'tag:iris', 'tcp', TEAM_PORT, True), ('tag:iris', 'tag:iris', 'tcp', 22, False),
    ('tag:iris', 'tag:iris', 'icmp', 0, True), ('tag:blue', 'tag:blue', 'tcp', 22, True),
    ('tag:blue', 'tag:iris', 'tcp', TEAM_PORT, True), ('tag:blue', 'tag:iris', 'tcp', 22, True),
    ('tag:blue', 'tag:iris', 'udp', 22, False), ('tag:blue', 'tag:iris', 'tcp', 11311, False),
    ('tag:blue', 'tag:iris', 'icmp', 0, False), ('tag:iris', 'tag:blue', 'tcp', 11400, False),
    ('tag:iris', 'tag:blue', 'udp', 40000, True), ('tag:rose', 'tag:iris', 'tcp', TEAM_PORT, False),
    ('ana@', 'tag:iris', 'tcp', 9, True), ('ana@', 'tag:blue', 'tcp', 11400, False),
    ('tag:iris', 'ana@', 'tcp', 40000, True), ('tag:iris', 'ana@', 'tcp', 22, False),
    ('tag:iris', 'tag:relay', 'udp', 40000, False), ('tag:relay', 'tag:iris', 'tcp', 22, False)])
def test_reachability_between_nodes(source, target, protocol, port, answer):
    assert expected(RULES, source, target, protocol, port) == answer
    assert allows(make_policy(RULES), source, target, protocol, port) == answer


@pytest.mark.parametrize('spoil, words', [
    (lambda made: made['grants'].append({'src': ['tag:rose'], 'dst': ['tag:iris'], 'ip': ['tcp:22']}),
     'tag:rose should not reach tag:iris on TCP port 22, and does.'),
    (lambda made: made['grants'].append({'src': ['tag:relay'], 'dst': ['tag:iris'], 'ip': ['*']}), 'tag:relay should'),
    (lambda made: made['grants'].pop(0), 'should reach'),
    (lambda made: made['grants'][0].update(ip=['tcp:1-60998']), '60999'),
    (lambda made: made['grants'][0].update(ip=['udp:*']), 'TCP'),
    (lambda made: made['tagOwners'].pop('tag:iris'), 'uses tag:iris without'),
    (lambda made: made['nodeAttrs'].append({'target': ['tag:ghost'], 'attr': []}), 'uses tag:ghost'),
])
def test_a_wrong_policy_is_reported(spoil, words):
    made = copy.deepcopy(make_policy(RULES))
    spoil(made)
    assert any(words in sentence for sentence in unmet(made, RULES))


def test_a_policy_without_grants_opens_everything():
    made = make_policy(Rules())
    del made['grants']
    assert unmet(made, Rules()) == ['The policy has no grants at all, which opens everything.']
