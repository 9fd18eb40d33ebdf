"""The egress rule as nft lists it: with the real nft, in a network namespace of its own."""
import json
import os
import shutil
import subprocess
import sys

import pytest

from ua_overlay.firewall import egress, egress_table
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.firewall.egress import Settings
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, MISSING, UNREADABLE, TableState
from ua_overlay.system import iptables
from ua_overlay.system.iptables import Listed
from ua_overlay.system.nft import NftError

ADDRESSES = ('203.0.113.10', '203.0.113.11', 'fd00::1')
NFTABLES = Backend(NFT, ('nft',))
TABLE = 'inet ' + egress.ROBOT.table

real = pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft loads rules as root alone.')


def listed(rules, table=egress.ROBOT.table):
    """The output of nft after it loaded ``rules``."""
    done = subprocess.run(['unshare', '--net', 'sh', '-c', 'nft -f - && nft -j list table inet ' + table],
                          input=rules, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@real
@pytest.mark.parametrize('which, user', [(egress.ROBOT, ''), (egress.SERVER, 'daemon')])
@pytest.mark.parametrize('addresses', [ADDRESSES, ()])
def test_loaded_rules_are_in_force(which, user, addresses):
    settings = Settings(addresses, user)
    rules = egress.ruleset(which, settings, NFTABLES)
    assert egress_table.parse(listed(rules, which.table), settings) == TableState(IN_FORCE, addresses)
    moved = rules + egress.update(which, settings._replace(addresses=('203.0.113.77',)), NFTABLES)
    assert egress_table.parse(listed(moved, which.table), settings) == TableState(IN_FORCE, ('203.0.113.77',))


@real
@pytest.mark.parametrize('change', [
    'insert rule {} output accept', 'add rule {} output accept', 'flush chain {} output',
    'flush chain {0} output\nadd rule {0} output accept', 'add chain {} other',
    'delete rule {} output handle 8', 'replace rule {} output handle 8 meta mark & 0x00ff0000 != 0x00090000 return',
    'delete rule {} vendor handle 6', 'delete chain {} vendor', 'replace rule {} vendor handle 6 accept'])
def test_a_changed_rule_is_detected(change):
    rules = egress.ruleset(egress.ROBOT, Settings(ADDRESSES), NFTABLES)
    assert egress_table.parse(listed(rules + change.format(TABLE) + '\n'), Settings()).state == CHANGED


@real
def test_a_recreated_user_has_another_uid():
    settings = Settings(ADDRESSES, 'daemon')
    found = listed(egress.ruleset(egress.SERVER, settings, NFTABLES), egress.SERVER.table)
    assert egress_table.parse(found, settings).state == IN_FORCE
    for user in ('bin', 'nobody-of-that-name', ''):
        assert egress_table.parse(found, settings._replace(user=user)).state == CHANGED


@pytest.mark.parametrize('text', ['', '[]', '{"nftables": 3}', '{"nftables": [{"rule": {}}]}', '{"nftables": []}',
                                  '{"nftables": [{"set": {"elem": ["x"]}}]}',
                                  '[' * 100000, '{"nftables": [1e999]}', '{"nftables": [{"rule": {"expr": []}}]}',
                                  '{"nftables": [{"chain": 3}, {"set": {"elem": 5}}]}'])
def test_an_unrelated_table_counts_as_changed(text):
    assert egress_table.parse(text, Settings()).state == CHANGED


def test_elements_of_other_versions_of_nft():
    wrapped = {'nftables': [{'set': {'elem': [{'elem': {'val': '203.0.113.10', 'counter': {}}}]}}]}
    assert egress_table.parse(json.dumps(wrapped), Settings()).addresses == ('203.0.113.10',)


def test_a_missing_rule_differs_from_an_unreadable_rule(tmp_path):
    which = egress.ROBOT._replace(rules=str(tmp_path / 'none.nft'))
    assert egress_table.inspect(which, lambda kind: NFTABLES, lambda table, nft: None) == TableState(
        MISSING, next_command='sudo nft -f ' + which.rules)

    def denied(_table, _nft):
        raise NftError('Only root can list the rules of nftables.', 'sudo', 'NOT_ROOT')

    assert egress_table.inspect(which, lambda kind: NFTABLES, denied) == TableState(
        UNREADABLE, (), 'Only root can list the rules of nftables.', 'sudo')


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda *_, **__: None)
    table_state = egress_table.inspect(egress.ROBOT)
    assert table_state.state == UNREADABLE and 'nft' in table_state.why
    assert table_state.next_command == 'sudo apt install nftables'


def test_problems_name_missing_and_extra_addresses():
    assert egress_table.find_problems(TableState(IN_FORCE, ('10.0.0.1',)), ['10.0.0.1'], True) == ()
    assert 'not loaded' in egress_table.find_problems(TableState(MISSING), [], True)[0]
    assert 'another program changed' in egress_table.find_problems(TableState(CHANGED), [], True)[0]
    assert egress_table.find_problems(TableState(UNREADABLE), ['10.0.0.1'], True) == ()
    both = egress_table.find_problems(TableState(IN_FORCE, ('10.0.0.2',)), ['10.0.0.1'], True)
    assert 'blocks 10.0.0.1' in both[0] and 'allows 10.0.0.2' in both[1]
    # One name that does not resolve now: the address may be its own.
    assert len(egress_table.find_problems(TableState(IN_FORCE, ('10.0.0.2',)), ['10.0.0.1'], False)) == 1


IPTABLES_FOUND = [programs for programs in iptables.find_iptables() if os.geteuid() == 0]
BLANK = Listed((), (), True, 0)


@pytest.mark.skipif(not IPTABLES_FOUND, reason='There is no iptables on this machine, or this is not root.')
@pytest.mark.parametrize('programs', IPTABLES_FOUND)
@pytest.mark.parametrize('change, state', [
    ('true', IN_FORCE), ('{0} -I {1} -j ACCEPT', CHANGED), ('{0} -F {1}', CHANGED), ('{0} -D {1} 1', CHANGED),
    ('{0} -D OUTPUT -j {1}', CHANGED), ('{0} -F OUTPUT && {0} -F {1} && {0} -X {1}', MISSING)])
def test_a_rule_of_iptables_in_the_kernel(programs, change, state):
    settings = Settings(ADDRESSES)
    text = egress.ruleset(egress.ROBOT, settings, Backend(IPTABLES, programs))
    code = ('import sys, subprocess; from ua_overlay.system import iptables\n'
            'iptables.load(sys.argv[1]); subprocess.run(["sh", "-c", sys.argv[2]], check=True)\n'
            'print(iptables.list_chain(sys.argv[3], "OUTPUT", sys.argv[4:]))')
    done = subprocess.run(
        ['unshare', '--net', sys.executable, '-c', code, text, change.format(programs[0], egress.ROBOT.table),
         egress.ROBOT.table] + list(programs), stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == 0, done.stderr
    found = egress_table.parse_chain(eval(done.stdout), egress.ROBOT)
    assert found.state == state
    if state == IN_FORCE:
        assert found.addresses == ADDRESSES


@pytest.mark.parametrize('listed_chain', [
    BLANK, BLANK._replace(rules4=('-d', ) * 9), BLANK._replace(rules4=('-d x -j RETURN',) * 9),
    BLANK._replace(rules4=('',) * 9)])
def test_another_chain_of_that_name_counts_as_changed(listed_chain):
    assert egress_table.parse_chain(listed_chain, egress.ROBOT).state == CHANGED


def test_the_next_command_is_that_of_the_backend(tmp_path):
    which = egress.ROBOT._replace(rules=str(tmp_path / 'egress.nft'))
    old = Backend(IPTABLES, ('/sbin/iptables',))
    (tmp_path / 'egress.iptables').write_text(egress.ruleset(which, Settings(), old))
    state = egress_table.inspect(which, lambda kind: old, list_chain=lambda *_: Listed(None, None, False, 0))
    assert state == TableState(MISSING, next_command='sudo /bin/sh {}/egress.iptables'.format(tmp_path))
