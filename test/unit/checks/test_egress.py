"""The check of the rule that nothing leaves the site; test/lab/test_doctor.py has the real rule."""
from dataclasses import replace

import pytest

from ua_overlay.checks import egress, facts
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress as rules
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, MISSING, UNREADABLE, TableState
from unit.checks.healthy import FACTS, changed

FOUND = FACTS.egress


def judged(**fields):
    return egress.egress(changed(egress=replace(FOUND, **fields)))


def test_a_rule_in_force():
    verdict = egress.egress(FACTS)
    assert verdict.level == 'OK' and '203.0.113.10' in verdict.what
    assert egress.egress(changed(egress=None)) is None


@pytest.mark.parametrize('fields, level, word, command', [
    ({'set_up': False}, 'WARN', 'without the rule', 'robot prepare'),
    ({'table_state': TableState(UNREADABLE, (), 'There is no nft.', 'sudo apt install nftables')}, 'UNKNOWN', 'no nft',
     'apt install nftables'),
    ({'table_state': TableState(MISSING)}, 'ERROR', 'not loaded', 'sudo nft -f /etc/ua_overlay/egress.nft'),
    ({'table_state': TableState(CHANGED)}, 'ERROR', 'somebody changed', 'sudo nft -f'),
    ({'table_state': TableState(IN_FORCE, ())}, 'ERROR', 'blocks 203.0.113.10',
     'systemctl status ua-overlay-agent'),
    ({'table_state': TableState(IN_FORCE, ('203.0.113.10', '10.9.9.9'))}, 'ERROR', 'allows 10.9.9.9',
     'agent')])
def test_what_is_wrong_has_a_next_command(fields, level, word, command):
    verdict = judged(**fields)
    assert verdict.level == level and word in verdict.what and command in verdict.next_command


def test_an_address_too_many_is_not_told_while_a_name_does_not_resolve():
    assert judged(table_state=TableState(IN_FORCE, ('203.0.113.10', '10.9.9.9')), complete=False).level == 'OK'


class Api:
    def derp_map(self):
        return {'Regions': {'901': {'Nodes': [{'HostName': 'lab-b.s.test', 'IPv4': '203.0.113.11'}]}}}


def test_looking(tmp_path, monkeypatch):
    def resolve(name):
        if name == 'lab-b.s.test':
            raise OSError('no such name')
        return [name]

    def look(table_state):
        return egress.observe_egress(Api(), str(tmp_path / 'ca.pem'), str(manifest), lambda which: table_state, resolve)

    manifest = tmp_path / 'prepared.json'
    monkeypatch.setattr(rules, 'ROBOT', rules.ROBOT._replace(rules=str(tmp_path / 'egress.nft')))
    assert look(FOUND.table_state) is None  # nobody promised anything
    manifest.write_text('{}')
    assert look(FOUND.table_state) == facts.Egress(False)
    (tmp_path / 'egress.nft').write_text('')
    assert look(TableState(MISSING)) == facts.Egress(True, TableState(MISSING))
    assert look(FOUND.table_state) == facts.Egress(True, FOUND.table_state, ('203.0.113.11',), False)


def test_a_daemon_that_is_down_is_no_obstacle(tmp_path, monkeypatch):
    class Down:
        def derp_map(self):
            raise OverlayError('No tailscaled answers.')

    manifest = tmp_path / 'prepared.json'
    manifest.write_text('{}')
    monkeypatch.setattr(rules, 'ROBOT', rules.ROBOT._replace(rules=str(manifest)))
    found = egress.observe_egress(Down(), str(tmp_path / 'none.pem'), str(manifest), lambda which: FOUND.table_state)
    assert found.addresses == () and not found.complete
