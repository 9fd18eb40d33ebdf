"""The team among a node's tags, and where a node belongs."""
import pytest

from ua_overlay import tags
from ua_overlay.defaults import ADMISSION_MEMORY
from ua_overlay.tags import belonging, describe_belonging, team_of


def test_a_role_tag_is_not_a_team():
    assert team_of(('tag:iris', 'tag:ros-master')) == 'iris'
    assert team_of(('tag:ros-master', 'tag:iris')) == 'iris'
    assert team_of(('tag:relay',)) == ''
    assert team_of(('group:iris',)) == ''
    assert team_of(()) == team_of(None) == ''


def test_a_preferred_team_wins_when_the_node_is_in_it():
    assert team_of(('tag:blue', 'tag:iris'), 'iris') == 'iris'
    assert team_of(('tag:blue',), 'iris') == 'blue'
    assert team_of(('tag:ros-master',), 'ros-master') == ''


def test_team_facts_are_read_from_the_network_map():
    told = tags.team_facts(11400, 'addresses')
    assert tags.facts_of(told + ['default-auto-update']) == {'team_port': 11400, 'addressing': 'addresses'}
    assert tags.facts_of(None) == tags.facts_of([]) == {}
    assert tags.facts_of(['ua-overlay:team-port=70000', 'ua-overlay:team-port', 'ua-overlay:addressing=x']) == {}
    assert tags.facts_of(['ua-overlay:team-port=²']) == tags.facts_of(['ua-overlay:team-port=' + '9' * 5000]) == {}


def test_how_long_a_robot_may_remember_its_team_is_on_the_map():
    assert tags.memory_of([tags.memory_fact(43200), 'ua-overlay:team-port=11312']) == 43200
    assert [tags.memory_of(['ua-overlay:memory=' + text]) for text in ('60', '2592000')] == [60, 2592000]
    for text in ('', '0', '59', '2592001', '-60', '1e4', '²', '9' * 5000):
        assert tags.memory_of(['ua-overlay:memory=' + text]) == tags.memory_of(None) == ADMISSION_MEMORY


@pytest.mark.parametrize('tags, team', [
    ([], ''), (['tag:iris'], 'iris'), (['tag:ros-master', 'tag:iris'], 'iris'), (['tag:relay'], ''),
    (['tag:ros-master'], ''), (['tag:zeta', 'tag:iris'], 'iris'), (['group:iris'], '')])
def test_team_of_a_node(tags, team):
    assert team_of(tags) == team


@pytest.mark.parametrize('tags, user, belongs', [
    (['tag:iris'], '', 'iris'), (['tag:iris'], 'ana', 'iris'), ([], 'ana', 'ana@'), ([], '', ''),
    ([], 'tagged-devices', ''), (['tag:relay'], 'ana', '')])
def test_a_node_belongs_to_its_team_or_its_user(tags, user, belongs):
    assert belonging(tags, user) == belongs


def test_membership_as_text():
    assert (describe_belonging('iris'), describe_belonging('ana@')) == ('team iris', 'the group of user ana')


def test_the_map_has_the_team_and_its_settings():
    facts = tags.team_facts(11399, 'addresses')
    assert tags.team_on_map(('tag:blue', 'tag:iris'), facts, 'iris') == {
        'team': 'iris', 'team_port': 11399, 'addressing': 'addresses'}
    assert tags.team_on_map(('tag:blue',), (), 'iris') == {'team': 'blue'}
    assert tags.team_on_map(('tag:ros-master',), facts, 'iris') == {}
