"""The sandbox that units have in common. How tight it is, systemd says: of each unit in its own test."""
import pytest

from ua_overlay.server import service
from ua_overlay.system.rules_unit import rules_unit
from ua_overlay.system.sandbox import COMMON, sandbox
from ua_overlay.tailscale import prepare


def texts():
    recipe = prepare.make_recipe('robot', 'CA', '/opt/ua-overlay', '/opt', 'systemd')
    found = {item.path: item.text for item in recipe.files if item.path in (prepare.DROP_IN, prepare.AGENT_UNIT)}
    places = ('daemon', '/site', '/opt/ua-overlay', ('/opt',))
    found.update(rules=rules_unit('d', 'c', ('/sbin/nft', '-f', '/r'), ('/sbin/nft', 'x')),
                 server=service.unit_text(*places), keeper=service.keeper_text(*places),
                 iptables=rules_unit('d', 'c', ('/bin/sh', '/r'), ('/bin/sh', '-c', 'x'), legacy=True))
    return found


@pytest.mark.parametrize('name', sorted(texts()))
def test_every_unit_has_each_setting_once(name):
    lines = texts()[name].split('\n')
    assert [line for line in COMMON if lines.count(line) != 1] == []
    # No setting appears twice, unless systemd treats it as a list.
    keys = [line.split('=')[0] for line in lines if '=' in line and not line.startswith(('#', 'Environment',
            'SystemCallFilter', 'CapabilityBoundingSet', 'DeviceAllow', 'Exec', 'After', 'Wants'))]
    assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)


def test_lines_are_sorted_and_complete():
    lines = sandbox('PrivateDevices=yes').split('\n')
    assert lines == sorted(lines) and set(lines) == set(COMMON) | {'PrivateDevices=yes'}
