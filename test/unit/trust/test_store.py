"""The files of a site's trust: modes, damage, renewal, and a kill at any moment."""
import datetime
import os
import stat
import subprocess
import sys

import pytest
from paths import SOURCE

from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import store
from ua_overlay.trust.certificate import CertificateError

NOW = datetime.datetime(2026, 11, 22, 18, 48, 52, tzinfo=datetime.timezone.utc)
LATER = NOW + datetime.timedelta(days=70)
NAME = 'server.ua.test'
ADDRESS = '203.0.113.10'


@pytest.fixture
def site(tmp_path):
    directory = str(tmp_path / 'site')
    return store.init(directory, NAME, [NAME], [ADDRESS], NOW)


def read(trust, name):
    with open(os.path.join(trust.directory, name)) as stream:
        return stream.read()


def mode(trust, name):
    return stat.S_IMODE(os.stat(os.path.join(trust.directory, name)).st_mode)


def test_init_writes_four_files_with_their_modes(site):
    assert sorted(os.listdir(site.directory)) == ['ca.key', 'ca.pem', 'server.key', 'server.pem']
    assert {name: mode(site, name) for name in os.listdir(site.directory)} == {
        'ca.key': 0o600, 'server.key': 0o600, 'ca.pem': 0o644, 'server.pem': 0o644}
    assert stat.S_IMODE(os.stat(site.directory).st_mode) == 0o700
    assert (site.dns_names, site.addresses) == ([NAME], [ADDRESS])
    assert read(site, 'ca.pem') == site.ca_pem and read(site, 'server.pem').endswith(site.ca_pem)
    site.check(NOW)


def test_a_second_init_changes_nothing(site):
    before = {name: read(site, name) for name in os.listdir(site.directory)}
    with pytest.raises(store.StoreError) as caught:
        store.init(site.directory, NAME, [NAME], [], NOW)
    assert caught.value.code == 'SITE_EXISTS' and site.directory in caught.value.sentence
    assert {name: read(site, name) for name in os.listdir(site.directory)} == before


def test_no_site(tmp_path):
    for action in (store.load, lambda directory: store.renew(directory, NOW)):
        with pytest.raises(store.StoreError) as caught:
            action(str(tmp_path / 'nowhere'))
        assert caught.value.code == 'SITE_MISSING'
        assert 'server init' in caught.value.next_command
    assert not os.path.exists(str(tmp_path / 'nowhere'))


def test_an_invalid_path(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(store.StoreError, match='cannot be used'):
        store.init(str(tmp_path / 'file'), NAME, [NAME], [], NOW)


def test_renewal_changes_key_and_certificate_but_not_the_ca(site):
    renewed = store.renew(site.directory, LATER)
    assert certificates.not_after(renewed.server) - certificates.not_after(site.server) == LATER - NOW
    assert renewed.server.public_key().public_numbers() != site.server.public_key().public_numbers()
    assert renewed.ca_pem == site.ca_pem and (renewed.dns_names, renewed.addresses) == ([NAME], [ADDRESS])
    assert sorted(os.listdir(site.directory)) == ['ca.key', 'ca.pem', 'server.key', 'server.pem']
    assert mode(site, 'server.key') == 0o600
    renewed.check(LATER)


def test_renewal_with_a_name_outside_the_constraints_changes_nothing(site):
    before = read(site, 'server.pem')
    with pytest.raises(CertificateError, match='other.test'):
        store.renew(site.directory, LATER, dns_names=['other.test'])
    assert read(site, 'server.pem') == before


@pytest.mark.parametrize('name', ['server.pem', 'server.key'])
@pytest.mark.parametrize('damage', ['missing', 'empty', 'cut', 'foreign'])
def test_damaged_server_files_are_named_and_a_renewal_repairs_them(site, tmp_path, name, damage):
    path = os.path.join(site.directory, name)
    if damage == 'missing':
        os.unlink(path)
    else:
        foreign = store.init(str(tmp_path / 'other'), NAME, [NAME], [ADDRESS], NOW)
        text = {'empty': '', 'cut': read(site, name)[:100], 'foreign': read(foreign, name)}[damage]
        with open(path, 'w') as stream:
            stream.write(text)
    with pytest.raises(store.StoreError) as caught:
        store.load(site.directory)
    assert caught.value.code == 'SITE_DAMAGED' and name in caught.value.sentence
    assert caught.value.next_command == 'ua-overlay server renew --dir ' + site.directory
    renewed = store.renew(site.directory, LATER)
    assert (renewed.dns_names, renewed.addresses) == ([NAME], [ADDRESS])
    renewed.check(LATER)


def test_a_server_pair_of_another_site_is_refused(site, tmp_path):
    other = store.init(str(tmp_path / 'other'), NAME, [NAME], [ADDRESS], NOW)
    for name in ('server.pem', 'server.key'):
        os.replace(os.path.join(other.directory, name), os.path.join(site.directory, name))
    with pytest.raises(store.StoreError, match='was not signed by the CA beside it'):
        store.load(site.directory)


def test_a_ca_key_of_another_site_is_not_used(site, tmp_path):
    other = store.init(str(tmp_path / 'other'), NAME, [NAME], [ADDRESS], NOW)
    os.replace(os.path.join(other.directory, 'ca.key'), os.path.join(site.directory, 'ca.key'))
    with pytest.raises(store.StoreError, match='ca.key does not belong'):
        store.renew(site.directory, LATER)


def test_errors_never_show_a_key(site):
    with open(site.key_path) as stream:
        secret = stream.read()
    with open(site.key_path, 'w') as stream:
        stream.write(secret[:150])
    with pytest.raises(store.StoreError) as caught:
        store.load(site.directory)
    assert secret.splitlines()[1][:20] not in str(caught.value)


KILLED = '''
import datetime, os, sys
from ua_overlay.trust import store
directory, action, victim, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
real = getattr(os, victim)
def fatal(*args, **kwargs):
    global count
    count -= 1
    if count < 0:
        os._exit(9)
    return real(*args, **kwargs)
now = datetime.datetime(2027, 1, 31, tzinfo=datetime.timezone.utc)
setattr(os, victim, fatal)
if action == 'init':
    store.init(directory, 'lab', ['server.ua.test'], [], now)
else:
    store.renew(directory, now)
'''


def die_at(directory, action, victim, count):
    """Run the action in a process that dies without a word at its count-th call of an os function; True if it did."""
    source = SOURCE
    done = subprocess.run([sys.executable, '-c', KILLED, directory, action, victim, str(count)],
                          env=dict(os.environ, PYTHONPATH=source), timeout=60)
    assert done.returncode in (0, 9)
    return done.returncode == 9


@pytest.mark.parametrize('victim', ['replace', 'fsync'])
def test_a_renewal_killed_at_any_point_leaves_a_matching_pair(site, victim):
    deaths = 0
    while die_at(site.directory, 'renew', victim, deaths):
        deaths += 1
        trust = store.load(site.directory)
        trust.check(datetime.datetime(2027, 1, 31, tzinfo=datetime.timezone.utc))
    assert deaths >= 3
    store.renew(site.directory, LATER)
    assert sorted(os.listdir(site.directory)) == ['ca.key', 'ca.pem', 'server.key', 'server.pem']


@pytest.mark.parametrize('victim', ['replace', 'fsync'])
def test_an_init_killed_at_any_point_can_be_repeated(tmp_path, victim):
    deaths = 0
    while True:
        directory = str(tmp_path / str(deaths))
        if not die_at(directory, 'init', victim, deaths):
            break
        deaths += 1
        if not store.exists(directory):
            store.init(directory, NAME, [NAME], [], NOW)
        assert store.load(directory).dns_names == ['server.ua.test']
        assert not [name for name in os.listdir(directory) if name.endswith('.next')]
    assert deaths >= 4


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can write as another user')
def test_files_written_by_root_belong_to_the_directory_owner(tmp_path):
    directory = tmp_path / 'site'
    directory.mkdir()
    os.chown(str(directory), 65534, 65534)
    store.init(str(directory), NAME, [NAME], [], NOW)
    store.renew(str(directory), LATER)
    assert {os.stat(str(directory / name)).st_uid for name in os.listdir(str(directory))} == {65534}


def test_the_ca_permits_only_names_below_the_server_name(site):
    key, chain = store.issue(site.directory, ['lab-b.' + NAME], NOW, 398)
    assert 'PRIVATE KEY' in key
    leaf, ca = certificates.load_certificates(chain, 'x')
    assert certificates.names_of(leaf)[0] == ['lab-b.' + NAME] and ca == site.ca
    with pytest.raises(CertificateError, match='only vouch for'):
        store.issue(site.directory, ['elsewhere.test'], NOW, 398)


@pytest.mark.parametrize('left', ['ca.key', 'server.pem'])
def test_a_site_without_its_ca_is_damaged_and_not_absent(tmp_path, left):
    """`server init` would refuse this directory."""
    (tmp_path / left).write_text('x')
    with pytest.raises(store.StoreError) as caught:
        store.load(str(tmp_path))
    assert (caught.value.code, caught.value.sentence) == ('SITE_DAMAGED', '{}/ca.pem is missing.'.format(tmp_path))
    assert caught.value.next_command == 'restore {} from your backup'.format(tmp_path)
