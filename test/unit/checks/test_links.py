"""Checks of the links."""
from dataclasses import replace

import pytest

from ua_overlay import link_types
from ua_overlay.checks import links
from ua_overlay.checks.facts import Facts, Packets, Route
from ua_overlay.errors import Problem
from ua_overlay.firewall import clamp
from ua_overlay.tailscale.model import Link
from unit.checks.healthy import FACTS, changed, only


def test_derp():
    assert links.derp(FACTS).what == 'Links: 1 DIRECT, 1 IDLE.'
    verdict = links.derp(changed(links=FACTS.links + (Link('dev-9', type=link_types.DERP),)))
    assert verdict.level == 'WARN' and 'through the server: dev-9' in verdict.what
    assert links.derp(changed(links=())).what == 'Links: no peers.'
    assert links.derp(Facts()) is None
    assert links.derp(changed(daemon_problem=Problem('NO_DAEMON', ''))) is None


@pytest.mark.parametrize('kind, level', [(link_types.DIRECT, 'OK'), (link_types.PEER_RELAY, 'WARN'),
                                         (link_types.DERP, 'WARN'), (link_types.OFFLINE, 'OK')])
def test_lan(kind, level):
    verdict = only(links.lan(changed(lans=(replace(FACTS.lans[0], link_type=kind),))))
    assert verdict.level == level
    assert level == 'OK' or 'dev-3' in verdict.what and '10.0.2.0/24' in verdict.what


@pytest.mark.parametrize('endpoints, expected', [
    (('10.0.2.16:41641', '203.0.113.22:5000'), '10.0.2.0/24'),
    # The same private subnet behind another router.
    (('10.0.2.16:41641', '203.0.113.23:5000'), None),
    # The same router, another subnet (a guest network).
    (('10.0.3.16:41641', '203.0.113.22:5000'), None),
    # An equal private address can only belong to another LAN.
    (('10.0.2.15:41641', '203.0.113.22:5000'), None),
    (('100.64.0.3:1', '[fe80::1]:1', 'nonsense', '127.0.0.1:1'), None), ((), None)])
def test_shared_lan(endpoints, expected):
    assert links.shared_lan(FACTS.own_endpoints, endpoints, FACTS.interfaces) == expected


def test_a_common_bridge_address_is_no_shared_lan():
    """Both list the address of a bridge that every machine has (docker0), and no other common address."""
    interfaces = FACTS.interfaces + (('docker0', '172.17.0.1', 16),)
    assert links.shared_lan(('10.0.2.15:1', '172.17.0.1:1'), ('10.0.2.16:1', '172.17.0.1:1'), interfaces) is None


@pytest.mark.parametrize('small, full, level', [(True, True, 'OK'), (True, False, 'ERROR'), (False, False, None)])
def test_mtu(small, full, level):
    verdict = links.mtu(changed(packets=(Packets('dev-1', small, full),)))
    assert (verdict and verdict.level) == level
    assert level != 'ERROR' or 'dev-1' in verdict.what


@pytest.mark.parametrize('address, mtu, level', [
    ('203.0.113.21', 1500, 'OK'), ('203.0.113.21', 1340, 'OK'), ('203.0.113.21', 1339, 'ERROR'),
    ('2001:db8::1', 1360, 'OK'), ('2001:db8::1', 1359, 'ERROR')])
def test_mtu_of_the_interface_that_carries_the_overlay(address, mtu, level):
    verdict = links.mtu(changed(routes=(Route('203.0.113.9', 1500), Route(address, mtu))))
    assert verdict.level == level
    if level == 'ERROR':
        assert address in verdict.what and verdict.next_command.startswith('sudo ua-overlay robot mtu {} '.format(mtu))


def test_mtu_with_a_clamp():
    """What `robot mtu 1330` leaves fits the path, so the finding is gone."""
    size = clamp.segment_of(1330) + clamp.HEADERS
    assert links.mtu(changed(routes=(Route('203.0.113.9', 1330),), overlay_mtu=size)).level == 'OK'


def test_mtu_of_a_path_that_drops_large_packets():
    """The advice fits the largest packet that came back."""
    verdict = links.mtu(changed(packets=(Packets('dev-1', True, False, 1216), Packets('dev-3', True, False, 1248))))
    assert verdict.level == 'ERROR' and 'dev-1, dev-3' in verdict.what
    path = int(verdict.next_command.split()[4])
    assert clamp.segment_of(path) + clamp.HEADERS == 1216
    verdict = links.mtu(changed(packets=(Packets('dev-1', True, False, None),)))
    assert verdict.next_command.split()[4] == str(clamp.SMALLEST)


def test_without_facts_there_is_no_verdict():
    assert links.mtu(Facts()) is links.lan(Facts()) is None
