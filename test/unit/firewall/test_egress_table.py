"""The egress rule as nft lists it: with the real nft, in a network namespace of its own."""
import json
import os
import shutil
import subprocess

import pytest

from ua_overlay.firewall import egress, egress_table
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, MISSING, UNREADABLE, TableState
from ua_overlay.system.nft import NftError

ADDRESSES = ['203.0.113.10', '203.0.113.11', 'fd00::1']
TABLE = 'inet ' + egress.ROBOT.table

real = pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft loads rules as root alone.')


def listed(rules, table=egress.ROBOT.table):
    """The output of nft after it loaded ``rules``."""
    done = subprocess.run(['unshare', '--net', 'sh', '-c', 'nft -f - && nft -j list table inet ' + table],
                          input=rules, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@real
@pytest.mark.parametrize('which, user', [(egress.ROBOT, None), (egress.SERVER, 'daemon')])
@pytest.mark.parametrize('addresses', [ADDRESSES, []])
def test_loaded_rules_are_in_force(which, user, addresses):
    rules = egress.ruleset(which, addresses, user)
    assert egress_table.parse(listed(rules, which.table), rules) == TableState(IN_FORCE, tuple(addresses))
    moved = rules + egress.update(which, ['203.0.113.77'])
    assert egress_table.parse(listed(moved, which.table), rules) == TableState(IN_FORCE, ('203.0.113.77',))


@real
@pytest.mark.parametrize('change', [
    'insert rule {} output accept', 'add rule {} output accept', 'flush chain {} output',
    'flush chain {0} output\nadd rule {0} output accept', 'add chain {} other',
    'delete rule {} output handle 5', 'replace rule {} output handle 5 meta mark & 0x00ff0000 != 0x00090000 return'])
def test_a_changed_rule_is_detected(change):
    rules = egress.ruleset(egress.ROBOT, ADDRESSES)
    assert egress_table.parse(listed(rules + change.format(TABLE) + '\n'), rules).state == CHANGED


@real
def test_a_recreated_user_has_another_uid():
    rules = egress.ruleset(egress.SERVER, ADDRESSES, 'daemon')
    found = listed(rules, egress.SERVER.table)
    assert egress_table.parse(found, rules).state == IN_FORCE
    for user in ('bin', 'nobody-of-that-name'):
        assert egress_table.parse(found, egress.ruleset(egress.SERVER, ADDRESSES, user)).state == CHANGED
    assert egress_table.parse(found, '').state == CHANGED


@pytest.mark.parametrize('text', ['', '[]', '{"nftables": 3}', '{"nftables": [{"rule": {}}]}', '{"nftables": []}',
                                  '{"nftables": [{"set": {"elem": ["x"]}}]}'])
def test_an_unrelated_table_counts_as_changed(text):
    assert egress_table.parse(text, '').state == CHANGED


def test_elements_of_other_versions_of_nft():
    wrapped = {'nftables': [{'set': {'elem': [{'elem': {'val': '203.0.113.10', 'counter': {}}}]}}]}
    assert egress_table.parse(json.dumps(wrapped), '').addresses == ('203.0.113.10',)


def test_a_missing_rule_differs_from_an_unreadable_rule(tmp_path):
    which = egress.ROBOT._replace(rules=str(tmp_path / 'none.nft'))
    assert egress_table.inspect(which, lambda: 'nft', lambda table, nft: None) == TableState(MISSING)

    def denied(_table, _nft):
        raise NftError('Only root can list the rules of nftables.', 'sudo', 'NOT_ROOT')

    assert egress_table.inspect(which, lambda: 'nft', denied) == TableState(
        UNREADABLE, (), 'Only root can list the rules of nftables.', 'sudo')


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda *_, **__: None)
    table_state = egress_table.inspect(egress.ROBOT)
    assert table_state.state == UNREADABLE and 'no nft' in table_state.why
    assert table_state.next_command == 'sudo apt install nftables'


def test_problems_name_missing_and_extra_addresses():
    assert egress_table.find_problems(TableState(IN_FORCE, ('10.0.0.1',)), ['10.0.0.1'], True) == ()
    assert 'not loaded' in egress_table.find_problems(TableState(MISSING), [], True)[0]
    assert 'somebody changed' in egress_table.find_problems(TableState(CHANGED), [], True)[0]
    assert egress_table.find_problems(TableState(UNREADABLE), ['10.0.0.1'], True) == ()
    both = egress_table.find_problems(TableState(IN_FORCE, ('10.0.0.2',)), ['10.0.0.1'], True)
    assert 'blocks 10.0.0.1' in both[0] and 'allows 10.0.0.2' in both[1]
    # One name that does not resolve now: the address may be its own.
    assert len(egress_table.find_problems(TableState(IN_FORCE, ('10.0.0.2',)), ['10.0.0.1'], False)) == 1
