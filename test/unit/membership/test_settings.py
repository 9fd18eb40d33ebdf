"""The settings that a robot saves from its invitation."""
import os
import stat

import pytest

from ua_overlay.membership.settings import FILE_NAME, follow, forget_settings, read_settings, write_settings
from ua_overlay.tailscale.model import SelfNode

SETTINGS = {'server_url': 'https://server.ua.test:8080', 'team': 'iris', 'robot': 'dev-1', 'team_port': 11315,
            'addressing': 'addresses'}


def test_round_trip(tmp_path):
    write_settings(str(tmp_path), dict(SETTINGS, key='hskey-auth-x', ca_pem='…', master=True))
    assert read_settings(str(tmp_path)) == SETTINGS
    text = (tmp_path / FILE_NAME).read_text()
    assert 'hskey' not in text and 'ca_pem' not in text
    assert stat.S_IMODE(os.stat(str(tmp_path / FILE_NAME)).st_mode) == 0o644
    assert os.listdir(str(tmp_path)) == [FILE_NAME]


@pytest.mark.parametrize('content', [
    b'', b'- a\n- b', b'text', b'{unclosed', b'\xff\xfe\x00', b'!!python/name:os.system'])
def test_an_invalid_file_counts_as_missing(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    assert read_settings(str(tmp_path)) == {}


@pytest.mark.parametrize('key, value', [
    ('team_port', '11315'), ('team_port', 0), ('team_port', 65536), ('team_port', True), ('team_port', None),
    ('team', ['iris']), ('team', 5), ('addressing', 'both'), ('server_url', {})])
def test_an_invalid_value_counts_as_missing(tmp_path, key, value):
    write_settings(str(tmp_path), dict(SETTINGS, **{key: value}))
    assert read_settings(str(tmp_path)) == {name: SETTINGS[name] for name in SETTINGS if name != key}


def test_unknown_keys_are_ignored(tmp_path):
    (tmp_path / FILE_NAME).write_text('team: iris\nnew: 1\n')
    assert read_settings(str(tmp_path)) == {'team': 'iris'}


def test_no_settings(tmp_path):
    assert read_settings(str(tmp_path / 'missing')) == {}
    forget_settings(str(tmp_path))
    forget_settings(str(tmp_path / 'missing'))


def test_forget(tmp_path):
    write_settings(str(tmp_path), SETTINGS)
    forget_settings(str(tmp_path))
    assert os.listdir(str(tmp_path)) == []


def test_a_directory_that_does_not_exist(tmp_path):
    with pytest.raises(OSError):
        write_settings(str(tmp_path / 'missing'), SETTINGS)


def test_the_network_map_wins_over_saved_settings():
    kept = {'team': 'iris', 'team_port': 11312, 'addressing': 'names', 'robot': 'dev-1'}
    moved = SelfNode('dev-1', tags=('tag:blue',), attributes=('ua-overlay:team-port=11400',))
    assert follow(kept, moved) == dict(kept, team='blue', team_port=11400)
    assert follow({}, moved) == {}
    assert follow(kept, SelfNode('dev-1')) == kept
