"""The site's CA: its constraints, and reading a CA that a person names."""
import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError

NOW = datetime.datetime(2026, 11, 22, 18, 48, 52, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
NAME = 'server.ua.test'


def constraints(certificate):
    return certificate.extensions.get_extension_for_class(x509.NameConstraints)


def test_the_order_of_roots_does_not_matter():
    first, second = (certificates.dump_certificates(ca_module.create_ca(name, [NAME], [], NOW)[1]) for name in 'ab')
    assert ca_module.same(first + second, second + first)
    assert not ca_module.same(first + second, first) and not ca_module.same(first, first + second)
    assert not ca_module.same('', first)


def test_profile_of_the_ca():
    key, ca = ca_module.create_ca('lab', [NAME], ['203.0.113.10', '2001:db8::1'], NOW)
    assert isinstance(key.curve, ec.SECP256R1)
    basic = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign and not usage.value.digital_signature
    assert constraints(ca).critical
    assert [name.value for name in constraints(ca).value.permitted_subtrees] == [
        NAME, ipaddress.ip_network('203.0.113.10/32'), ipaddress.ip_network('2001:db8::1/128')]
    assert certificates.not_before(ca) == NOW - DAY
    assert certificates.not_after(ca) == NOW - DAY + 3652 * DAY
    assert certificates.is_signed_by(ca, ca) and certificates.has_key(ca, key)


def test_without_addresses_no_address_is_permitted():
    _, ca = ca_module.create_ca('lab', [NAME], [], NOW)
    assert [str(name.value) for name in constraints(ca).value.excluded_subtrees] == ['0.0.0.0/0', '::/0']


def test_a_very_long_site_name_fits():
    assert ca_module.create_ca('.'.join(['a' * 60] * 4), [NAME], [], NOW)


def test_a_server_certificate_is_not_a_ca():
    key, ca = ca_module.create_ca('lab', [NAME], [], NOW)
    _, leaf = certificates.issue_server_certificate(key, ca, [NAME], [], NOW)
    assert certificates.is_ca(ca) and not certificates.is_ca(leaf)
    with pytest.raises(CertificateError, match='not a CA'):
        ca_module.load_ca_certificates(certificates.dump_certificates(ca, leaf), 'the file')


def test_a_ca_file_is_read(tmp_path):
    _, ca = ca_module.create_ca('lab', [NAME], [], NOW)
    path = tmp_path / 'ca.pem'
    path.write_text('comments may stand before it\n' + certificates.dump_certificates(ca))
    assert ca_module.read_ca(str(path), NOW) == certificates.dump_certificates(ca)


def test_a_bad_ca_file_is_an_error_with_a_next_command(tmp_path):
    key, ca = ca_module.create_ca('lab', [NAME], [], NOW)
    path = tmp_path / 'ca.pem'
    with pytest.raises(CertificateError, match='no CA file') as caught:
        ca_module.read_ca(str(path), NOW)
    assert caught.value.next_command.startswith('ssh SERVER sudo cat ')
    with pytest.raises(CertificateError, match='cannot be read: not a regular file but a directory'):
        ca_module.read_ca(str(tmp_path), NOW)
    path.write_text(certificates.dump_certificates(ca))
    with pytest.raises(CertificateError, match='expired on 2036-11-20 18:48:52 UTC') as caught:
        ca_module.read_ca(str(path), NOW + 4000 * DAY)
    assert caught.value.code == 'CERT_EXPIRED'
    path.write_text(certificates.dump_certificates(ca) + certificates.dump_private_key(key))
    with pytest.raises(CertificateError, match='private key'):
        ca_module.read_ca(str(path), NOW)
