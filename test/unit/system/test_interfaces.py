import sys
import types

import pytest

from ua_overlay.system import interfaces


@pytest.mark.parametrize('address, inside', [
    ('100.64.0.1', True), ('100.127.255.254', True), ('100.128.0.1', False), ('10.0.2.15', False),
    ('fd7a:115c:a1e0::1', True), ('fd7a:115c:a1e1::1', False), ('::ffff:100.64.0.1', True), ('::ffff:10.0.2.15', False),
    ('dev-1.overlay.internal', False), ('', False)])
def test_overlay_addresses_are_recognized(address, inside):
    assert interfaces.in_overlay(address) is inside


def test_addresses_of_this_machine():
    assert interfaces.InterfaceAddress('lo', '127.0.0.1', 8) in interfaces.ipv4_addresses()
    assert '127.0.0.1' in interfaces.local_addresses()


def test_a_vanished_interface_is_skipped(monkeypatch):
    """A stand-in: no real interface disappears between two calls when it is asked to."""
    def ifaddresses(name):
        if name == 'gone':
            raise ValueError('You must specify a valid interface name.')
        return {2: [{'addr': '10.0.2.15', 'netmask': '255.255.255.0'}, {'addr': '10.9.9.9'}], 17: [{'addr': 'aa:bb'}]}

    monkeypatch.setitem(sys.modules, 'netifaces', types.SimpleNamespace(
        interfaces=lambda: ['gone', 'eth0'], ifaddresses=ifaddresses, AF_INET=2))
    assert interfaces.ipv4_addresses() == (('eth0', '10.0.2.15', 24), ('eth0', '10.9.9.9', 32))
