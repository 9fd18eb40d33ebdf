"""The files of a site's trust: written whole, read back checked, renewed without a moment in which they do not fit.

    ca.pem       the CA's certificate: what invitations carry             0644
    ca.key       the CA's key; never leaves the server                    0600
    server.pem   the server's certificate, then the CA's (full chain)     0644
    server.key   its key                                                  0600

While the CA is changed (roots.py) ca.pem has two certificates, the one that signs first, and ca.next.key is there.
"""
import contextlib
import fcntl
import os

from ua_overlay.system import files
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.certificate import CertificateError

CA_CERT = 'ca.pem'
CA_KEY = 'ca.key'
#: The key of the new root while the CA is changed.
NEXT_CA_KEY = 'ca.next.key'
SERVER_CERT = 'server.pem'
SERVER_KEY = 'server.key'
#: The next server key, from before the certificate that it belongs to is in place until after.
NEXT_KEY = 'server.key.next'
_OURS = (CA_CERT, CA_KEY, NEXT_CA_KEY, SERVER_CERT, SERVER_KEY)


class StoreError(CertificateError):
    """The files of a site's trust are missing, in the way, or do not fit together."""

    code = 'SITE'


class SiteTrust:
    """What `load` found: certificates and places, no private key.

    :ivar directory: where the files are.
    :ivar ca_pem: PEM text of the CA's certificates, for invitations.
    :ivar ca: x509.Certificate of the root that signs.
    :ivar server: x509.Certificate of the server.
    :ivar dns_names: the server's DNS names; the first is the site's.
    :ivar addresses: the server's addresses, text.
    """

    def __init__(self, directory, ca_pem, ca, server):
        self.directory = directory
        self.ca_pem = ca_pem
        self.ca = ca
        self.server = server
        self.dns_names, self.addresses = certificates.names_of(server)

    @property
    def ca_path(self):
        return os.path.join(self.directory, CA_CERT)

    @property
    def certificate_path(self):
        """The full chain: headscale's tls_cert_path."""
        return os.path.join(self.directory, SERVER_CERT)

    @property
    def key_path(self):
        """headscale's tls_key_path."""
        return os.path.join(self.directory, SERVER_KEY)

    def check(self, now):
        """Check the server's certificate as a robot would.

        :raises CertificateError: see certificate.check_server_certificate.
        """
        certificates.check_server_certificate(self.ca_pem, self.server, (self.dns_names or [''])[0], now)


def exists(directory):
    """Say whether the directory holds the trust of a site, whole or damaged."""
    return os.path.exists(os.path.join(directory, CA_CERT))


def init(directory, site_name, dns_names, addresses, now):
    """Make the CA and the server's certificate in ``directory`` (made 0700 if missing).

    ca.pem comes last: until it is there nothing can have been given to a robot, and an init that was cut short is done
    again from the start.

    :param now: aware UTC datetime.
    :returns: :class:`SiteTrust`.
    :raises StoreError: when there is a CA already (code SITE_EXISTS), or the directory cannot be written.
    """
    with held(directory, create=True):
        recover(directory)
        if exists(directory):
            raise StoreError('{} already holds the CA of a site; a second one would lock its robots out.'.format(
                directory), 'ua-overlay server status --dir {}'.format(directory), 'SITE_EXISTS')
        ca_key, ca = create_ca(site_name, dns_names, addresses, now)
        key, server = certificates.issue_server_certificate(ca_key, ca, dns_names, addresses, now)
        owner = owner_of(directory)
        files.write_secret(os.path.join(directory, CA_KEY), certificates.dump_private_key(ca_key), owner)
        _replace_server(directory, key, server, ca)
        files.write_atomic(os.path.join(directory, CA_CERT), certificates.dump_certificates(ca), owner=owner)
    return load(directory)


def load(directory):
    """Read the site's trust and check that its parts belong together (not the dates: `SiteTrust.check` does).

    :raises StoreError: SITE_MISSING, or SITE_DAMAGED naming the file and what mends it.
    """
    if not exists(directory):
        raise StoreError('There is no site in {} ({} is missing).'.format(directory, CA_CERT),
                         'ua-overlay server init --dir {} --name NAME'.format(directory), 'SITE_MISSING')
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


def renew(directory, now, dns_names=None, addresses=None):
    """Give the server a new key and certificate; robots notice nothing, headscale takes it at its next start.

    :param now: aware UTC datetime.
    :param dns_names: other names than now (within what the CA may vouch for), or None for the same.
    :param addresses: other addresses, or None for the same.
    :returns: :class:`SiteTrust` of the new state.
    :raises CertificateError: when the CA's key is missing or foreign, the CA expired or may not vouch for a name.
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
        # While the CA is changed both are shown: who knows them by their SHA-256 alone takes them from here.
        _replace_server(directory, key, server, *roots(directory))
    return load(directory)


def issue(directory, dns_names, now, days):
    """Make a key and a certificate for another host of the site; nothing is written.

    :param dns_names: within what the CA may vouch for: names below the server's.
    :param now: aware UTC datetime.
    :param days: its life.
    :returns: (PEM of the key, PEM of the full chain), both bytes or str as `certificate` dumps them.
    :raises CertificateError: as :func:`renew`.
    """
    restore = 'restore {} from your backup'.format(directory)
    if not exists(directory):
        load(directory)
    ca = _certificates(directory, CA_CERT, restore)[0]
    ca_key = _signing_key(directory, ca, restore)
    key, made = certificates.issue_server_certificate(ca_key, ca, dns_names, [], now, days)
    return certificates.dump_private_key(key), certificates.dump_certificates(made, ca)


def recover(directory):
    """Finish, or undo, a replacement that was cut short: after it server.key belongs to server.pem.

    `_replace_server` writes the new key beside the old one, then the new certificate over the old one, then moves the
    key. Whichever key belongs to the certificate that is in place is the right one.
    """
    following = os.path.join(directory, NEXT_KEY)
    for name in os.listdir(directory):
        # What files.write_atomic leaves when it is killed: never read, but it may hold a key.
        if name.startswith(tuple('.{}.'.format(ours) for ours in _OURS)):
            os.unlink(os.path.join(directory, name))
    if not os.path.exists(following):
        return
    try:
        server = _certificates(directory, SERVER_CERT, '')[0]
        forward = certificates.has_key(server, _key(directory, NEXT_KEY, ''))
    except CertificateError:
        forward = False
    if forward:
        os.replace(following, os.path.join(directory, SERVER_KEY))
    else:
        os.unlink(following)
    files.sync_directory(directory)


def _replace_server(directory, key, server, *authorities):
    owner = owner_of(directory)
    files.write_secret(os.path.join(directory, NEXT_KEY), certificates.dump_private_key(key), owner)
    files.write_atomic(os.path.join(directory, SERVER_CERT), certificates.dump_certificates(server, *authorities),
                       owner=owner)
    recover(directory)


def owner_of(directory):
    """Return the (uid, gid) of the directory when root writes: headscale runs as its owner and must read the keys."""
    if os.geteuid() != 0:
        return None
    status = os.stat(directory)
    return status.st_uid, status.st_gid


def _names(directory, ca):
    """Return the names of the certificate in place; of the CA's constraints when it is lost or damaged."""
    try:
        return certificates.names_of(_certificates(directory, SERVER_CERT, '')[0])
    except CertificateError:
        allowed = certificates.permitted(ca)
        return ([name for name in allowed if '/' not in name], [name.split('/')[0] for name in allowed if '/' in name])


def roots(directory):
    """The CA's certificates, the one that signs first."""
    return _certificates(directory, CA_CERT, 'restore {} from your backup'.format(directory))


def read_key(directory, name):
    """The private key in the file ``name``."""
    return _key(directory, name, 'restore {} from your backup'.format(directory))


def _signing_key(directory, ca, mend):
    """The key that belongs to the certificate ``ca``; while the CA is changed there are two."""
    for name in (CA_KEY, NEXT_CA_KEY):
        if name == CA_KEY or os.path.exists(os.path.join(directory, name)):
            key = _key(directory, name, mend)
            if certificates.has_key(ca, key):
                return key
    raise StoreError('{0}/{1} does not belong to {0}/{2}.'.format(directory, CA_KEY, CA_CERT), mend, 'SITE_DAMAGED')


def _read(directory, name, mend):
    path = os.path.join(directory, name)
    try:
        with open(path, 'rb') as stream:
            return stream.read(certificates.MAX_PEM_BYTES)
    except FileNotFoundError:
        raise StoreError('{} is missing.'.format(path), mend, 'SITE_DAMAGED')
    except PermissionError:
        raise StoreError('{} belongs to another user, and this one may not read it.'.format(path),
                         'sudo ua-overlay server status --dir {}'.format(directory), 'SITE_DENIED')


def _certificates(directory, name, mend):
    data = _read(directory, name, mend)
    try:
        return certificates.load_certificates(data, os.path.join(directory, name))
    except CertificateError as error:
        raise StoreError(error.sentence, mend, 'SITE_DAMAGED')


def _key(directory, name, mend):
    data = _read(directory, name, mend)
    try:
        return certificates.load_private_key(data, os.path.join(directory, name))
    except CertificateError as error:
        raise StoreError(error.sentence, mend, 'SITE_DAMAGED')


@contextlib.contextmanager
def held(directory, create=False):
    """Hold the directory's lock: a renewal by the timer and one by hand must not mix their keys."""
    try:
        if create:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError('The site directory {} cannot be used: {}.'.format(directory, error.strerror.lower()),
                         'run the same command with sudo, or with --dir and a place of your own')
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not os.access(directory, os.W_OK):
            raise StoreError('The site directory {} belongs to another user, and this one may not write there.'.format(
                directory), 'run the same command with sudo, or with --dir and a place of your own', 'SITE_DENIED')
        yield
    finally:
        os.close(handle)
