"""The egress rule as text, and its recipe. test/lab/test_leaks.py proves that it works."""
import os
import shutil
import subprocess

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.firewall.egress import Settings

NFTABLES = Backend(NFT, ('/usr/sbin/nft',))
OLD = Backend(IPTABLES, ('/usr/sbin/iptables', '/usr/sbin/ip6tables'))


def ruleset(which, addresses, user=''):
    return egress.ruleset(which, Settings(tuple(addresses), user), NFTABLES)


def test_a_robot_rule_matches_a_mark_and_a_server_rule_a_user():
    robot = ruleset(egress.ROBOT, ['203.0.113.10'])
    server = ruleset(egress.SERVER, ['203.0.113.10'], 'ua-overlay-server')
    assert 'meta mark & 0x00ff0000 != 0x00080000 return' in robot and 'skuid' not in robot
    assert 'meta skuid != "ua-overlay-server" return' in server and 'meta mark' not in server
    assert egress.ROBOT.table in robot and egress.ROBOT.table + ' ' not in server


def test_addresses_are_sorted_by_family_and_read_back():
    text = ruleset(egress.ROBOT, ['203.0.113.10', 'fd00::1', '10.0.0.1', '203.0.113.10'])
    assert 'elements = { 10.0.0.1, 203.0.113.10 }' in text and 'elements = { fd00::1 }' in text
    assert egress.parse_settings(text) == Settings(('10.0.0.1', '203.0.113.10', 'fd00::1'))
    assert 'elements' not in ruleset(egress.ROBOT, [])
    for other in ('# settings: ["x"]', '# settings: 3', 'table inet other { }', '# settings: {"addresses": ["x"]}',
                  '# settings: {"addresses": [], "interface": 3, "proxies": [], "user": ""}',
                  '# settings: ' + '[' * 9999):
        assert egress.parse_settings(other) is None
    assert egress.parse_settings(ruleset(egress.RELAY, [], 'ua-overlay-relay')).user == 'ua-overlay-relay'
    with pytest.raises(UsageError):
        ruleset(egress.ROBOT, ['10.0.0.1; flush ruleset'])


def test_an_update_flushes_and_fills_in_one_transaction():
    assert egress.update(egress.ROBOT, Settings(('203.0.113.11',)), NFTABLES).split('\n') == [
        'flush set inet ua_overlay_egress site4',
        'add element inet ua_overlay_egress site4 { 203.0.113.11 }',
        'flush set inet ua_overlay_egress site6', '']


@pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft checks rules as root alone.')
@pytest.mark.parametrize('rules', [
    ruleset(egress.ROBOT, ['203.0.113.10', 'fd00::1']), ruleset(egress.ROBOT, []),
    ruleset(egress.SERVER, [], 'daemon'),
    ruleset(egress.ROBOT, []) + egress.update(
        egress.ROBOT, Settings(('203.0.113.11', 'fd00::2')), NFTABLES)])
def test_nft_accepts_the_rules(rules):
    done = subprocess.run(['nft', '-c', '-f', '-'], input=rules, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='There is no systemd-analyze on this machine.')
@pytest.mark.parametrize('which, backend', [
    (egress.ROBOT, Backend(NFT, ('/bin/true',))), (egress.SERVER, Backend(NFT, ('/bin/true',))), (egress.ROBOT, OLD)])
def test_unit_holds_for_systemd(tmp_path, which, backend):
    path = tmp_path / which.unit
    path.write_text(egress.files(which, '', backend, 'systemd')[1].text)
    done = subprocess.run(['systemd-analyze', 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')
    most = 15 if backend.kind == NFT else 26
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold={}'.format(most),
                           str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


def test_the_recipe_loads_enables_and_reverts():
    commands = [' '.join(command.argv) for command in egress.commands(egress.ROBOT, NFTABLES, 'systemd')]
    assert commands == [
        '/usr/sbin/nft -f /etc/ua_overlay/egress.nft', '/usr/sbin/nft -f /etc/ua_overlay/egress.nft',
        'systemctl daemon-reload',
        'systemctl enable ua-overlay-egress.service', 'systemctl start ua-overlay-egress.service']
    undo = [' '.join(command.undo) for command in egress.commands(egress.ROBOT, NFTABLES, 'systemd') if command.undo]
    assert undo[0] == '/usr/sbin/nft' + ' add table inet ua_overlay_egress; delete table inet ua_overlay_egress'
    assert len(egress.files(egress.ROBOT, '', NFTABLES, 'none')) == 1
    assert len(egress.commands(egress.ROBOT, NFTABLES, 'none')) == 2
