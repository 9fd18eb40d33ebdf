"""The server's certificate: issued, checked, due for renewal, and as PEM."""
import datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError

NOW = datetime.datetime(2026, 11, 22, 18, 48, 52, 123456, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
NAME = 'server.ua.test'
ADDRESS = '203.0.113.10'


@pytest.fixture(scope='module')
def site():
    return ca_module.create_ca(NAME, [NAME], [ADDRESS], NOW)


@pytest.fixture(scope='module')
def server(site):
    return certificates.issue_server_certificate(site[0], site[1], [NAME], [ADDRESS], NOW)


def extension(certificate, kind):
    found = certificate.extensions.get_extension_for_class(kind)
    return found.value, found.critical


def test_profile_of_the_server_certificate(site, server):
    leaf = server[1]
    constraints, critical = extension(leaf, x509.BasicConstraints)
    assert (constraints.ca, critical) == (False, True)
    usage, critical = extension(leaf, x509.KeyUsage)
    assert usage.digital_signature and critical and not usage.key_cert_sign and not usage.key_encipherment
    assert list(extension(leaf, x509.ExtendedKeyUsage)[0]) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert certificates.names_of(leaf) == ([NAME], [ADDRESS])
    assert (extension(leaf, x509.AuthorityKeyIdentifier)[0].key_identifier
            == extension(site[1], x509.SubjectKeyIdentifier)[0].digest)
    assert leaf.subject != leaf.issuer      # tailscaled calls a certificate with one name for both self-signed
    assert leaf.serial_number.bit_length() > 64


def test_validity_is_90_days_and_starts_a_day_early(server):
    assert certificates.not_before(server[1]) == NOW.replace(microsecond=0) - DAY
    assert certificates.not_after(server[1]) - certificates.not_before(server[1]) == 90 * DAY


def test_a_certificate_expires_no_later_than_its_ca(site):
    late = certificates.not_after(site[1]) - 10 * DAY
    _, leaf = certificates.issue_server_certificate(site[0], site[1], [NAME], [], late)
    assert certificates.not_after(leaf) == certificates.not_after(site[1])


def test_an_expired_ca_signs_nothing(site):
    with pytest.raises(CertificateError, match='expired'):
        certificates.issue_server_certificate(site[0], site[1], [NAME], [], certificates.not_after(site[1]))


@pytest.mark.parametrize('names, addresses', [
    (['other.test'], []), ([NAME, 'other.test'], []), ([NAME], ['203.0.113.11']), ([NAME], ['2001:db8::1']),
    (['x' + NAME], [])])
def test_the_ca_does_not_sign_names_outside_its_constraints(site, names, addresses):
    with pytest.raises(CertificateError, match='may only vouch for server.ua.test, 203.0.113.10/32'):
        certificates.issue_server_certificate(site[0], site[1], names, addresses, NOW)


def test_a_very_long_name_fits(site):
    name = '.'.join(['a' * 50, 'b' * 50, NAME])
    _, leaf = certificates.issue_server_certificate(site[0], site[1], [name], [], NOW)
    assert certificates.names_of(leaf) == ([name], [])


@pytest.mark.parametrize('days_later, due', [(0, False), (58, False), (60, True), (200, True)])
def test_renewal_is_due_when_30_days_are_left(server, days_later, due):
    assert certificates.needs_renewal(server[1], NOW + days_later * DAY) is due


def test_a_good_server_certificate_passes(site, server):
    certificates.check_server_certificate(certificates.dump_certificates(site[1]), server[1], NAME, NOW)
    certificates.check_server_certificate(certificates.dump_certificates(site[1]), server[1], NAME.upper(), NOW)


@pytest.mark.parametrize('host, moment, code', [
    ('other.test', NOW, 'WRONG_NAME'),
    (ADDRESS, NOW, 'WRONG_NAME'),
    (NAME, NOW - 2 * DAY, 'CLOCK'),
    (NAME, NOW + 90 * DAY, 'CERT_EXPIRED'),
])
def test_each_fault_of_a_certificate_has_a_code(site, server, host, moment, code):
    with pytest.raises(CertificateError) as caught:
        certificates.check_server_certificate(certificates.dump_certificates(site[1]), server[1], host, moment)
    assert caught.value.code == code
    assert caught.value.next_command


def test_another_ca_of_the_same_name_is_a_wrong_ca(server):
    _, impostor = ca_module.create_ca(NAME, [NAME], [ADDRESS], NOW)
    with pytest.raises(CertificateError) as caught:
        certificates.check_server_certificate(certificates.dump_certificates(impostor), server[1], NAME, NOW)
    assert caught.value.code == 'WRONG_CA'


def test_the_fingerprint_matches_openssl():
    pem = certificates.dump_certificates(ca_module.create_ca('x', [NAME], [], NOW)[1])
    fingerprint = certificates.sha256_fingerprint(certificates.load_certificates(pem, 'x')[0])
    assert len(fingerprint) == 32 * 3 - 1
    assert fingerprint == fingerprint.upper()


def test_pem_round_trip(site, server):
    chain = certificates.load_certificates(certificates.dump_certificates(server[1], site[1]), 'x')
    assert chain == [server[1], site[1]]
    key = certificates.load_private_key(certificates.dump_private_key(server[0]), 'x')
    assert certificates.has_key(server[1], key)
    assert not certificates.has_key(site[1], key)


def test_windows_line_endings_are_accepted(site):
    pem = certificates.dump_certificates(site[1]).replace('\n', '\r\n')
    assert certificates.load_certificates(pem, 'x') == [site[1]]


def test_invalid_pem_is_named_but_not_shown(site):
    pem = certificates.dump_certificates(site[1])
    middle = pem.splitlines()[5]
    for text, reason in [('', 'no certificate'), ('hello', 'no certificate'), (pem[:300], 'cut short'),
                         (pem.replace(middle, middle[:20]), 'damaged'), (pem.replace(middle, '???'), 'damaged')]:
        with pytest.raises(CertificateError, match=reason) as caught:
            certificates.load_certificates(text, '/tmp/ca.pem')
        assert '/tmp/ca.pem' in caught.value.sentence
        assert middle not in str(caught.value)


def test_a_private_key_among_certificates_is_refused(site):
    text = certificates.dump_certificates(site[1]) + certificates.dump_private_key(site[0])
    with pytest.raises(CertificateError, match='private key'):
        certificates.load_certificates(text, 'ca.pem')


@pytest.mark.parametrize('text', ['', 'hello', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'])
def test_a_bad_private_key(text):
    with pytest.raises(CertificateError, match='not an unencrypted private key'):
        certificates.load_private_key(text, 'server.key')
