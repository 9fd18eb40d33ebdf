"""Rules of a router by kind. Real routers: test/lab."""
import re

import pytest

from ua_overlay.lab import nat

DNS = '203.0.113.2'


@pytest.mark.parametrize('kind', nat.KINDS)
def test_every_kind_replaces_old_rules_and_drops_unsolicited_packets(kind):
    rules = nat.ruleset(kind, DNS)
    assert rules.startswith('table ip ua_lab\ndelete table ip ua_lab\n')
    assert re.search(r'iifname "wan" ct state established,related accept\s+iifname "wan" drop', rules)
    assert 'policy drop' in rules
    assert rules.count('{') == rules.count('}')


def test_only_a_hard_nat_uses_random_ports():
    assert [kind for kind in nat.KINDS if 'fully-random' in nat.ruleset(kind, DNS)] == [nat.HARD]


def test_only_udp_blocked_drops_udp_except_dns():
    assert [kind for kind in nat.KINDS if 'udp drop' in nat.ruleset(kind, DNS)] == [nat.UDP_BLOCKED]
    rules = nat.ruleset(nat.UDP_BLOCKED, DNS)
    assert rules.index('udp dport 53 ip daddr ' + DNS) < rules.index('udp drop') < rules.index(
        'iifname "lan" oifname "wan" accept')


def test_unknown_kind():
    with pytest.raises(ValueError):
        nat.ruleset('soft', DNS)


def test_ports_are_forwarded_to_an_inside_host():
    rules = nat.ruleset(nat.EASY, DNS, ((5201, '10.0.2.15'), (nat.PING, '10.0.2.16')))
    for protocol in ('tcp', 'udp'):
        assert 'iifname "wan" {} dport 5201 dnat to 10.0.2.15'.format(protocol) in rules
    assert 'icmp type echo-request dnat to 10.0.2.16' in rules
    assert rules.count('{') == rules.count('}')
    assert 'prerouting' not in nat.ruleset(nat.EASY, DNS)
