"""The clamp of the overlay's TCP packets: its sizes, rules and recipe. With the kernel: test/lab/test_doctor.py."""
import os
import shutil
import subprocess

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.firewall import clamp


@pytest.mark.parametrize('path', [576, 1200, 1330, 1340, 1360])
def test_a_padded_packet_fits_the_path(path):
    """Whatever length a packet has up to the clamp, WireGuard pads it to a multiple of 16 and adds 80 bytes by IPv6."""
    largest = clamp.segment_of(path) + clamp.HEADERS
    assert all(-(-size // 16) * 16 + clamp.WIREGUARD_6 <= path for size in range(largest + 1))
    assert largest > path - clamp.WIREGUARD_6 - 16


def test_rules_replace_the_table_and_cover_every_direction():
    text = clamp.ruleset(1330)
    assert text.index('add table inet ua_overlay_clamp\n') < text.index('delete table inet ua_overlay_clamp\n')
    assert text.count('maxseg size set 1208') == 4 and text.count('"tailscale0"') == 4
    for hook in ('output', 'input', 'forward'):
        assert 'hook {} '.format(hook) in text


@pytest.mark.parametrize('path', [0, -1, 575, 1361, 65536])
def test_a_path_that_no_network_has_is_refused(path):
    with pytest.raises(UsageError, match='give 576 to 1360'):
        clamp.ruleset(path)


@pytest.mark.parametrize('text, expected', [
    (clamp.ruleset(1330), 1330), ('', None), ('# path: ', None), ('# path: 1e9', None), ('# path: 99999999999', None),
    ('# path: -5', None), ('# path: 12', None), ('x # path: 1330', None)])
def test_the_path_is_parsed_from_the_rules(text, expected):
    assert clamp.parse_path(text) == expected


def test_installed_path(tmp_path):
    assert clamp.installed_path(str(tmp_path / 'none')) is None and clamp.installed_path(str(tmp_path)) is None
    (tmp_path / 'clamp.nft').write_text(clamp.ruleset(1200))
    assert clamp.installed_path(str(tmp_path / 'clamp.nft')) == 1200


@pytest.mark.fault('K2', 'Another program flushes the rules of `robot mtu` (nft flush ruleset)', behaviour='doctor, as '
                   'root, sends packets as large as they are now, and finds the fault again', reported='at once: sudo '
                   'ua-overlay doctor', recovery='with its next command', lost='nothing')
@pytest.mark.parametrize('user, table, expected', [(0, '{}', 1200), (0, None, None), (1000, None, 1200)])
def test_the_path_in_force_is_that_of_the_kernel(monkeypatch, user, table, expected):
    monkeypatch.setattr(os, 'geteuid', lambda: user)
    monkeypatch.setattr(clamp.nft, 'search', lambda: 'nft')
    monkeypatch.setattr(clamp.nft, 'list_table', lambda name, program: table)
    assert clamp.path_in_force(lambda: 1200) == expected and clamp.path_in_force(lambda: None) is None


def test_a_path_of_which_nft_says_nothing_is_the_installed_one(monkeypatch):
    def fails(name, program):
        raise OverlayError('nft cannot be run.')

    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    monkeypatch.setattr(clamp.nft, 'search', lambda: 'nft')
    monkeypatch.setattr(clamp.nft, 'list_table', fails)
    assert clamp.path_in_force(lambda: 1200) == 1200


def test_recipe():
    recipe = clamp.make_recipe(1330, '/usr/sbin/nft', 'systemd')
    assert [file.path for file in recipe.files] == [clamp.RULES, clamp.UNIT]
    assert 'ExecStart=/usr/sbin/nft -f ' + clamp.RULES in recipe.files[1].text
    assert '`ua-overlay robot mtu off` removes it' in recipe.files[1].text
    assert clamp.make_recipe(1330, 'nft', 'none').by_hand == ('Run `nft -f {}` after each reboot.'.format(clamp.RULES),)
    before, after = clamp.undo_commands('nft', 'systemd')
    assert before[-1][0] == 'nft' and after == [['systemctl', 'daemon-reload']]
    assert clamp.undo_commands('nft', 'none') == ([before[-1]], [])


@pytest.mark.skipif(shutil.which('nft') is None, reason='no nft')
def test_nft_parses_the_rules():
    done = subprocess.run(['unshare', '-rn', 'nft', '-c', '-f', '-'], input=clamp.ruleset(1330).encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
