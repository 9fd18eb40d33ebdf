"""The preferences of this robot, and the file in which the overlay node saves them."""
import json
import os

import pytest

from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.envfile import EnvironmentUnsafe, Location
from ua_overlay.rosenv.preferences import Preferences, follow_map, preferences_of
from ua_overlay.tailscale.model import SelfNode

SOME = Preferences('dev-9', 11400, 'addresses', 'iris')


@pytest.fixture
def location(tmp_path):
    return Location(str(tmp_path / 'run'), True)


def test_from_saved_settings():
    assert preferences_of({}) == Preferences()
    assert preferences_of({'team_port': 1, 'addressing': 'addresses', 'team': 'iris'}) == Preferences(
        team_port=1, addressing='addresses', team='iris')


def test_a_robot_follows_its_network_map():
    preferences = Preferences(master='dev-9', team_port=11312, team='iris')
    moved = SelfNode('dev-1', tags=('tag:blue',), attributes=('ua-overlay:team-port=11400',
                                                              'ua-overlay:addressing=addresses'))
    assert follow_map(preferences, moved) == Preferences('dev-9', 11400, 'addresses', 'blue')
    assert follow_map(preferences, SelfNode('dev-1', tags=('tag:iris',))) == preferences
    assert follow_map(preferences, SelfNode('dev-1', attributes=('ua-overlay:team-port=11400',))) == preferences


def test_round_trip(location):
    assert preferences_file.read(location) is None
    preferences_file.write(location, SOME)
    assert preferences_file.read(location) == SOME
    assert os.listdir(location.directory) == [preferences_file.FILE_NAME]
    assert preferences_file.remove(location) and not preferences_file.remove(location)


def test_a_master_name_is_only_text(location):
    strange = Preferences(master='dev"1\n$(id) é')
    preferences_file.write(location, strange)
    assert preferences_file.read(location) == strange


@pytest.mark.parametrize('text', [
    '', '[]', '{}', 'no json', json.dumps({'master': ''}),
    json.dumps({'master': '', 'team_port': '1', 'addressing': 'names', 'team': ''}),
    json.dumps({'master': '', 'team_port': 0, 'addressing': 'names', 'team': ''}),
    json.dumps({'master': '', 'team_port': True, 'addressing': 'names', 'team': ''}),
    json.dumps({'master': '', 'team_port': 1, 'addressing': 'both', 'team': ''}),
    json.dumps({'master': None, 'team_port': 1, 'addressing': 'names', 'team': ''}),
    json.dumps({'master': '', 'team_port': 1, 'addressing': 'names', 'team': '', 'more': 1})])
def test_an_invalid_file_is_ignored(location, text):
    os.makedirs(location.directory)
    with open(location.file(preferences_file.FILE_NAME), 'w') as stream:
        stream.write(text)
    with pytest.raises(EnvironmentUnsafe) as caught:
        preferences_file.read(location)
    assert 'is not used' in str(caught.value) and preferences_file.FILE_NAME in str(caught.value)


def test_a_file_of_another_user_is_ignored(location):
    preferences_file.write(location, SOME)
    with pytest.raises(EnvironmentUnsafe):
        preferences_file.read(location, uid=os.geteuid() + 4711)
    # In the shared directory below /run its owner counts, whom root chose.
    assert preferences_file.read(Location(location.directory, False), uid=os.geteuid() + 4711) == SOME
