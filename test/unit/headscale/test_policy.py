"""The policy that is generated from the rules of a site."""
import json

import pytest

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.headscale import policy
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rules import Rules, Talk, Team, User
from ua_overlay.tags import CGNAT_LANS


def teams(*names, **fields):
    return {name: Team(name, **fields) for name in names}


def ip_grants(rules):
    return [(grant['src'], grant['dst'], grant['ip']) for grant in policy.make_policy(rules)['grants']
            if 'ip' in grant]


NODES = ['tcp:32768-60999', 'udp:32768-60999']


def test_a_team_reaches_only_itself_on_every_port():
    assert ip_grants(Rules(teams('iris', 'blue'))) == [
        (['tag:blue'], ['tag:blue'], ['*']), (['tag:iris'], ['tag:iris'], ['*'])]


def test_a_team_that_opens_only_what_ros_needs():
    rules = Rules(teams('iris', inside=('ros', 'ssh', 'ping', 8765)))
    assert ip_grants(rules) == [(['tag:iris'], ['tag:iris'], ['tcp:{}'.format(TEAM_PORT)] + NODES + [
        'tcp:22', 'icmp:*', 'ipv6-icmp:*', 'tcp:8765'])]


def test_a_team_without_open_ports():
    assert ip_grants(Rules(teams('iris', inside=()))) == []


def test_ros_between_teams_opens_the_roscore_and_node_callbacks():
    rules = Rules(teams('iris', 'blue', inside=()), (Talk('blue', 'iris', ('ros',)),), ephemeral=(40000, 50000))
    nodes = ['tcp:40000-50000', 'udp:40000-50000']
    assert ip_grants(rules) == [(['tag:blue'], ['tag:iris'], ['tcp:{}'.format(TEAM_PORT)] + nodes),
                                (['tag:iris'], ['tag:blue'], nodes)]


@pytest.mark.parametrize('what, opened', [(('ssh',), ['tcp:22']), ((8080,), ['tcp:8080']),
                                          (('ping',), ['icmp:*', 'ipv6-icmp:*']), (('everything',), ['*'])])
def test_ports_other_than_ros_open_in_one_direction(what, opened):
    rules = Rules(teams('iris', 'blue', inside=()), (Talk('blue', 'iris', what),))
    assert ip_grants(rules) == [(['tag:blue'], ['tag:iris'], opened)]


def test_a_user_reaches_the_named_teams_and_nodes_can_call_back():
    rules = Rules(teams('iris', 'blue', inside=()), (), {'ana': User('ana', ('iris',))})
    assert ip_grants(rules) == [(['ana@'], ['tag:iris'], ['*']), (['tag:iris'], ['ana@'], NODES)]


def test_the_relay_serves_every_node_and_is_otherwise_unreachable():
    rules = Rules(teams('iris', 'blue'), (), {'ana': User('ana', ('iris',))})
    grants = [grant for grant in policy.make_policy(rules)['grants'] if 'tag:relay' in grant['dst']]
    relay = {'dst': ['tag:relay'], 'app': {'tailscale.com/cap/relay': [{}]}}
    assert grants == [dict(relay, src=['tag:blue', 'tag:iris']), dict(relay, src=['autogroup:member'])]
    assert len([grant for grant in policy.make_policy(Rules(teams('iris')))['grants'] if 'app' in grant]) == 1


def test_every_tag_is_declared_without_owners():
    made = policy.make_policy(Rules(teams('iris'), (), {'ana': User('ana', ('iris',))}))
    assert made['tagOwners'] == {'tag:iris': [], 'tag:relay': [], 'tag:ros-master': [], policy.marker(made): []}


def test_without_teams_everything_is_denied():
    # Headscale allows all when there is neither "acls" nor "grants".
    assert policy.make_policy(Rules())['grants'] == []


def test_disabled_client_features():
    made = policy.make_policy(Rules(teams('iris'), (), {'ana': User('ana', ('iris',))}))
    assert made['nodeAttrs'] == [
        {'target': ['*'], 'attr': ['disable-captive-portal-detection', 'disable-web-client']},
        {'target': ['tag:iris', 'autogroup:member'],
         'attr': ['disable-relay-server', 'cache-network-maps', 'ua-overlay:memory=86400']},
        {'target': ['tag:iris'], 'attr': ['ua-overlay:team-port={}'.format(TEAM_PORT), 'ua-overlay:addressing=names']}]


def test_an_unknown_user_does_not_affect_others():
    """Headscale drops a grant that names an unknown user, and refuses such nodeAttrs."""
    made = policy.make_policy(Rules(teams('iris', 'blue'), (Talk('blue', 'iris'),),
                                    {'ana': User('ana', ('iris',))}))
    assert not any('ana@' in attributes['target'] for attributes in made['nodeAttrs'])
    assert all(grant['src'] == ['ana@'] for grant in made['grants'] if 'ana@' in grant['src'])
    assert all(grant['dst'] == ['ana@'] for grant in made['grants'] if 'ana@' in grant['dst'])


def test_only_aliases_with_nodes_are_tested():
    rules = Rules(teams('iris', 'blue'), (Talk('blue', 'iris'),), {'ana': User('ana', ('iris',))})
    assert 'tests' not in policy.make_policy(rules)
    alone = policy.make_policy(rules, {'tag:iris', 'tag:ros-master'})['tests']
    assert {test['src'] for test in alone} == {'tag:iris'} and 'tag:iris:22' in alone[0]['accept']
    assert not any('blue' in json.dumps(test) or 'ana' in json.dumps(test) for test in alone)
    both = policy.make_policy(rules, {'tag:iris', 'tag:blue', 'tag:relay'})['tests']
    of_blue = next(test for test in both if (test['src'], test['proto']) == ('tag:blue', 'tcp'))
    assert {'tag:iris:{}'.format(TEAM_PORT), 'tag:iris:32768', 'tag:iris:60999'} <= set(of_blue['accept'])
    assert {'tag:iris:22', 'tag:iris:61000', 'tag:iris:32767', 'tag:relay:22'} <= set(of_blue['deny'])
    back = next(test for test in both if (test['src'], test['proto']) == ('tag:iris', 'tcp'))
    assert 'tag:blue:{}'.format(TEAM_PORT) in back['deny'] and 'tag:blue:40000' not in back['deny']
    assert any('ana@:22' in test.get('deny', ()) for test in policy.make_policy(rules, {'tag:iris', 'ana@'})['tests'])


def test_the_marker_depends_on_rules_not_on_present_nodes():
    rules = Rules(teams('iris'))
    first = policy.marker(policy.make_policy(rules))
    assert first == policy.marker(policy.make_policy(rules, {'tag:iris'}))
    assert first != policy.marker(policy.make_policy(Rules(teams('iris', inside=('ros',)))))
    assert first != policy.marker(policy.make_policy(Rules(teams('iris'), memory=3600)))
    assert first.startswith('tag:policy-') and len(first) == len('tag:policy-') + 16


def test_present_aliases():
    def node(name, tags, user=''):
        return Node(name, name, name, (), tags, True, None, None, None, user)

    assert policy.present_aliases([node('dev-1', ('tag:iris', 'tag:ros-master')), node('laptop', (), 'ana')]) == {
        'tag:iris', 'tag:ros-master', 'ana@'}


def test_the_text_is_json_and_does_not_depend_on_the_order_of_teams():
    first, second = (policy.make_policy(Rules(teams(*names))) for names in (('a', 'b'), ('b', 'a')))
    assert json.loads(policy.dump_policy(first)) == second
    assert policy.dump_policy(first) == policy.dump_policy(second)


def test_the_tag_of_a_team():
    assert policy.team_tag('iris') == 'tag:iris'


@pytest.mark.fault('case 18', 'The own network of a robot (LTE, another VPN) lies inside 100.64.0.0/10',
                   behaviour='doctor names the conflict; `policy cgnat-lans on` has tailscaled accept that range there',
                   reported='at once: doctor', recovery='within seconds after the command', lost='nothing')
def test_networks_inside_the_overlays_range_are_a_switch_of_the_site():
    off, on = (policy.make_policy(Rules({'iris': Team('iris')}, cgnat_lans=switch)) for switch in (False, True))
    attributes = [next(set(each['attr']) for each in made['nodeAttrs'] if each['target'] == ['*'])
                  for made in (off, on)]
    assert attributes[1] - attributes[0] == {CGNAT_LANS} and not attributes[0] - attributes[1]
    assert policy.marker(off) != policy.marker(on)
