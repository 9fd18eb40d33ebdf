"""The rules of site.yaml: how they are read, and errors about invalid ones."""
import pytest
import yaml

from ua_overlay.errors import UsageError
from ua_overlay.headscale.rules import Rules, Talk, Team, User, dump_rules, parse_ports, parse_rules

FULL = Rules({'iris': Team('iris', 11311, 'addresses', ('ros', 'ssh', 8765)), 'no': Team('no'), 'blue': Team('blue')},
             (Talk('blue', 'iris', ('ros', 'ping')), Talk('iris', 'no', (22, 80))),
             {'ana': User('ana', ('iris', 'no')), 'on': User('on', (), ('ssh',))}, (40000, 50000))


def parsed(text):
    return parse_rules(yaml.safe_load(text) or {}, '/x/site.yaml')


@pytest.mark.parametrize('rules', [Rules(), FULL, Rules({'iris': Team('iris', inside=())})])
def test_round_trip_through_a_commented_file(rules):
    text = dump_rules(rules)
    assert parsed(text) == rules
    assert text.count('#') >= 8


def test_omitted_fields_have_defaults():
    rules = parsed('teams: {iris: , blue: {port: 11400}}\ntalk: [{from: iris, to: blue}]\n'
                   'users: {ana: {teams: [iris]}, bob: }\n')
    assert rules.teams == {'iris': Team('iris'), 'blue': Team('blue', 11400)}
    assert rules.talk == (Talk('iris', 'blue', ('ros', 'ping')),)
    assert rules.users == {'ana': User('ana', ('iris',), ('everything', 'ros')), 'bob': User('bob', ())}
    assert rules.ephemeral == (32768, 60999)


def test_a_single_word_need_not_be_a_list():
    assert parsed('teams: {iris: {inside: ros}}').teams['iris'].inside == ('ros',)
    assert parsed('teams: {iris: {inside: 8080}}').teams['iris'].inside == (8080,)
    assert parsed('teams: {iris: {inside: []}}').teams['iris'].inside == ()


def test_other_fields_are_unchanged():
    values = {'teams': {'iris': {}}, 'name': 's.test'}
    parse_rules(values, 'x')
    assert values == {'name': 's.test'}


@pytest.mark.parametrize('text, words', [
    ('teams: [iris]', 'mapping'),
    ('teams: {iris: {colour: red}}', 'teams.iris: colour is unknown'),
    ('teams: {iris: 5}', 'teams.iris'),
    ('teams: {iris: {port: 70000}}', '70000'),
    ('teams: {iris: {port: yes}}', 'port'),
    ('teams: {iris: {inside: [ros, http]}}', "'http'"),
    ('teams: {iris: {inside: [70000]}}', '70000'),
    ('teams: {iris: {inside: {}}}', 'team iris'),
    ('teams: {relay: }', 'reserved'),
    ('teams: {ros-master: }', 'reserved'),
    ('teams: {server: }', 'reserved'),
    ('teams: {policy-x: }', 'reserved'),
    ('teams: {iris: }\ntalk: {from: iris}', 'a list is needed'),
    ('teams: {iris: }\ntalk: [iris]', 'rule 1'),
    ('teams: {iris: }\ntalk: [{from: iris}]', 'rule 1 of "talk": to is missing'),
    ('teams: {iris: }\ntalk: [{from: iris, to: ghost}]', 'team ghost in rule 1'),
    ('teams: {iris: }\ntalk: [{from: iris, to: [iris]}]', 'in rule 1'),
    ('teams: {iris: }\ntalk: [{from: iris, to: iris}]', 'itself'),
    ('teams: {iris: , blue: }\ntalk: [{from: iris, to: blue, both: yes}]', 'both is unknown'),
    ('teams: {iris: , blue: }\ntalk: [{from: iris, to: blue}, {from: iris, to: blue, what: ssh}]', 'has two rules'),
    ('users: [ana]', 'mapping'),
    ('users: {a: }', "'a'"),
    ('users: {Ana: }', "'Ana'"),
    ('users: {ana: {teams: iris}}', 'a list is needed'),
    ('users: {ana: {teams: [ghost]}}', 'team ghost in user ana'),
    ('teams: {iris: }\nusers: {ana: {teams: [iris, iris]}}', 'twice'),
    ('users: {ana: {team: iris}}', 'team is unknown'),
    ('ephemeral_ports: 32768', '32768'),
    ('ephemeral_ports: 60999-32768', 'range of ports'),
    ('ephemeral_ports: 1-70000', 'range of ports'),
])
def test_an_invalid_rule_is_named(text, words):
    with pytest.raises(UsageError) as caught:
        parsed(text)
    assert words in caught.value.sentence and caught.value.next_command
    assert '\n' not in str(caught.value)


def test_ports_on_the_command_line():
    assert parse_ports('ros, ssh,8765') == ('ros', 'ssh', 8765) and parse_ports('') == ()
    for text, words in (('ros,http', "'http'"), ('70000', '70000'), ('0', 'port 0')):
        with pytest.raises(UsageError) as caught:
            parse_ports(text)
        assert words in caught.value.sentence and '--inside' in caught.value.sentence


def test_the_switch_for_networks_inside_the_overlays_range():
    assert not parse_rules({}, 'x').cgnat_lans and 'cgnat_lans' not in dump_rules(Rules())
    assert parse_rules({'cgnat_lans': True}, 'x').cgnat_lans
    assert 'cgnat_lans: true' in dump_rules(Rules(cgnat_lans=True)).split('\n')
    for value in ('yes', 1, None, []):
        with pytest.raises(UsageError, match='cgnat_lans'):
            parse_rules({'cgnat_lans': value}, 'x')
