import datetime

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.servers import derp_servers, remembered, resolve, resolve_soon, servers_now, servers_of

#: As tailscaled's LocalAPI has it.
DERP_MAP = {'Regions': {'999': {'Nodes': [
    {'HostName': 'server.example.org', 'IPv4': '203.0.113.10', 'IPv6': 'none'}]},
    '901': {'Nodes': [{'HostName': 'lab-b.server.example.org', 'IPv4': '203.0.113.11'}]}}}
NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)


def ca(names, addresses):
    return certificates.dump_certificates(create_ca('site', names, addresses, NOW)[1])


def test_servers_named_in_a_ca():
    pem = ca(['server.example.org'], ['203.0.113.10', 'fd00::1'])
    assert servers_of(pem) == ['203.0.113.10', 'fd00::1', 'server.example.org']
    assert servers_of(pem + ca(['other.example.org'], [])) == [
        '203.0.113.10', 'fd00::1', 'other.example.org', 'server.example.org']


def test_a_text_without_a_certificate_is_an_error():
    with pytest.raises(CertificateError):
        servers_of('')


def test_relays_of_the_network_map_are_servers_of_the_site(tmp_path):
    (tmp_path / 'ca.pem').write_text(ca(['server.example.org'], ['203.0.113.10']))
    assert set(servers_now(DERP_MAP, str(tmp_path / 'ca.pem'))) == {
        'server.example.org', '203.0.113.10', 'lab-b.server.example.org', '203.0.113.11'}
    assert servers_now(None, str(tmp_path / 'none.pem')) == []
    assert derp_servers(None) == []


def test_the_last_map_is_used_while_the_daemon_has_none():
    answers = [None, DERP_MAP, OverlayError('tailscaled does not run.'), None, {'Regions': {}}]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, OverlayError):
            raise answer
        return answer

    latest = remembered(ask)
    assert [latest() for _ in range(5)] == [None, DERP_MAP, DERP_MAP, DERP_MAP, {'Regions': {}}]


def test_names_and_addresses_resolve_to_addresses():
    assert resolve('203.0.113.10') == ['203.0.113.10'] and resolve('fd00::1') == ['fd00::1']
    assert '127.0.0.1' in resolve_soon('localhost')
    with pytest.raises(OSError):
        resolve_soon('no-such-name.invalid', 20)
