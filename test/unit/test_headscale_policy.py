import json

from ua_overlay.headscale import policy


def test_each_team_reaches_itself_on_every_port_and_nothing_else():
    grants = policy.make_policy(['iris', 'blue'])['grants']
    with_ip = [grant for grant in grants if 'ip' in grant]
    assert with_ip == [{'src': ['tag:blue'], 'dst': ['tag:blue'], 'ip': ['*']},
                       {'src': ['tag:iris'], 'dst': ['tag:iris'], 'ip': ['*']}]


def test_the_relay_carries_for_all_teams_and_is_reached_by_none():
    grants = [grant for grant in policy.make_policy(['iris', 'blue'])['grants'] if 'tag:relay' in grant['dst']]
    assert grants == [{'src': ['tag:blue', 'tag:iris'], 'dst': ['tag:relay'],
                       'app': {'tailscale.com/cap/relay': [{}]}}]


def test_nobody_owns_a_tag_and_every_tag_is_declared():
    owners = policy.make_policy(['iris'])['tagOwners']
    assert owners == {'tag:iris': [], 'tag:relay': [], 'tag:ros-master': []}


def test_without_teams_everything_is_denied():
    made = policy.make_policy([])
    # Headscale allows all when there is neither "acls" nor "grants".
    assert made['grants'] == []


def test_robots_do_not_ask_for_captive_portals_outside():
    assert {'target': ['*'], 'attr': ['disable-captive-portal-detection']} in policy.make_policy(['iris'])['nodeAttrs']


def test_no_test_section():
    assert 'tests' not in policy.make_policy(['iris'])


def test_the_text_is_json_and_does_not_depend_on_the_order_of_teams():
    assert json.loads(policy.dump_policy(policy.make_policy(['a', 'b']))) == policy.make_policy(['b', 'a'])
    assert policy.dump_policy(policy.make_policy(['a', 'b'])) == policy.dump_policy(policy.make_policy(['b', 'a']))


def test_the_tag_of_a_team():
    assert policy.team_tag('iris') == 'tag:iris'
