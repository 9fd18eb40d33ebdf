"""X.509 certificates of a site: issue and check the server's, read and write PEM.

They follow the profile of RFC 5280 and have short lifetimes. `ca.py` creates the one certificate that signs.

A certificate may come from anybody who answers for the server's address. cryptography reads its parts when they are
asked for, and raises whatever the part causes; so :func:`load_certificates` and :func:`load_der` read all of them, and
what they return has no part that fails later.
"""
import binascii
import contextlib
import datetime
import ipaddress
import warnings
from typing import Iterator, List, Optional, Sequence, Tuple, Union

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.clock import format_utc
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable

# For instance about a negative serial number: whether a certificate is used is decided here, and not on stderr.
warnings.filterwarnings('ignore', category=CryptographyDeprecationWarning)

#: The private keys that this package supports: EC and RSA.
PrivateKey = Union[ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey]

#: Certificates are backdated by this much, for machines whose clock is behind.
BACKDATE = datetime.timedelta(days=1)
#: Longest commonName (RFC 5280 appendix A.1, ub-common-name).
COMMON_NAME_MAX = 64
#: Longest PEM file of a site, in bytes.
MAX_PEM_BYTES = 65536
#: The years of valid dates (RFC 5280 4.1.2.5 begins in 1950): a day can be added to and subtracted from each of them.
YEARS = range(1950, 9999)
#: The next command when this machine's clock is wrong.
SET_CLOCK = 'sudo date -us "YYYY-MM-DD HH:MM"   # the time in UTC; `Clocks` in docs/operate.md keeps it right'


class CertificateError(OverlayError):
    """A certificate or key that cannot be used."""

    code = 'CERTIFICATE'


def generate_key() -> ec.EllipticCurvePrivateKey:
    """Return a new EC P-256 key: every TLS library accepts it, and Go handles it in constant time."""
    return ec.generate_private_key(ec.SECP256R1(), default_backend())


def issue_server_certificate(ca_key: PrivateKey, ca_cert: x509.Certificate, dns_names: Sequence[str],
                             addresses: Sequence[str], now: datetime.datetime,
                             days: float = defaults.SERVER_CERTIFICATE_DAYS
                             ) -> Tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Create a key and a certificate for the site's server.

    :param dns_names: the first one is also the common name, for people; clients read the SAN.
    :param addresses: IP addresses.
    :param now: aware UTC datetime.
    :param days: lifetime in days, from the (backdated) start; it ends no later than the CA's.
    :returns: (private key, certificate).
    :raises CertificateError: the CA may not vouch for a name, or has expired.
    """
    refused = not_permitted(ca_cert, dns_names, addresses)
    if refused:
        raise CertificateError(
            'The CA of this site may only vouch for {}, not for {}.'.format(
                ', '.join(permitted(ca_cert)) or 'no name', ', '.join(refused)),
            command('ua-overlay server init --dir NEW_DIR --name {}   # then a new invitation for every robot',
                    refused[0]))
    if now >= not_after(ca_cert):
        raise CertificateError(
            'The CA of this site expired on {}, so it cannot sign any more.'.format(format_utc(not_after(ca_cert))),
            'ua-overlay server init --dir NEW_DIR --name FQDN   # then a new invitation for every robot')
    key = generate_key()
    begin = max((now - BACKDATE).replace(microsecond=0), not_before(ca_cert))
    end = min(begin + datetime.timedelta(days=days), not_after(ca_cert))
    with _reading('the CA'):
        issuer_key_id = ca_cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject('ua_overlay server', dns_names[0]))
        .issuer_name(ca_cert.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(general_names(dns_names, addresses)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key_id), critical=False)
        .sign(ca_key, hashes.SHA256(), default_backend()))
    return key, certificate


def subject(organization: str, common_name: str) -> x509.Name:
    """Return an x509.Name; a common name that is too long for X.509 is cut, because only people read it."""
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
                      x509.NameAttribute(NameOID.COMMON_NAME, common_name[:COMMON_NAME_MAX])])


def key_usage(**allowed: bool) -> x509.KeyUsage:
    """Return an x509.KeyUsage with only the named uses."""
    uses = dict.fromkeys(['digital_signature', 'content_commitment', 'key_encipherment', 'data_encipherment',
                          'key_agreement', 'key_cert_sign', 'crl_sign', 'encipher_only', 'decipher_only'], False)
    uses.update(allowed)
    return x509.KeyUsage(**uses)


def general_names(dns_names: Sequence[str], addresses: Sequence[str]) -> List[x509.GeneralName]:
    """Return the SAN entries of names and addresses."""
    return [*(x509.DNSName(name) for name in dns_names),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses)]


@contextlib.contextmanager
def _reading(source: str = 'the server') -> Iterator[None]:
    """Within this context, convert what cryptography raises for an odd certificate.

    That is ValueError (of the parser), UnsupportedAlgorithm, DuplicateExtension, TypeError, OverflowError and others,
    different in each version.
    """
    try:
        yield
    except OverlayError:
        raise
    except Exception as error:
        raise CertificateError('{} has a damaged certificate.'.format(capital(source))) from error


def names_of(certificate: x509.Certificate) -> Tuple[List[str], List[str]]:
    """Return (DNS names, addresses) of the subject alternative name; both are empty when there is none.

    :raises CertificateError: it cannot be read; not for what :func:`load_certificates` and :func:`load_der` returned.
    """
    with _reading():
        try:
            san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return [], []
        return (list(san.get_values_for_type(x509.DNSName)),
                [str(address) for address in san.get_values_for_type(x509.IPAddress)])


def is_ca(certificate: x509.Certificate) -> bool:
    """Return whether basicConstraints declare it a CA (RFC 5280 4.2.1.9).

    :raises CertificateError: see :func:`names_of`.
    """
    with _reading():
        try:
            return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
        except x509.ExtensionNotFound:
            return False


def subject_of(certificate: x509.Certificate) -> str:
    """Return its subject for people: 'CN=gate.example,O=ua_overlay'."""
    with _reading():
        return printable(certificate.subject.rfc4514_string())


def issuer_of(certificate: x509.Certificate) -> str:
    """Return its issuer for people."""
    with _reading():
        return printable(certificate.issuer.rfc4514_string())


def permitted(ca_cert: x509.Certificate) -> List[str]:
    """Return the names and networks that the CA's name constraints permit; empty when it has no constraints."""
    subtrees = _permitted_subtrees(ca_cert)
    return [str(name.value) for name in subtrees or ()]


def not_permitted(ca_cert: x509.Certificate, dns_names: Sequence[str], addresses: Sequence[str]) -> List[str]:
    """Return the names and addresses that the CA's name constraints (RFC 5280 4.2.1.10) do not permit."""
    subtrees = _permitted_subtrees(ca_cert)
    if subtrees is None:
        return []
    zones = [name.value.lower() for name in subtrees if isinstance(name, x509.DNSName)]
    networks = [ipaddress.ip_network(str(name.value)) for name in subtrees if isinstance(name, x509.IPAddress)]
    refused = [name for name in dns_names
               if not any(name.lower() == zone or name.lower().endswith('.' + zone) for zone in zones)]
    return refused + [address for address in addresses
                      if not any(_inside(address, network) for network in networks)]


def _inside(address: str, network: Union[ipaddress.IPv4Network, ipaddress.IPv6Network]) -> bool:
    """Return whether an address lies in a network; a network (which is invalid in a SAN) does not."""
    return '/' not in address and ipaddress.ip_address(address) in network


def _permitted_subtrees(ca_cert: x509.Certificate) -> Optional[Sequence[x509.GeneralName]]:
    with _reading():
        try:
            constraints = ca_cert.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            return None
        return constraints.permitted_subtrees or []


def not_before(certificate: x509.Certificate) -> datetime.datetime:
    """Return the start of its validity, aware UTC. (cryptography before 42 has only the naive attribute.)"""
    return _utc(certificate, 'not_valid_before')


def not_after(certificate: x509.Certificate) -> datetime.datetime:
    """Return its expiry, aware UTC."""
    return _utc(certificate, 'not_valid_after')


def _utc(certificate: x509.Certificate, attribute: str) -> datetime.datetime:
    aware: Optional[datetime.datetime] = getattr(certificate, attribute + '_utc', None)
    if aware is not None:
        return aware
    naive: datetime.datetime = getattr(certificate, attribute)
    return naive.replace(tzinfo=datetime.timezone.utc)


def needs_renewal(certificate: x509.Certificate, now: datetime.datetime,
                  margin_days: float = defaults.RENEWAL_MARGIN_DAYS) -> bool:
    """Return whether fewer than ``margin_days`` days are left at ``now`` (aware UTC)."""
    return not_after(certificate) - now < datetime.timedelta(days=margin_days)


def check_server_certificate(ca_pem: str, certificate: x509.Certificate, host: str, now: datetime.datetime,
                             renew: str = 'ua-overlay server renew') -> None:
    """Check the server's certificate as a client of ``host`` would, without a connection.

    :param ca_pem: PEM text of the CA's certificate or certificates.
    :param host: DNS name in the server URL.
    :param now: aware UTC datetime.
    :param renew: the next command of its errors.
    :raises CertificateError: WRONG_CA, WRONG_NAME, CLOCK (not yet valid) or CERT_EXPIRED.
    """
    names, addresses = names_of(certificate)
    signers = [ca for ca in load_certificates(ca_pem, 'the CA') if is_signed_by(certificate, ca)]
    if not signers:
        raise CertificateError('The certificate of {} was not signed by the site\'s CA.'.format(host), renew,
                               'WRONG_CA')
    refused = not_permitted(signers[0], names, addresses)
    if host.lower() not in [name.lower() for name in names]:
        raise CertificateError('The certificate of {} is for {}.'.format(
            host, ', '.join(names + addresses) or 'no name'), renew, 'WRONG_NAME')
    if refused:
        raise CertificateError('The certificate of {} is for {}, and the site\'s CA may not vouch for that.'.format(
            host, ', '.join(refused)), renew, 'WRONG_NAME')
    for what, each in (('CA of ' + host, signers[0]), ('certificate of ' + host, certificate)):
        if now < not_before(each):
            raise CertificateError('The {} is valid from {}, and this machine\'s clock says {}.'.format(
                what, format_utc(not_before(each)), format_utc(now)), SET_CLOCK, 'CLOCK')
        if now >= not_after(each):
            raise CertificateError('The {} expired on {}; this machine\'s clock says {}.'.format(
                what, format_utc(not_after(each)), format_utc(now)), renew, 'CERT_EXPIRED')


def is_signed_by(certificate: x509.Certificate, ca_cert: x509.Certificate) -> bool:
    """Return whether ``ca_cert`` issued ``certificate``: its name is the issuer and its key made the signature."""
    try:
        if certificate.issuer != ca_cert.subject:
            return False
        key, algorithm = ca_cert.public_key(), certificate.signature_hash_algorithm
        if algorithm is None:
            return False
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
        else:
            return False
    except InvalidSignature:
        return False
    except Exception:  # a key or an algorithm that cryptography cannot use signs nothing
        return False
    return True


def has_key(certificate: x509.Certificate, key: PrivateKey) -> bool:
    """Return whether the private ``key`` belongs to ``certificate``."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)
    except Exception:  # a key that cryptography cannot use belongs to nothing
        return False


def sha256_fingerprint(certificate: x509.Certificate) -> str:
    """Return the fingerprint as ``openssl x509 -fingerprint -sha256`` writes it: ``AA:BB:…``."""
    digest = binascii.hexlify(certificate.fingerprint(hashes.SHA256())).decode('ascii').upper()
    return ':'.join(digest[i:i + 2] for i in range(0, len(digest), 2))


def load_certificates(pem: Union[str, bytes], source: str) -> List[x509.Certificate]:
    """Return the certificates of a PEM text, in order.

    :param source: what to call the text in an error: a path, or 'the CA'.
    :raises CertificateError: the text has no certificate, a truncated or damaged one, or a private key, which must not
        be published with certificates. The error quotes nothing of the text.
    """
    if isinstance(pem, str):
        pem = pem.encode('utf-8', 'replace')
    if b'PRIVATE KEY-----' in pem:
        raise CertificateError('{} has a private key; only the certificate (ca.pem) may leave the server.'.format(
            capital(source)))
    begin, end = b'-----BEGIN CERTIFICATE-----', b'-----END CERTIFICATE-----'
    blocks = pem.split(begin)[1:]
    if not blocks:
        raise CertificateError('{} has no certificate (no BEGIN CERTIFICATE line).'.format(capital(source)))
    certificates = []
    for block in blocks:
        body, mark, _ = block.partition(end)
        if not mark:
            raise CertificateError('{} is cut short: a certificate in it has no END CERTIFICATE line.'.format(
                capital(source)))
        with _reading(source):
            certificates.append(_whole(x509.load_pem_x509_certificate(begin + body + end + b'\n', default_backend())))
    return certificates


def load_der(der: bytes, source: str = 'the server') -> x509.Certificate:
    """Return the certificate in ``der``.

    :param source: what to call its origin in an error.
    :raises CertificateError: it is damaged.
    """
    with _reading(source):
        return _whole(x509.load_der_x509_certificate(der, default_backend()))


def _whole(certificate: x509.Certificate) -> x509.Certificate:
    """Read every part of a certificate that this package uses, and return it.

    :raises Exception: a part cannot be read.
    """
    names_of(certificate)
    permitted(certificate)
    is_ca(certificate)
    subject_of(certificate)
    issuer_of(certificate)
    # Both are compared with now and shown; a day is subtracted from the first.
    for moment in (not_before(certificate), not_after(certificate)):
        if moment.year not in YEARS:
            raise ValueError('a date outside of {}'.format(YEARS))
        format_utc(moment)
    public_key = certificate.public_key()
    public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if certificate.serial_number < 0:
        raise ValueError('a negative serial number')  # RFC 5280 4.1.2.2
    certificate.fingerprint(hashes.SHA256())
    return certificate


def dump_certificates(*certificates: x509.Certificate) -> str:
    """Return their PEM text in this order (a server's chain: its own first)."""
    return ''.join(each.public_bytes(serialization.Encoding.PEM).decode('ascii') for each in certificates)


def load_private_key(pem: Union[str, bytes], source: str) -> PrivateKey:
    """Return the private key in an unencrypted PEM text.

    :param source: what to call the text in an error: a path.
    :raises CertificateError: it has none, or one that is neither EC nor RSA. The error quotes nothing of the text, and
        has no cause that would.
    """
    if isinstance(pem, str):
        pem = pem.encode('utf-8', 'replace')
    try:
        key = serialization.load_pem_private_key(pem, None, default_backend())
    except Exception:  # ValueError, TypeError, UnsupportedAlgorithm and others
        key = None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise CertificateError('{} is not an unencrypted private key in PEM form, or it is damaged.'.format(
            capital(source))) from None
    return key


def dump_private_key(key: PrivateKey) -> str:
    """Return its unencrypted PKCS#8 PEM text: only for a file with mode 0600."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode('ascii')


def reason(error: Exception) -> str:
    """Return the end of a sentence about an error of the operating system: 'no such file or directory'."""
    text = getattr(error, 'strerror', None) or str(error)
    return text[:1].lower() + text[1:]


def capital(source: str) -> str:
    """Return ``source`` as the beginning of a sentence; a path is unchanged."""
    return source[:1].upper() + source[1:] if source.startswith('the ') else source
