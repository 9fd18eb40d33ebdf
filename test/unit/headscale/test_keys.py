"""Headscale's private keys: created once, whole and private."""
import os
import re
import stat

from ua_overlay.headscale import keys


def text(directory, name):
    return (directory / name).read_text()


def test_missing_and_empty_keys_are_created_and_others_stay(tmp_path):
    (tmp_path / 'headscale').mkdir()
    (tmp_path / keys.DERP_KEY).touch()
    keys.create_missing(str(tmp_path))
    made = [text(tmp_path, name) for name in (keys.NOISE_KEY, keys.DERP_KEY)]
    assert all(re.fullmatch('privkey:[0-9a-f]{64}', key) for key in made) and len(set(made)) == 2
    assert stat.S_IMODE(os.stat(tmp_path / keys.NOISE_KEY).st_mode) == 0o600
    keys.create_missing(str(tmp_path))
    assert [text(tmp_path, name) for name in (keys.NOISE_KEY, keys.DERP_KEY)] == made


def test_the_form_of_a_key():
    assert keys.text_of(b'\xff' * 32) == 'privkey:f8' + 'ff' * 30 + '7f'
    assert keys.text_of(b'\x00' * 32) == 'privkey:' + '00' * 31 + '40'
