"""The guard: its ports, rules and recipe. With the kernel: test/lab/test_guard.py."""
import os
import shutil
import subprocess

import pytest

from ua_overlay.defaults import EPHEMERAL_PORTS, LOCAL_MASTER_PORT, TEAM_PORT
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.firewall import guard as rules
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.firewall.guard import Guard, guarded_ranges, is_guarded, parse_settings

DEFAULT = Guard()
NFTABLES = Backend(NFT, ('/usr/sbin/nft',))
OLD = Backend(IPTABLES, ('/usr/sbin/iptables', '/usr/sbin/ip6tables'))


def ruleset(guard):
    return rules.ruleset(guard, NFTABLES)


def test_masters_and_the_ephemeral_range():
    first, last = EPHEMERAL_PORTS
    assert all(is_guarded(DEFAULT, port) for port in (LOCAL_MASTER_PORT, TEAM_PORT, first, first + 9, last))
    assert not any(is_guarded(DEFAULT, port) for port in (22, 80, LOCAL_MASTER_PORT - 1, first - 1, last + 1))


def test_overlapping_adjacent_and_open_ports():
    """nft refuses intervals that overlap."""
    assert guarded_ranges(Guard(masters=(11311, 40000), also=(61000, 9090))) == (
        (9090, 9090), (11311, 11311), (32768, 61000))
    assert guarded_ranges(Guard(ephemeral=(100, 110), masters=(), allow=(100, 105, 110, 7))) == ((101, 104), (106, 109))
    assert guarded_ranges(Guard(ephemeral=(100, 100), masters=(5,), allow=(100,))) == ((5, 5),)


def test_rules_replace_the_table_and_trust_loopback_and_overlay():
    text = ruleset(Guard(interfaces=('tailscale0', 'docker0')))
    assert text.index('add table inet ua_overlay\n') < text.index('delete table inet ua_overlay\n') < \
        text.index('table inet ua_overlay {')
    assert 'elements = { "lo", "docker0", "tailscale0" }' in text
    assert 'elements = {{ {} }}'.format(rules.format_ranges(guarded_ranges(DEFAULT))) in text
    assert 'policy accept' in text and 'reject with tcp reset' in text


def test_settings_are_parsed_from_the_rules():
    guard = Guard(('wg0',), (11311, 11400), (40000, 50000), (9090,), (45000,))
    assert parse_settings(ruleset(guard)) == guard
    for text in ('', 'table inet x {}', '# settings: {', '# settings: {"allow": [0]}', '# settings: {"what": [1]}',
                 '# settings: []', '# settings: {"ephemeral": [1]}', '# settings: {"ephemeral": [5, 1]}',
                 '# settings: {"interfaces": [3]}', '# settings: {"allow": ["a"]}', '# settings: {"allow": [true]}',
                 '# settings: ' + '{"a":' * 9999):
        assert parse_settings(text) is None


@pytest.mark.parametrize('guard', [
    Guard(interfaces=('a b',)), Guard(interfaces=('"; flush ruleset; "',)), Guard(interfaces=('',)),
    Guard(interfaces=('x' * 16,)), Guard(also=(0,)), Guard(allow=(65536,)), Guard(allow=(11311,))])
def test_an_invalid_guard_is_refused(guard):
    with pytest.raises(UsageError):
        ruleset(guard)


def test_ephemeral_port_range_of_the_kernel():
    assert rules.parse_port_range('32768\t60999\n') == (32768, 60999)
    first, last = rules.read_port_range()
    assert 1 <= first < last <= 65535


def test_the_recipe_loads_the_rules_before_it_enables_the_unit():
    recipe = rules.make_recipe(DEFAULT, NFTABLES, 'systemd')
    assert [item.path for item in recipe.files] == [rules.RULES[NFT], rules.UNIT]
    said = [' '.join(item.argv) for item in recipe.commands]
    assert said[0] == '/usr/sbin/nft -f /etc/ua_overlay/guard.nft' and not recipe.commands[0].after
    assert said.index('systemctl daemon-reload') < said.index('systemctl enable ua-overlay-guard.service')
    by_hand = rules.make_recipe(DEFAULT, NFTABLES, 'none')
    assert [item.path for item in by_hand.files] == [rules.RULES[NFT]] and len(by_hand.commands) == 1
    assert 'after each reboot' in by_hand.by_hand[0]


def test_recipe_is_applied_repeated_and_undone(tmp_path):
    ran = []
    applier = rules.applier(str(tmp_path), lambda argv: ran.append(' '.join(argv)), owner_of=None)
    recipe = rules.make_recipe(DEFAULT, NFTABLES, 'systemd')
    assert applier.apply(recipe) == {rules.RULES[NFT], rules.UNIT}
    assert applier.apply(recipe) == set()
    assert ran.count('systemctl daemon-reload') == 1 and ran.count('/usr/sbin/nft -f /etc/ua_overlay/guard.nft') == 2
    before, after = rules.undo_commands('systemd')
    ran.clear()
    assert applier.undo(before, after) == []
    assert ran[-1] == 'systemctl daemon-reload' and any('delete table inet ua_overlay' in line for line in ran)
    assert not [name for _, _, names in os.walk(str(tmp_path)) for name in names]


def test_unit_holds_for_systemd(tmp_path):
    analyze = shutil.which('systemd-analyze')
    if analyze is None:
        pytest.skip('There is no systemd-analyze on this machine.')
    path = tmp_path / rules.UNIT_NAME
    path.write_text(rules.make_recipe(DEFAULT, Backend(NFT, (shutil.which('true'),)), 'systemd').files[1].text)
    done = subprocess.run([analyze, 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and done.stdout == b''
    # 1.3 of 10 where an empty unit has 9.6.
    done = subprocess.run([analyze, 'security', '--offline=true', '--threshold=15', str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


def test_problems_are_reported():
    assert rules.find_problems(None, False, (32768, 60999), None) == ()
    assert rules.find_problems(DEFAULT, True, (32768, 60999), TEAM_PORT) == ()
    assert 'flushed' in rules.find_problems(DEFAULT, False, (32768, 60999), None)[0]
    assert 'reboot' in rules.find_problems(None, True, (32768, 60999), None)[0]
    assert '1024-60999' in rules.find_problems(DEFAULT, True, (1024, 60999), None)[0]
    assert '11500' in rules.find_problems(DEFAULT, True, (32768, 60999), 11500)[0]


def test_the_guard_goes_off_although_nft_was_removed(tmp_path):
    ran = []

    def run(argv):
        if argv[0] == NFTABLES.programs[0] and loaded:
            raise OverlayError('There is no nft on this machine.')
        ran.append(argv)
        loaded.append(argv)

    loaded = []
    applier = rules.applier(str(tmp_path), run, owner_of=None)
    applier.apply(rules.make_recipe(DEFAULT, NFTABLES, 'none'))
    assert applier.undo(*rules.undo_commands('none')) == ['There is no nft on this machine.']
    assert not [name for _, _, names in os.walk(str(tmp_path)) for name in names]


def test_iptables_replaces_nftables(tmp_path):
    """The table of nftables goes with its file."""
    ran = []
    applier = rules.applier(str(tmp_path), lambda argv: ran.append(' '.join(argv)), owner_of=None)
    applier.apply(rules.make_recipe(DEFAULT, NFTABLES, 'systemd'))
    ran.clear()
    changed = applier.apply(rules.make_recipe(DEFAULT, OLD, 'systemd'))
    assert {rules.RULES[NFT], rules.RULES[IPTABLES]} <= changed
    assert ran[0] == '/usr/sbin/nft add table inet ua_overlay; delete table inet ua_overlay'
    assert '/bin/sh /etc/ua_overlay/guard.iptables' in ran
