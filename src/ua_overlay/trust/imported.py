"""Import a self-signed certificate that was created elsewhere, for instance with openssl; invitations carry it.

Robots pin it: it is the only certificate that their tailscaled trusts. It cannot be renewed, only replaced, and then
every robot needs the new one. The usual CA of a site (store.init) avoids that, and its power is more limited.
"""
import datetime
import os
from typing import Tuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ua_overlay.advice import command
from ua_overlay.clock import format_utc
from ua_overlay.system import files, foreign_file
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import store
from ua_overlay.trust.certificate import CertificateError, PrivateKey

#: TLS libraries refuse shorter RSA keys.
RSA_BITS = 2048
_MAKE = ('openssl req -x509 -newkey rsa:4096 -sha256 -days 825 -nodes -keyout server.key -out server.pem '
         '-subj "/CN={0}" -addext "subjectAltName=DNS:{0}"')


def read(certificate_path: str, key_path: str, name: str,
         now: datetime.datetime) -> Tuple[x509.Certificate, PrivateKey]:
    """Read the certificate and the key, and check them as robots do.

    :param name: DNS name of the server.
    :param now: aware UTC datetime.
    :raises CertificateError: a file is unreadable; it is not one self-signed certificate with an RSA or EC key; it is
        not for ``name`` (WRONG_NAME); the key does not belong to it; it is not valid now (CLOCK, CERT_EXPIRED).
    """
    make = _MAKE.format(name)
    pem, key_pem = _read(certificate_path), _read(key_path)
    try:
        chain = certificates.load_certificates(pem, certificate_path)
        key = certificates.load_private_key(key_pem, key_path)
    except CertificateError as error:
        raise CertificateError(error.sentence, make)
    if len(chain) != 1:
        raise CertificateError('{} has {} certificates; it has to have one, self-signed.'.format(
            certificate_path, len(chain)), make)
    certificate = chain[0]
    if not certificates.is_signed_by(certificate, certificate):
        raise CertificateError('{} is not self-signed with an RSA or EC key, so robots cannot trust it alone.'.format(
            certificate_path), make)
    public_key = certificate.public_key()
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size < RSA_BITS:
        raise CertificateError('The key of {} has {} bits; it needs at least {}.'.format(
            certificate_path, public_key.key_size, RSA_BITS), make)
    if not certificates.has_key(certificate, key):
        raise CertificateError('{} does not belong to {}.'.format(key_path, certificate_path), make)
    # Clients read only the subject alternative name; a name that is only in the subject does not count.
    certificates.check_server_certificate(certificates.dump_certificates(certificate), certificate, name, now, make)
    return certificate, key


def adopt(directory: str, certificate: x509.Certificate, key: PrivateKey) -> None:
    """Write what :func:`read` returned as the trust of a new site, ca.pem last (see store.init)."""
    pem = certificates.dump_certificates(certificate)
    files.write_secret(os.path.join(directory, store.SERVER_KEY), certificates.dump_private_key(key))
    files.write_atomic(os.path.join(directory, store.SERVER_CERT), pem)
    files.write_atomic(os.path.join(directory, store.CA_CERT), pem)


def refuse_renewal(directory: str) -> None:
    """Refuse to renew an imported certificate; do nothing if the site has its own CA.

    :raises CertificateError: the certificate was imported.
    """
    if os.path.exists(os.path.join(directory, store.CA_KEY)):
        return
    trust = store.load(directory)
    if trust.server == trust.ca:
        raise CertificateError(
            'The certificate of {} was imported at `server init` and ends on {}: this site has no CA that could renew '
            'it.'.format(trust.dns_names[0], format_utc(certificates.not_after(trust.server))),
            'ua-overlay server init --dir NEW_DIR --name FQDN   # then a new invitation for every robot')


def warnings(certificate: x509.Certificate) -> Tuple[str, ...]:
    """Return the risks of an accepted certificate, as sentences."""
    if certificates.is_ca(certificate) and not certificates.permitted(certificate):
        return ('This certificate is also a CA for every name: whoever gets its key can impersonate any server to a '
                'program that trusts it. On robots only tailscaled does.',)
    return ()


def _read(path: str) -> bytes:
    try:
        return foreign_file.read(path, certificates.MAX_PEM_BYTES).data
    except OSError as error:
        raise CertificateError('{} cannot be read: {}.'.format(path, certificates.reason(error)),
                               command('ls -l {}', path))
