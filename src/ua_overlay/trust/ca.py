"""The site's private CA: one key that can vouch only for one server."""
import datetime
import ipaddress
from typing import List, Sequence, Tuple, Union

from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.clock import format_utc
from ua_overlay.system import foreign_file
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError


def create_ca(site_name: str, dns_names: Sequence[str], addresses: Sequence[str],
              now: datetime.datetime) -> Tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Create the key and the certificate of a site's CA.

    Follows RFC 5280 4.2.1.9 (basicConstraints critical, pathlen 0: it signs only leaves), 4.2.1.3 (keyUsage critical)
    and 4.2.1.10 (nameConstraints critical: robots do not accept this CA for any other server). A type
    of name without a permitted subtree is unconstrained, so a site without addresses excludes all addresses.

    :param site_name: for people, in the subject.
    :param dns_names: the server's DNS names, at least one; RFC 5280 lets each also cover the names below it.
    :param addresses: the server's addresses; each is a /32 (IPv6: /128).
    :param now: aware UTC datetime; the CA becomes valid a day earlier.
    :returns: (private key, certificate).
    """
    key = certificates.generate_key()
    name = certificates.subject('ua_overlay', 'ua_overlay CA of ' + site_name)
    begin = (now - certificates.BACKDATE).replace(microsecond=0)
    permitted: List[x509.GeneralName] = [
        *(x509.DNSName(dns_name) for dns_name in dns_names),
        *(x509.IPAddress(ipaddress.ip_network(address)) for address in addresses)]
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


def load_ca_certificates(pem: Union[str, bytes], source: str) -> List[x509.Certificate]:
    """Return the CA certificates of a PEM text that a robot shall trust.

    A self-signed certificate of a server counts as a CA, even if it does not declare itself one (trust.imported).

    :raises CertificateError: the text is not PEM, is truncated, has a private key, or has a certificate that is not a
        CA's.
    """
    authorities = certificates.load_certificates(pem, source)
    for each in authorities:
        if not certificates.is_ca(each) and not certificates.is_signed_by(each, each):
            raise CertificateError('{} has a certificate that is not a CA (its subject is {}).'.format(
                certificates.capital(source), certificates.subject_of(each)))
    return authorities


def read_ca(path: str, now: datetime.datetime) -> str:
    """Read a CA file whose path a person gave; return its PEM text.

    :param now: aware UTC datetime.
    :raises CertificateError: it is not PEM, has other content than CA certificates, or all of them have expired.
    """
    again = 'ssh SERVER sudo cat {}/ca.pem > ca.pem'.format(defaults.SITE_DIR)
    try:
        pem = foreign_file.read(path, certificates.MAX_PEM_BYTES).data
    except FileNotFoundError:
        raise CertificateError('There is no CA file {}.'.format(path), again)
    except OSError as error:
        raise CertificateError('The CA file {} cannot be read: {}.'.format(path, certificates.reason(error)),
                               command('ls -l {}', path))
    try:
        authorities = load_ca_certificates(pem, path)
    except CertificateError as error:
        raise CertificateError(error.sentence, again)
    if all(now >= certificates.not_after(each) for each in authorities):
        raise CertificateError('The CA in {} expired on {}; this machine\'s clock says {}.'.format(
            path, format_utc(max(certificates.not_after(each) for each in authorities)),
            format_utc(now)), again, 'CERT_EXPIRED')
    return certificates.dump_certificates(*authorities)


def trusts(trusted_pem: str, required_pem: str) -> bool:
    """Return whether all CA certificates of ``required_pem`` are in ``trusted_pem``.

    During a change of the CA a text has two certificates, in either order. A text without certificates trusts no
    server, and so does a damaged one.
    """
    try:
        trusted = certificates.load_certificates(trusted_pem, 'the CA')
        return set(certificates.load_certificates(required_pem, 'the CA')) <= set(trusted)
    except CertificateError:
        return False


def same(first_pem: str, second_pem: str) -> bool:
    """Return whether two PEM texts have the same certificates, in any order."""
    return trusts(first_pem, second_pem) and trusts(second_pem, first_pem)
