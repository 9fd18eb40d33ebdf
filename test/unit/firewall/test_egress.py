"""The egress rule as text, and its recipe. test/lab/test_leaks.py proves that it works."""
import os
import shutil
import subprocess
import sys

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


#: Runs in a network namespace of its own: a resolver on loopback, and questions of the user argv[1] and of root.
DNS = '''
import os, pwd, socket, struct, subprocess, sys, threading
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
subprocess.run(['nft', '-f', '-'], input=sys.argv[2], universal_newlines=True, check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
stream = socket.create_server(('127.0.0.1', 53))
def answer():
    while True:
        question, sender = server.recvfrom(512)
        server.sendto(question, sender)
threading.Thread(target=answer, daemon=True).start()
def ask(name):
    labels = b''.join(bytes([len(each)]) + each for each in name.encode().split(b'.'))
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.settimeout(5)
    link.connect(('127.0.0.1', 53))
    try:
        link.send(struct.pack('!6H', 1, 0x0100, 1, 0, 0, 0) + labels + struct.pack('!B2H', 0, 1, 1))
        return 'answer' if link.recv(512) else ''
    except (ConnectionRefusedError, PermissionError):
        return 'refused'
def connect():
    try:
        socket.create_connection(('127.0.0.1', 53), 5).close()
        return 'open'
    except ConnectionRefusedError:
        return 'refused'
print(ask('anything.example.org'), connect())
os.setuid(pwd.getpwnam(sys.argv[1]).pw_uid)
for name in sys.argv[3:]:
    print(name, ask(name))
print(connect())
'''
SITE_NAMES = ('server.ua.test', 'lab-b.server.ua.test', 'a.very-long-name-of-a-server.with.many.labels.example.org')


@pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft loads rules as root alone.')
@pytest.mark.fault('K9', 'A robot asks the relay to resolve names (peerAPI /dns-query)',
                   behaviour='the query leaves the relay for names of the site only', reported='-', recovery='-',
                   lost='nothing')
@pytest.mark.parametrize('updated', [False, True])
def test_a_server_resolves_only_names_of_the_site(updated):
    settings = Settings((), 'daemon', names=SITE_NAMES[:1] if updated else SITE_NAMES)
    rules = egress.ruleset(egress.SERVER, settings, NFTABLES)
    if updated:
        rules += egress.update(egress.SERVER, settings._replace(names=SITE_NAMES), NFTABLES)
    others = ('secret.example.org', 'x.server.ua.test', 'server.ua.test.example.org', 'server.ua.tes', 'erver.ua.test')
    done = subprocess.run(['unshare', '--net', sys.executable, '-c', DNS, 'daemon', rules] + list(SITE_NAMES + others),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == 'answer open' and lines[-1] == 'refused'  # other users are not concerned
    assert lines[1:-1] == ['{} answer'.format(name) for name in SITE_NAMES] + [
        '{} refused'.format(name) for name in others]


@pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft loads rules as root alone.')
@pytest.mark.fault('new', 'tailscaled starts with a kept network map while the server does not answer STUN',
                   behaviour="netcheck looks for a captive portal; no question for the vendor's names leaves the robot",
                   reported='-', recovery='-', lost='nothing')
def test_a_robot_asks_for_no_name_of_the_vendor():
    refused = egress.VENDOR_NAMES + ('login.tailscale.com.lan.example.org',)
    passed = ('pkgs.tailscale.com', 'tailscale.com', 'xlogin.tailscale.com', 'login.tailscale.co', 'server.ua.test')
    done = subprocess.run(['unshare', '--net', sys.executable, '-c', DNS, 'root', ruleset(egress.ROBOT, [])]
                          + list(refused + passed),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:-1] == ['{} refused'.format(name) for name in refused] + [
        '{} answer'.format(name) for name in passed]


def test_a_robot_resolves_for_its_programs():
    assert 'chain names' not in ruleset(egress.ROBOT, []) and 'names' not in egress.update(
        egress.ROBOT, Settings(), NFTABLES)
    for odd in ('', '.', 'a..b', 'é', 'x' * 300):
        assert 'chain names {\n        counter' in egress.ruleset(
            egress.SERVER, Settings(user='daemon', names=(odd,)), NFTABLES)
