"""The files of a change of the CA: each step is one file replaced, so a power cut leaves the state before or after it.

    ca.pem        the roots that invitations carry and the site's own programs trust; the one that signs comes first
    ca.key        the key of the old root until `finish`
    ca.next.key   the key of the new one
"""
import os

from ua_overlay.system import files
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import imported, rotation, store
from ua_overlay.trust.ca import create_ca


def phase(directory):
    """The phase of the change of the CA, after what a power cut left was put in order.

    :raises StoreError: the files of the trust are damaged or do not fit together.
    """
    with store.held(directory):
        return _phase(directory)


def start(directory, site_name, now):
    """Make the new root; from now on invitations carry both.

    :param now: aware UTC datetime.
    :raises RotationError: a change is under way already.
    """
    imported.refuse_renewal(directory)
    with store.held(directory):
        rotation.check_step(rotation.START, _phase(directory))
        # Both the next certificates and going back need it.
        store.read_key(directory, store.CA_KEY)
        old = store.roots(directory)[0]
        allowed = certificates.permitted(old)
        key, new = create_ca(site_name, [name for name in allowed if '/' not in name],
                             [name.split('/')[0] for name in allowed if '/' in name], now)
        owner = store.owner_of(directory)
        files.write_secret(os.path.join(directory, store.NEXT_CA_KEY), certificates.dump_private_key(key), owner)
        _write_roots(directory, old, new)
    store.renew(directory, now)


def switch(directory, now):
    """Let the new root sign, and give the server a certificate of it. Fine to repeat after a power cut.

    :returns: store.SiteTrust of the new state.
    """
    with store.held(directory):
        if _phase(directory) != rotation.SWITCHED:
            rotation.check_step(rotation.SWITCH, _phase(directory))
            _write_roots(directory, *reversed(store.roots(directory)))
    return store.renew(directory, now)


def finish(directory, now):
    """Forget the old root and its key."""
    if not switched_whole(directory):
        switch(directory, now)
    with store.held(directory):
        rotation.check_step(rotation.FINISH, _phase(directory))
        _write_roots(directory, store.roots(directory)[0])
        _phase(directory)


def switched_whole(directory):
    """Whether the server's certificate is of the root that signs: False after a power cut in `switch`."""
    trust = store.load(directory)
    return certificates.is_signed_by(trust.server, trust.ca)


def cancel(directory, now):
    """Stay with the old root: it signs (again), and the new one is forgotten."""
    with store.held(directory):
        found = _phase(directory)
        rotation.check_step(rotation.CANCEL, found)
        both = store.roots(directory)
        if found == rotation.SWITCHED:
            _write_roots(directory, *reversed(both))
    trust = store.renew(directory, now) if found == rotation.SWITCHED else store.load(directory)
    with store.held(directory):
        _write_roots(directory, trust.ca)
        _phase(directory)
    return trust


def _write_roots(directory, *authorities):
    files.write_atomic(os.path.join(directory, store.CA_CERT), certificates.dump_certificates(*authorities),
                       owner=store.owner_of(directory))


def _phase(directory):
    authorities = store.roots(directory)
    following = os.path.join(directory, store.NEXT_CA_KEY)
    found = rotation.phase_of(
        tuple(certificates.sha256_fingerprint(each) for each in authorities),
        _root_of(directory, store.CA_KEY, authorities), _root_of(directory, store.NEXT_CA_KEY, authorities))
    if found == rotation.PROMOTE:
        os.replace(following, os.path.join(directory, store.CA_KEY))
    elif found == rotation.DISCARD:
        os.unlink(following)
    elif not found:
        raise store.StoreError('The keys of the CA in {} do not belong to its certificates.'.format(directory),
                               'ua-overlay server restore FILE, with a backup', 'SITE_DAMAGED')
    else:
        return found
    files.sync_directory(directory)
    return rotation.STEADY


def _root_of(directory, name, authorities):
    """Fingerprint of the root that a key file belongs to, 'none' when to no one here, '' without the file."""
    if not os.path.exists(os.path.join(directory, name)):
        return ''
    key = store.read_key(directory, name)
    return next((certificates.sha256_fingerprint(each) for each in authorities if certificates.has_key(each, key)),
                'none')
