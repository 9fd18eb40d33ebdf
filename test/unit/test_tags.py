"""The team among a node's tags."""
from ua_overlay import tags
from ua_overlay.tags import team_of


def test_what_a_node_does_is_no_team():
    assert team_of(('tag:iris', 'tag:ros-master')) == 'iris'
    assert team_of(('tag:ros-master', 'tag:iris')) == 'iris'
    assert team_of(('tag:relay',)) == ''
    assert team_of(('group:iris',)) == ''
    assert team_of(()) == team_of(None) == ''


def test_a_preferred_team_wins_when_the_node_is_in_it():
    assert team_of(('tag:blue', 'tag:iris'), 'iris') == 'iris'
    assert team_of(('tag:blue',), 'iris') == 'blue'
    assert team_of(('tag:ros-master',), 'ros-master') == ''


def test_the_facts_of_a_team_come_back_from_the_network_map():
    told = tags.team_facts(11400, 'addresses')
    assert tags.facts_of(told + ['default-auto-update']) == {'team_port': 11400, 'addressing': 'addresses'}
    assert tags.facts_of(None) == tags.facts_of([]) == {}
    assert tags.facts_of(['ua-overlay:team-port=70000', 'ua-overlay:team-port', 'ua-overlay:addressing=x']) == {}
