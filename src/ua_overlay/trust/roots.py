"""The files of a change of the CA. Each step replaces one file, so a power cut leaves the old or the new state.

    ca.pem        the roots that invitations carry and the site's own programs trust; the signing one comes first
    ca.key        the key of the old root until `finish`
    ca.next.key   the key of the new root
"""
import datetime
import os
from typing import Sequence

from cryptography import x509

from ua_overlay.system import files
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import imported, rotation, store
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.store import SiteTrust


def phase(directory: str) -> str:
    """Repair the files after a power cut; return the phase of the change.

    :raises StoreError: the files of the trust are damaged or do not fit together.
    """
    with store.held(directory):
        return _phase(directory)


def start(directory: str, site_name: str, now: datetime.datetime) -> None:
    """Create the new root; from now on invitations carry both.

    :param now: aware UTC datetime.
    :raises RotationError: a change has been started already.
    """
    imported.refuse_renewal(directory)
    with store.held(directory):
        rotation.check_step(rotation.START, _phase(directory))
        # Refuse now if the key is missing: the next certificates and `cancel` need it.
        store.read_key(directory, store.CA_KEY)
        old = store.roots(directory)[0]
        dns_names, addresses = store.permitted_names(old)
        key, new = create_ca(site_name, dns_names, addresses, now)
        owner = store.owner_of(directory)
        files.write_secret(os.path.join(directory, store.NEXT_CA_KEY), certificates.dump_private_key(key), owner)
        _write_roots(directory, old, new)
    store.renew(directory, now)


def switch(directory: str, now: datetime.datetime) -> SiteTrust:
    """Make the new root the signing one, and issue the server a certificate from it. Repeatable after a power cut."""
    with store.held(directory):
        if _phase(directory) != rotation.SWITCHED:
            rotation.check_step(rotation.SWITCH, _phase(directory))
            _write_roots(directory, *reversed(store.roots(directory)))
    return store.renew(directory, now)


def finish(directory: str, now: datetime.datetime) -> None:
    """Remove the old root and its key."""
    if not switched_whole(directory):
        switch(directory, now)
    with store.held(directory):
        rotation.check_step(rotation.FINISH, _phase(directory))
        _write_roots(directory, store.roots(directory)[0])
        _phase(directory)


def switched_whole(directory: str) -> bool:
    """Return whether the signing root issued the server's certificate; False after a power cut in :func:`switch`."""
    trust = store.load(directory)
    return certificates.is_signed_by(trust.server, trust.ca)


def cancel(directory: str, now: datetime.datetime) -> SiteTrust:
    """Keep the old root, which signs (again), and remove the new one."""
    with store.held(directory):
        before = _phase(directory)
        rotation.check_step(rotation.CANCEL, before)
        both = store.roots(directory)
        if before == rotation.SWITCHED:
            _write_roots(directory, *reversed(both))
    trust = store.renew(directory, now) if before == rotation.SWITCHED else store.load(directory)
    with store.held(directory):
        _write_roots(directory, trust.ca)
        _phase(directory)
    return trust


def _write_roots(directory: str, *authorities: x509.Certificate) -> None:
    files.write_atomic(os.path.join(directory, store.CA_CERT), certificates.dump_certificates(*authorities),
                       owner=store.owner_of(directory))


def _phase(directory: str) -> str:
    authorities = store.roots(directory)
    next_key = os.path.join(directory, store.NEXT_CA_KEY)
    state = rotation.phase_of(
        tuple(certificates.sha256_fingerprint(each) for each in authorities),
        _root_of(directory, store.CA_KEY, authorities), _root_of(directory, store.NEXT_CA_KEY, authorities))
    if state == rotation.PROMOTE:
        os.replace(next_key, os.path.join(directory, store.CA_KEY))
    elif state == rotation.DISCARD:
        os.unlink(next_key)
    elif not state:
        raise store.StoreError('The keys of the CA in {} do not belong to its certificates.'.format(directory),
                               'ua-overlay server restore FILE   # a backup', 'SITE_DAMAGED')
    else:
        return state
    files.sync_directory(directory)
    return rotation.STEADY


def _root_of(directory: str, name: str, authorities: Sequence[x509.Certificate]) -> str:
    """Return the fingerprint of the root that a key file belongs to, 'none' for another root, '' without the file."""
    if not os.path.exists(os.path.join(directory, name)):
        return ''
    key = store.read_key(directory, name)
    return next((certificates.sha256_fingerprint(each) for each in authorities if certificates.has_key(each, key)),
                'none')
