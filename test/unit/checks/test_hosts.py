"""Which machine the host of a URI means."""
import pytest

from ua_overlay.checks import hosts
from unit.checks.healthy import MASTER, ME, STATUS


@pytest.mark.parametrize('uri, host, port', [
    ('http://a:11312', 'a', 11312), ('http://A.b.:11312/', 'a.b', 11312), ('http://a', 'a', 0), ('', '', 0),
    ('http://[broken', '', 0)])
def test_host_and_port(uri, host, port):
    assert (hosts.host_of(uri), hosts.port_of(uri)) == (host, port)


def test_names_of_the_overlay():
    assert hosts.full_names([ME, MASTER]) == {
        'dev-2.overlay.internal', '100.64.0.2', 'dev-1.overlay.internal', '100.64.0.1'}
    assert hosts.short_names([ME, MASTER]) == {'dev-1', 'dev-2'}
    assert hosts.overlay_nodes(STATUS)[0] == ME and hosts.overlay_nodes(None) == ()


@pytest.mark.parametrize('host, expected', [
    ('dev-1.overlay.internal', True), ('dev-1', True), ('gone.overlay.internal', True), ('100.64.0.9', True),
    ('10.0.2.15', False), ('example.org', False), ('', False)])
def test_a_host_of_the_overlay(host, expected):
    assert hosts.is_overlay_host(host, STATUS) is expected


def test_without_tailscaled_only_addresses_are_known():
    assert hosts.is_overlay_host('100.64.0.9', None) and not hosts.is_overlay_host('dev-1', None)


@pytest.mark.parametrize('host, expected', [('localhost', True), ('127.0.1.1', True), ('127.9.9.9', True),
                                            ('::1', True), ('dev-1', False)])
def test_loopback(host, expected):
    assert hosts.is_loopback(host) is expected
