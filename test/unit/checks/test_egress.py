"""The check of the egress rule. With the real rule: test/lab/test_doctor.py."""
from dataclasses import replace

import pytest

from ua_overlay.checks import egress
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, MISSING, UNREADABLE, TableState
from unit.checks.healthy import FACTS, changed

HEALTHY = FACTS.egress


def judge(**fields):
    return egress.egress(changed(egress=replace(HEALTHY, **fields)))


def test_a_rule_in_force():
    verdict = egress.egress(FACTS)
    assert verdict.level == 'OK' and '203.0.113.10' in verdict.what
    assert egress.egress(changed(egress=None)) is None


@pytest.mark.parametrize('fields, level, word, command', [
    ({'set_up': False}, 'WARN', 'without the egress rule', 'robot prepare'),
    ({'table_state': TableState(UNREADABLE, (), 'There is no nft.', 'sudo apt install nftables')}, 'UNKNOWN', 'no nft',
     'apt install nftables'),
    ({'other_proxies': ('http://proxy.lan:3128',)}, 'ERROR', 'blocks', 'sudo ua-overlay robot prepare'),
    ({'table_state': TableState(MISSING, (), '', 'sudo nft -f x')}, 'ERROR', 'not loaded', 'sudo nft -f x'),
    ({'table_state': TableState(CHANGED, (), '', 'sudo sh x')}, 'ERROR', 'another program changed', 'sudo sh x'),
    ({'table_state': TableState(IN_FORCE, ())}, 'ERROR', 'blocks 203.0.113.10',
     'systemctl status ua-overlay-agent'),
    ({'table_state': TableState(IN_FORCE, ('203.0.113.10', '10.9.9.9'))}, 'ERROR', 'allows 10.9.9.9',
     'agent')])
def test_every_problem_has_a_next_command(fields, level, word, command):
    verdict = judge(**fields)
    assert verdict.level == level and word in verdict.what and command in verdict.next_command


def test_an_extra_address_is_not_reported_while_a_name_does_not_resolve():
    assert judge(table_state=TableState(IN_FORCE, ('203.0.113.10', '10.9.9.9')), complete=False).level == 'OK'
