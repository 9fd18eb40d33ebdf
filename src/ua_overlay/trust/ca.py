"""The site's private CA: one key that can vouch for one server and nothing else."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes

from ua_overlay import defaults
from ua_overlay.clock import format_utc
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError


def create_ca(site_name, dns_names, addresses, now):
    """Make the key and the certificate of a site's CA.

    RFC 5280 4.2.1.9 (basicConstraints critical, pathlen 0: it signs leaves only), 4.2.1.3 (keyUsage critical) and
    4.2.1.10 (nameConstraints critical: a robot that trusts this CA does not thereby let it pose as any other server).
    A type of name without a permitted subtree is unconstrained, so a site without addresses excludes all of them.

    :param site_name: shown to people in the subject.
    :param dns_names: the server's DNS names, at least one; RFC 5280 lets each also cover the names below it.
    :param addresses: the server's addresses, text; each is a /32 (IPv6: /128).
    :param now: aware UTC datetime; the CA begins a day earlier.
    :returns: (private key, x509.Certificate).
    """
    key = certificates.generate_key()
    name = certificates.subject('ua_overlay', 'ua_overlay CA of ' + site_name)
    begin = (now - certificates.BACKDATE).replace(microsecond=0)
    permitted = ([x509.DNSName(dns_name) for dns_name in dns_names]
                 + [x509.IPAddress(ipaddress.ip_network(address)) for address in addresses])
    excluded = None if addresses else [x509.IPAddress(ipaddress.ip_network(every)) for every in ('0.0.0.0/0', '::/0')]
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=round(defaults.CA_YEARS * 365.25)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(certificates.key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=excluded), critical=True)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(key, hashes.SHA256(), default_backend()))
    return key, certificate


def load_ca_certificates(pem, source):
    """Return the CA certificates of a PEM text: what a robot may be told to trust. A self-signed certificate of a
    server is its own CA, whatever it says of itself (trust.imported).

    :raises CertificateError: when it is no PEM, is cut short, carries a private key, or one certificate is no CA.
    """
    found = certificates.load_certificates(pem, source)
    for each in found:
        if not is_ca(each) and not certificates.is_signed_by(each, each):
            raise CertificateError('{} holds a certificate that is no CA (its subject is {}).'.format(
                certificates.capital(source), each.subject.rfc4514_string()))
    return found


def read_ca(path, now):
    """Return the PEM text of a CA file that a person names, checked: PEM, nothing but CA certificates, in force.

    :param now: aware UTC datetime.
    :raises CertificateError: with the next command.
    """
    again = 'ssh SERVER sudo cat {}/ca.pem > ca.pem'.format(defaults.SITE_DIR)
    try:
        with open(path, 'rb') as stream:
            pem = stream.read(certificates.MAX_PEM_BYTES)
    except FileNotFoundError:
        raise CertificateError('There is no CA file {}.'.format(path), again)
    except OSError as error:
        raise CertificateError('The CA file {} cannot be read: {}.'.format(path, error.strerror.lower()),
                               'ls -l {}'.format(path))
    try:
        found = load_ca_certificates(pem, path)
    except CertificateError as error:
        raise CertificateError(error.sentence, again)
    if all(now >= certificates.not_after(each) for each in found):
        raise CertificateError('The CA in {} expired on {}; this machine\'s clock says {}.'.format(
            path, format_utc(max(certificates.not_after(each) for each in found)),
            format_utc(now)), again, 'CERT_EXPIRED')
    return certificates.dump_certificates(*found)


def trusts(trusted_pem, required_pem):
    """Whether all CA certificates of one PEM text are in another: while a site changes its CA there are two, in either
    order. A text that holds no certificate trusts nobody."""
    try:
        trusted = certificates.load_certificates(trusted_pem, 'the CA')
    except CertificateError:
        return False
    return set(certificates.load_certificates(required_pem, 'the CA')) <= set(trusted)


def same(one_pem, other_pem):
    """Whether two PEM texts are the same trust, in whichever order."""
    return trusts(one_pem, other_pem) and trusts(other_pem, one_pem)


def is_ca(certificate):
    """Say whether basicConstraints make it a CA (RFC 5280 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
