"""The egress rule as text, and its recipe. test/lab/test_leaks.py proves that it works."""
import os
import shutil
import subprocess

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.firewall import egress

NFT = '/usr/sbin/nft'


def test_a_robot_rule_matches_a_mark_and_a_server_rule_a_user():
    robot = egress.ruleset(egress.ROBOT, ['203.0.113.10'])
    server = egress.ruleset(egress.SERVER, ['203.0.113.10'], 'ua-overlay-server')
    assert 'meta mark & 0x00ff0000 != 0x00080000 return' in robot and 'skuid' not in robot
    assert 'meta skuid != "ua-overlay-server" return' in server and 'meta mark' not in server
    assert egress.ROBOT.table in robot and egress.ROBOT.table + ' ' not in server


def test_addresses_are_sorted_by_family_and_read_back():
    text = egress.ruleset(egress.ROBOT, ['203.0.113.10', 'fd00::1', '10.0.0.1', '203.0.113.10'])
    assert 'elements = { 10.0.0.1, 203.0.113.10 }' in text and 'elements = { fd00::1 }' in text
    assert egress.parse_addresses(text) == ['10.0.0.1', '203.0.113.10', 'fd00::1']
    assert 'elements' not in egress.ruleset(egress.ROBOT, [])
    assert egress.parse_addresses('# addresses: ["x"]') == egress.parse_addresses('# addresses: 3') == []
    assert egress.parse_addresses('table inet other { }') == []
    assert egress.parse_user(text) is None
    assert egress.parse_user(egress.ruleset(egress.RELAY, [], 'ua-overlay-relay')) == 'ua-overlay-relay'
    with pytest.raises(UsageError):
        egress.ruleset(egress.ROBOT, ['10.0.0.1; flush ruleset'])


def test_an_update_flushes_and_fills_in_one_transaction():
    assert egress.update(egress.ROBOT, ['203.0.113.11']).split('\n') == [
        'flush set inet ua_overlay_egress site4',
        'add element inet ua_overlay_egress site4 { 203.0.113.11 }',
        'flush set inet ua_overlay_egress site6', '']


@pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft checks rules as root alone.')
@pytest.mark.parametrize('rules', [
    egress.ruleset(egress.ROBOT, ['203.0.113.10', 'fd00::1']), egress.ruleset(egress.ROBOT, []),
    egress.ruleset(egress.SERVER, [], 'daemon'),
    egress.ruleset(egress.ROBOT, []) + egress.update(egress.ROBOT, ['203.0.113.11', 'fd00::2'])])
def test_nft_accepts_the_rules(rules):
    done = subprocess.run(['nft', '-c', '-f', '-'], input=rules, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='There is no systemd-analyze on this machine.')
@pytest.mark.parametrize('which', [egress.ROBOT, egress.SERVER])
def test_unit_holds_for_systemd(tmp_path, which):
    path = tmp_path / which.unit
    path.write_text(egress.files(which, '', '/bin/true', 'systemd')[1].text)
    done = subprocess.run(['systemd-analyze', 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold=15', str(path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


def test_the_recipe_loads_enables_and_reverts():
    commands = [' '.join(command.argv) for command in egress.commands(egress.ROBOT, NFT, 'systemd')]
    assert commands == [
        NFT + ' -f /etc/ua_overlay/egress.nft', NFT + ' -f /etc/ua_overlay/egress.nft', 'systemctl daemon-reload',
        'systemctl enable ua-overlay-egress.service', 'systemctl start ua-overlay-egress.service']
    undo = [' '.join(command.undo) for command in egress.commands(egress.ROBOT, NFT, 'systemd') if command.undo]
    assert undo[0] == NFT + ' add table inet ua_overlay_egress; delete table inet ua_overlay_egress'
    assert len(egress.files(egress.ROBOT, '', NFT, 'none')) == 1
    assert len(egress.commands(egress.ROBOT, NFT, 'none')) == 2
