"""The files of a change of the CA, also when the power goes in the middle of a step."""
import datetime
import os

import pytest

from ua_overlay.system import files
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import roots, store
from ua_overlay.trust.rotation import STARTED, STEADY, SWITCHED

NOW = datetime.datetime(2026, 11, 24, 14, 25, tzinfo=datetime.timezone.utc)
NAME, ADDRESS = 'server.example.org', '203.0.113.10'


@pytest.fixture
def site(tmp_path):
    return store.init(str(tmp_path / 'site'), NAME, [NAME], [ADDRESS], NOW).directory


def accepted(trusted, directory):
    """Whether a robot that trusts the PEM text ``trusted`` accepts the server as it is now."""
    try:
        certificates.check_server_certificate(trusted, store.load(directory).server, NAME, NOW)
    except certificates.CertificateError:
        return False
    return True


def test_a_robot_with_both_roots_is_never_locked_out(site):
    old = store.load(site).ca_pem
    roots.start(site, NAME, NOW)
    both = store.load(site).ca_pem
    assert roots.phase(site) == STARTED and both.startswith(old) and both.count('BEGIN') == 2
    assert accepted(old, site) and accepted(both, site)
    store.renew(site, NOW)
    assert accepted(old, site)
    assert certificates.is_signed_by(roots.switch(site, NOW).server, store.load(site).ca)
    new = certificates.dump_certificates(store.load(site).ca)
    assert roots.phase(site) == SWITCHED and accepted(both, site) and accepted(new, site) and not accepted(old, site)
    roots.finish(site, NOW)
    assert roots.phase(site) == STEADY and store.load(site).ca_pem == new
    assert not os.path.exists(os.path.join(site, store.NEXT_CA_KEY))
    store.renew(site, NOW)
    assert accepted(both, site) and accepted(new, site)


def test_the_new_root_has_the_same_name_constraints(site):
    old = store.load(site).ca
    roots.start(site, NAME, NOW)
    new = store.roots(site)[1]
    assert certificates.permitted(new) == certificates.permitted(old)
    assert not certificates.has_key(new, store.read_key(site, store.CA_KEY))
    assert oct(os.stat(os.path.join(site, store.NEXT_CA_KEY)).st_mode)[-3:] == '600'


@pytest.mark.parametrize('switched', [False, True])
def test_cancel_restores_the_old_root(site, switched):
    old = store.load(site).ca_pem
    roots.start(site, NAME, NOW)
    if switched:
        roots.switch(site, NOW)
    roots.cancel(site, NOW)
    assert store.load(site).ca_pem == old and accepted(old, site) and roots.phase(site) == STEADY
    assert sorted(os.listdir(site)) == ['ca.key', 'ca.pem', 'server.key', 'server.pem']


def test_a_change_requires_the_ca_key(site):
    os.unlink(os.path.join(site, store.CA_KEY))
    before = sorted(os.listdir(site))
    with pytest.raises(store.StoreError, match='ca.key is missing'):
        roots.start(site, NAME, NOW)
    assert sorted(os.listdir(site)) == before and roots.phase(site) == STEADY


class PowerCut(BaseException):
    pass


def test_a_power_cut_at_any_write_locks_no_robot_out(site, monkeypatch):
    """Whichever write of a step was the last: the site loads, no robot is locked out, and the step can be repeated."""
    write, replace, unlink = files.write_atomic, os.replace, os.unlink
    left = [0]

    def cut(function):
        def run(*arguments, **options):
            if left[0] == 0:
                raise PowerCut
            left[0] -= 1
            return function(*arguments, **options)
        return run

    old = trusted = store.load(site).ca_pem
    count = 0
    for step, after in ((lambda: roots.start(site, NAME, NOW), STARTED), (lambda: roots.switch(site, NOW), SWITCHED),
                        (lambda: roots.finish(site, NOW), STEADY)):
        for moment in range(12):
            left[0] = moment
            with monkeypatch.context() as patch:
                patch.setattr(files, 'write_atomic', cut(write))
                patch.setattr(os, 'replace', cut(replace))
                patch.setattr(os, 'unlink', cut(unlink))
                try:
                    step()
                    break
                except PowerCut:
                    count += 1
            both = store.load(site).ca_pem if after == STARTED else trusted
            assert accepted(both, site), (after, moment)
            if roots.phase(site) == after and (after != SWITCHED or roots.switched_whole(site)):
                break
        assert roots.phase(site) == after
        trusted = store.load(site).ca_pem
    assert count >= 6 and old not in trusted
    store.renew(site, NOW)
    assert sorted(os.listdir(site)) == ['ca.key', 'ca.pem', 'server.key', 'server.pem']
