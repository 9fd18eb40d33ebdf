import datetime

import pytest

from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.servers import servers_of

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)


def ca(names, addresses):
    return certificates.dump_certificates(create_ca('site', names, addresses, NOW)[1])


def test_a_ca_stands_for_what_it_may_vouch_for():
    pem = ca(['server.example.org'], ['203.0.113.10', 'fd00::1'])
    assert servers_of(pem) == ['203.0.113.10', 'fd00::1', 'server.example.org']
    assert servers_of(pem + ca(['other.example.org'], [])) == [
        '203.0.113.10', 'fd00::1', 'other.example.org', 'server.example.org']


def test_no_certificate_stands_for_nothing():
    with pytest.raises(CertificateError):
        servers_of('')
