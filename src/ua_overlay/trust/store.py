"""The files of a site's trust: written atomically, checked when read, and renewed so that they stay consistent.

    ca.pem       the CA's certificate: what invitations carry             0644
    ca.key       the CA's key; never leaves the server                    0600
    server.pem   the server's certificate, then the CA's (full chain)     0644
    server.key   its key                                                  0600

During a change of the CA (roots.py) ca.pem has two certificates, the signing one first, and ca.next.key exists.
"""
import contextlib
import datetime
import fcntl
import os
from typing import Iterator, List, Optional, Sequence, Tuple

from cryptography import x509

from ua_overlay.advice import command
from ua_overlay.system import files, foreign_file
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.certificate import CertificateError, PrivateKey

CA_CERT = 'ca.pem'
CA_KEY = 'ca.key'
#: The key of the new root during a change of the CA.
NEXT_CA_KEY = 'ca.next.key'
SERVER_CERT = 'server.pem'
SERVER_KEY = 'server.key'
#: The next server key, until its certificate is in place.
NEXT_KEY = 'server.key.next'
_OURS = (CA_CERT, CA_KEY, NEXT_CA_KEY, SERVER_CERT, SERVER_KEY)


class StoreError(CertificateError):
    """The files of a site's trust are missing, exist already, or are inconsistent."""

    code = 'SITE'


class SiteTrust:
    """The certificates of a site and the paths of its files, without any private key.

    :ivar directory: path of the directory with the files.
    :ivar ca_pem: PEM text of the CA's certificates, for invitations.
    :ivar ca: the signing root.
    :ivar server: the server's certificate.
    :ivar dns_names: the server's DNS names; the first is the site's.
    :ivar addresses: the server's addresses.
    """

    def __init__(self, directory: str, ca_pem: str, ca: x509.Certificate, server: x509.Certificate) -> None:
        self.directory = directory
        self.ca_pem = ca_pem
        self.ca = ca
        self.server = server
        self.dns_names, self.addresses = certificates.names_of(server)

    @property
    def ca_path(self) -> str:
        """The CA's certificates."""
        return os.path.join(self.directory, CA_CERT)

    @property
    def certificate_path(self) -> str:
        """The full chain: headscale's tls_cert_path."""
        return os.path.join(self.directory, SERVER_CERT)

    @property
    def key_path(self) -> str:
        """headscale's tls_key_path."""
        return os.path.join(self.directory, SERVER_KEY)

    def check(self, now: datetime.datetime) -> None:
        """Check the server's certificate as a robot would.

        :raises CertificateError: see certificate.check_server_certificate.
        """
        certificates.check_server_certificate(self.ca_pem, self.server, (self.dns_names or [''])[0], now)


def exists(directory: str) -> bool:
    """Return whether the directory has the trust of a site, intact or damaged."""
    return os.path.exists(os.path.join(directory, CA_CERT))


def init(directory: str, site_name: str, dns_names: Sequence[str], addresses: Sequence[str],
         now: datetime.datetime) -> SiteTrust:
    """Create the CA and the server's certificate in ``directory`` (created with mode 0700 if missing).

    ca.pem is written last: before it exists, no robot can have received a certificate, so an interrupted init starts
    over.

    :param now: aware UTC datetime.
    :raises StoreError: there is a CA already (SITE_EXISTS), or the directory cannot be written.
    """
    with held(directory, create=True):
        recover(directory)
        if exists(directory):
            raise StoreError('{} already has the CA of a site; a second one would lock its robots out.'.format(
                directory), command('ua-overlay server status --dir {}', directory), 'SITE_EXISTS')
        ca_key, ca = create_ca(site_name, dns_names, addresses, now)
        key, server = certificates.issue_server_certificate(ca_key, ca, dns_names, addresses, now)
        owner = owner_of(directory)
        files.write_secret(os.path.join(directory, CA_KEY), certificates.dump_private_key(ca_key), owner)
        _replace_server(directory, key, server, ca)
        files.write_atomic(os.path.join(directory, CA_CERT), certificates.dump_certificates(ca), owner=owner)
    return load(directory)


def load(directory: str) -> SiteTrust:
    """Read the site's trust and check that its parts belong together (`SiteTrust.check` checks the dates).

    :raises StoreError: SITE_MISSING, or SITE_DAMAGED naming the file and the command that repairs it.
    """
    if not exists(directory) and any(os.path.exists(os.path.join(directory, name)) for name in _OURS):
        raise StoreError('{}/{} is missing.'.format(directory, CA_CERT),
                         'restore {} from your backup'.format(directory), 'SITE_DAMAGED')
    if not exists(directory):
        raise StoreError('There is no site in {} ({} is missing).'.format(directory, CA_CERT),
                         command('ua-overlay server init --dir {} --name NAME', directory), 'SITE_MISSING')
    if os.path.exists(os.path.join(directory, NEXT_KEY)):
        with held(directory):
            recover(directory)
    restore = 'restore {} from your backup'.format(directory)
    renew = 'ua-overlay server renew --dir {}'.format(directory)
    authorities = _certificates(directory, CA_CERT, restore)
    server = _certificates(directory, SERVER_CERT, renew)[0]
    if not any(certificates.is_signed_by(server, ca) for ca in authorities):
        raise StoreError('{}/{} was not signed by the CA beside it.'.format(directory, SERVER_CERT), renew,
                         'SITE_DAMAGED')
    if not certificates.has_key(server, _key(directory, SERVER_KEY, renew)):
        raise StoreError('{0}/{1} does not belong to {0}/{2}.'.format(directory, SERVER_KEY, SERVER_CERT), renew,
                         'SITE_DAMAGED')
    return SiteTrust(directory, certificates.dump_certificates(*authorities), authorities[0], server)


def renew(directory: str, now: datetime.datetime, dns_names: Optional[Sequence[str]] = None,
          addresses: Optional[Sequence[str]] = None) -> SiteTrust:
    """Give the server a new key and certificate. Robots notice nothing; headscale uses it from its next start on.

    :param now: aware UTC datetime.
    :param dns_names: new names, for which the CA may vouch; None keeps the old ones.
    :param addresses: new addresses; None keeps the old ones.
    :returns: the new SiteTrust.
    :raises CertificateError: the CA's key is missing or another CA's; or the CA has expired, or may not vouch for a
        name.
    """
    restore = 'restore {} from your backup'.format(directory)
    if not exists(directory):
        load(directory)
    with held(directory):
        recover(directory)
        ca = _certificates(directory, CA_CERT, restore)[0]
        ca_key = _signing_key(directory, ca, restore)
        if dns_names is None or addresses is None:
            old_names, old_addresses = _names(directory, ca)
            dns_names = old_names if dns_names is None else dns_names
            addresses = old_addresses if addresses is None else addresses
        key, server = certificates.issue_server_certificate(ca_key, ca, dns_names, addresses, now)
        # During a change of the CA the server sends both roots: a robot that knows only their SHA-256 gets them from
        # this chain.
        _replace_server(directory, key, server, *roots(directory))
    return load(directory)


def issue(directory: str, dns_names: Sequence[str], now: datetime.datetime, days: float) -> Tuple[str, str]:
    """Create a key and a certificate for another host of the site, without writing files.

    :param dns_names: names below the server's; the CA may not vouch for others.
    :param now: aware UTC datetime.
    :param days: lifetime of the certificate.
    :returns: (PEM text of the key, PEM text of the full chain).
    :raises CertificateError: see :func:`renew`.
    """
    restore = 'restore {} from your backup'.format(directory)
    if not exists(directory):
        load(directory)
    ca = _certificates(directory, CA_CERT, restore)[0]
    ca_key = _signing_key(directory, ca, restore)
    key, leaf = certificates.issue_server_certificate(ca_key, ca, dns_names, [], now, days)
    return certificates.dump_private_key(key), certificates.dump_certificates(leaf, ca)


def recover(directory: str) -> None:
    """Finish or undo an interrupted replacement, so that server.key belongs to server.pem.

    `_replace_server` writes the new key beside the old one, then the new certificate over the old one, then moves the
    key. The right key is the one that belongs to the certificate in place.
    """
    next_key = os.path.join(directory, NEXT_KEY)
    for name in os.listdir(directory):
        # A killed files.write_atomic left it: no program reads it, but it may contain a key.
        if name.startswith(tuple('.{}.'.format(ours) for ours in _OURS)):
            os.unlink(os.path.join(directory, name))
    if not os.path.exists(next_key):
        return
    try:
        server = _certificates(directory, SERVER_CERT, '')[0]
        forward = certificates.has_key(server, _key(directory, NEXT_KEY, ''))
    except CertificateError:
        forward = False
    if forward:
        os.replace(next_key, os.path.join(directory, SERVER_KEY))
    else:
        os.unlink(next_key)
    files.sync_directory(directory)


def _replace_server(directory: str, key: PrivateKey, server: x509.Certificate,
                    *authorities: x509.Certificate) -> None:
    owner = owner_of(directory)
    files.write_secret(os.path.join(directory, NEXT_KEY), certificates.dump_private_key(key), owner)
    files.write_atomic(os.path.join(directory, SERVER_CERT), certificates.dump_certificates(server, *authorities),
                       owner=owner)
    recover(directory)


def owner_of(directory: str) -> Optional[Tuple[int, int]]:
    """Return the (uid, gid) of the directory for root, else None: headscale runs as the owner and reads the keys."""
    if os.geteuid() != 0:
        return None
    status = os.stat(directory)
    return status.st_uid, status.st_gid


def _names(directory: str, ca: x509.Certificate) -> Tuple[List[str], List[str]]:
    """Return the names in the server's certificate, or in the CA's constraints if the certificate is lost or
    damaged."""
    try:
        return certificates.names_of(_certificates(directory, SERVER_CERT, '')[0])
    except CertificateError:
        return permitted_names(ca)


def permitted_names(ca: x509.Certificate) -> Tuple[List[str], List[str]]:
    """Return (DNS names, addresses) that the CA's constraints permit."""
    allowed = certificates.permitted(ca)
    return [name for name in allowed if '/' not in name], [name.split('/')[0] for name in allowed if '/' in name]


def roots(directory: str) -> List[x509.Certificate]:
    """Return the CA's certificates, the signing one first."""
    return _certificates(directory, CA_CERT, 'restore {} from your backup'.format(directory))


def read_key(directory: str, name: str) -> PrivateKey:
    """Return the private key in the file ``name``.

    :raises StoreError: it is missing or damaged.
    """
    return _key(directory, name, 'restore {} from your backup'.format(directory))


def _signing_key(directory: str, ca: x509.Certificate, fix: str) -> PrivateKey:
    """Return the key that belongs to the certificate ``ca``; during a change of the CA there are two keys."""
    for name in (CA_KEY, NEXT_CA_KEY):
        if name == CA_KEY or os.path.exists(os.path.join(directory, name)):
            key = _key(directory, name, fix)
            if certificates.has_key(ca, key):
                return key
    raise StoreError('{0}/{1} does not belong to {0}/{2}.'.format(directory, CA_KEY, CA_CERT), fix, 'SITE_DAMAGED')


def _read(directory: str, name: str, fix: str) -> bytes:
    path = os.path.join(directory, name)
    try:
        return foreign_file.read(path, certificates.MAX_PEM_BYTES).data
    except FileNotFoundError:
        raise StoreError('{} is missing.'.format(path), fix, 'SITE_DAMAGED')
    except PermissionError:
        raise StoreError('{} belongs to another user, so this user may not read it.'.format(path),
                         command('sudo ua-overlay server status --dir {}', directory), 'SITE_DENIED')
    except OSError as error:
        raise StoreError('{} cannot be read: {}.'.format(path, certificates.reason(error)), fix, 'SITE_DAMAGED')


def _certificates(directory: str, name: str, fix: str) -> List[x509.Certificate]:
    data = _read(directory, name, fix)
    try:
        return certificates.load_certificates(data, os.path.join(directory, name))
    except CertificateError as error:
        raise StoreError(error.sentence, fix, 'SITE_DAMAGED')


def _key(directory: str, name: str, fix: str) -> PrivateKey:
    data = _read(directory, name, fix)
    try:
        return certificates.load_private_key(data, os.path.join(directory, name))
    except CertificateError as error:
        raise StoreError(error.sentence, fix, 'SITE_DAMAGED')


@contextlib.contextmanager
def held(directory: str, create: bool = False) -> Iterator[None]:
    """Hold the directory's lock, so that two renewals cannot mix their keys.

    :param create: make the directory if it is missing.
    :raises StoreError: the directory cannot be used, or this user may not write to it (SITE_DENIED).
    """
    try:
        if create:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError('The site directory {} cannot be used: {}.'.format(directory, certificates.reason(error)),
                         'run the same command with sudo, or with another --dir')
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not os.access(directory, os.W_OK):
            raise StoreError('The site directory {} belongs to another user, so this user may not write there.'.format(
                directory), 'run the same command with sudo, or with another --dir', 'SITE_DENIED')
        yield
    finally:
        os.close(handle)
