"""A certificate that was made elsewhere: a self-signed one, with openssl say. Then it is what invitations carry.

Robots pin it: it is the only certificate that their tailscaled trusts. It cannot be renewed, only replaced, and every
robot needs the new one then; a site's own CA (store.init) spares a site that, and constrains what it may vouch for.
"""
import os

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ua_overlay.clock import format_utc
from ua_overlay.system import files
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import store
from ua_overlay.trust.ca import is_ca
from ua_overlay.trust.certificate import CertificateError

#: Shorter RSA keys are refused by today's TLS libraries one after another.
RSA_BITS = 2048
_MAKE = ('openssl req -x509 -newkey rsa:4096 -sha256 -days 825 -nodes -keyout server.key -out server.pem '
         '-subj "/CN={0}" -addext "subjectAltName=DNS:{0}"')


def read(certificate_path, key_path, name, now):
    """The imported certificate and key, checked as every robot will check them.

    :param name: DNS name of the server.
    :param now: aware UTC datetime.
    :returns: (x509.Certificate, private key).
    :raises CertificateError: unreadable; not one self-signed certificate; of a kind that robots cannot check; not for
        ``name``; another key's; not in force (CLOCK, CERT_EXPIRED).
    """
    make = _MAKE.format(name)
    pem, key_pem = _read(certificate_path), _read(key_path)
    try:
        found = certificates.load_certificates(pem, certificate_path)
        key = certificates.load_private_key(key_pem, key_path)
    except CertificateError as error:
        raise CertificateError(error.sentence, make)
    if len(found) != 1:
        raise CertificateError('{} holds {} certificates; one self-signed certificate is wanted.'.format(
            certificate_path, len(found)), make)
    certificate = found[0]
    if not certificates.is_signed_by(certificate, certificate):
        raise CertificateError('{} is not self-signed with an RSA or EC key, so robots cannot be told to trust it '
                               'alone.'.format(certificate_path), make)
    if isinstance(certificate.public_key(), rsa.RSAPublicKey) and certificate.public_key().key_size < RSA_BITS:
        raise CertificateError('The key of {} has {} bits; {} is the least.'.format(
            certificate_path, certificate.public_key().key_size, RSA_BITS), make)
    if _public(certificate) != _public(key):
        raise CertificateError('{} does not belong to {}.'.format(key_path, certificate_path), make)
    # Clients read the subject alternative name alone; a name that is only in the subject is none.
    certificates.check_server_certificate(certificates.dump_certificates(certificate), certificate, name, now, make)
    return certificate, key


def adopt(directory, certificate, key):
    """Write what :func:`read` returned as the trust of a new site, ca.pem last (see store.init)."""
    pem = certificates.dump_certificates(certificate)
    files.write_secret(os.path.join(directory, store.SERVER_KEY), certificates.dump_private_key(key))
    files.write_atomic(os.path.join(directory, store.SERVER_CERT), pem)
    files.write_atomic(os.path.join(directory, store.CA_CERT), pem)


def refuse_renewal(directory):
    """:raises CertificateError: the site's certificate was imported, so there is no CA that could make another one."""
    if os.path.exists(os.path.join(directory, store.CA_KEY)):
        return
    trust = store.load(directory)
    if trust.server == trust.ca:
        raise CertificateError(
            'The certificate of {} was imported at `server init` and ends on {}: this site has no CA that could renew '
            'it.'.format(trust.dns_names[0], format_utc(certificates.not_after(trust.server))),
            'ua-overlay server init --dir NEW_DIR, and then a new invitation for every robot')


def warnings(certificate):
    """What a person should know of a certificate that was accepted: a tuple of sentences."""
    if is_ca(certificate) and not certificates.permitted(certificate):
        return ('This certificate is also a CA for every name: whoever gets its key can pose as any server towards a '
                'program that trusts it. On robots that is tailscaled alone.',)
    return ()


def _public(owner):
    key = owner.public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _read(path):
    try:
        with open(path, 'rb') as stream:
            return stream.read(certificates.MAX_PEM_BYTES)
    except OSError as error:
        raise CertificateError('{} cannot be read: {}.'.format(path, error.strerror.lower()), 'ls -l {}'.format(path))
