"""Files of a site and backups of one, mutated and crafted: a value or an OverlayError, and nothing else."""
import datetime
import gzip
import io
import json
import os
import tarfile

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ua_overlay.clock import format_rfc3339
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import versions
from ua_overlay.headscale.rules import Rules, Talk, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site import archive, ca_change, invitation_log, last_good
from ua_overlay.site.archive import BackupError
from ua_overlay.site.invitation_list import list_invitations
from ua_overlay.site.site import Site, dump_site, parse_site
from ua_overlay.site.yaml_edit import keep_comments
from ua_overlay.system import schema
from unit.fuzz.test_trust import JSON, TEXTS, mutated, shown

NOW = datetime.datetime(2026, 11, 24, 14, 25, tzinfo=datetime.timezone.utc)
SITE = dump_site(SiteSettings('gate.example', ('203.0.113.10',)), Rules(
    {'iris': Team('iris'), 'blue': Team('blue', inside=('ros', 22))}, (Talk('iris', 'blue'),),
    {'ana': User('ana', ('iris',))}))
#: Values of every kind that YAML has, at the places of a site file.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.dates() | st.binary(max_size=8)
    | st.sampled_from(['203.0.113.10', 'iris', 'all', 8080, 70000, -1, '*', 'everything']),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXTS | st.integers() | st.booleans() | st.none(),
                                                                   inside, max_size=4))
FIELDS = ['version', 'name', 'addresses', 'port', 'stun_port', 'relay_port', 'base_domain', 'private', 'relays', 'derp',
          'teams', 'talk', 'users', 'ephemeral_ports', 'other']


def read_site(text):
    """What every command does with site.yaml; returns its error."""
    try:
        settings, rules = parse_site(text, 'site.yaml')
    except UsageError as error:
        assert len(str(error)) < 3000
        return error
    parse_site(dump_site(settings, rules), 'site.yaml')
    keep_comments(text, dump_site(settings, rules))
    return None


def test_the_site_itself_is_valid():
    assert read_site(SITE) is None


@given(st.one_of(mutated(SITE.encode('utf-8')), st.binary(max_size=100)))
def test_mutated_site_files(data):
    read_site(data.decode('utf-8', 'replace'))


@given(st.sampled_from(FIELDS), VALUES)
def test_any_value_in_any_field(field, value):
    read_site(yaml.dump(dict(yaml.safe_load(SITE), **{field: value})))


@given(VALUES)
def test_any_value_as_a_site_file(value):
    read_site(yaml.dump(value))
    if isinstance(value, dict):
        read_site(yaml.dump(dict(yaml.safe_load(SITE), **{str(key): each for key, each in value.items()})))
        read_site(yaml.dump({**yaml.safe_load(SITE), **value}))


@given(st.sampled_from(['teams', 'users', 'relays', 'derp']), TEXTS | st.integers() | st.none(), VALUES)
def test_any_entry_of_a_section(section, name, value):
    read_site(yaml.dump(dict(yaml.safe_load(SITE), **{section: {name: value}})))
    read_site(yaml.dump(dict(yaml.safe_load(SITE), **{section: {'x': {'address': value, 'port': value, 'what': value,
                                                                      'region': value, 'teams': value}}})))


@given(VALUES)
def test_any_rule(value):
    for rule in (value, {'from': value, 'to': 'iris'}, {'from': 'iris', 'to': 'blue', 'what': value}):
        read_site(yaml.dump(dict(yaml.safe_load(SITE), talk=[rule])))


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_as_comments(old, new):
    keep_comments(old, new)


@given(st.binary(max_size=80))
def test_any_bytes_as_yaml(data):
    try:
        schema.load(data.decode('utf-8', 'replace'))
    except schema.Invalid as error:
        assert str(error)


@pytest.mark.fault('K4', 'site.yaml is a FIFO, a device, a socket, a directory or a dangling link',
                   behaviour='the server goes on with its last good settings, commands that change it refuse',
                   reported='at once', recovery='when it is a file again', lost='nothing')
@pytest.mark.parametrize('what', ['fifo', 'zero', 'directory', 'link', 'socket', 'sparse', 'binary'])
def test_odd_files_in_place_of_site_yaml(tmp_path, what, odd_file):
    site = tmp_path / 'site'
    site.mkdir()
    odd_file(what, site / 'site.yaml')
    with pytest.raises(OverlayError) as caught:
        Site.load(str(site))
    assert str(site) in str(caught.value)
    (site / last_good.LAST_GOOD_FILE).write_text(SITE)
    assert last_good.load(str(site))[1] is not None
    os.unlink(str(site / last_good.LAST_GOOD_FILE))
    odd_file(what, site / last_good.LAST_GOOD_FILE)
    with pytest.raises(OverlayError):
        last_good.load(str(site))


# ---- the invitation log and the record of a CA change

RECORDS = [json.dumps(dict({'time': format_rfc3339(NOW, 6), 'key': '7'}, **fields)) for fields in (
    {'event': 'made', 'machine': 'dev-1', 'team': 'iris', 'user': '', 'master': True, 'by': 'ana',
     'expires': format_rfc3339(NOW, 6)}, {'event': 'used', 'node': 'dev-1', 'node_id': '3'},
    {'event': 'revoked', 'by': 'root'})]


def list_from(lines):
    records = [record for record in map(invitation_log.parse, lines) if record is not None]
    for each in list_invitations([], [], records, NOW):
        assert each.key.isdigit()


@given(st.lists(st.sampled_from(RECORDS).flatmap(lambda line: mutated(line.encode('utf-8')))
                | st.binary(max_size=40), max_size=4))
def test_mutated_lines_of_the_invitation_log(lines):
    list_from(lines)


@given(st.sampled_from(RECORDS), st.sampled_from(invitation_log._TEXTS + ('master',)), JSON)
def test_any_value_in_a_record(line, field, value):
    list_from([json.dumps(dict(json.loads(line), **{field: value})).encode('utf-8')] + [
        each.encode('utf-8') for each in RECORDS])


def test_a_log_with_every_record():
    assert [invitation_log.parse(line.encode()) is not None for line in RECORDS] == [True, True, True]


@given(st.one_of(mutated(b'{"started": "2026-11-24T14:25:00.000000Z", "confirmed": ["1", "2"]}'),
                 JSON.map(lambda value: json.dumps({'started': value, 'confirmed': value}).encode('utf-8'))))
def test_mutated_records_of_a_ca_change(data):
    try:
        started, confirmed = ca_change.parse_record(data)
    except ValueError:
        return
    assert started.tzinfo is not None and all(isinstance(each, str) for each in confirmed)


@given(TEXTS, TEXTS)
def test_any_version_of_headscale(recorded, installed):
    try:
        versions.decide(recorded, installed, 'The site')
    except OverlayError:
        pass


# ---- backups

MANIFEST = {'format': archive.FORMAT, 'version': archive.VERSION, 'site': 'gate.example', 'made': 'now',
            'headscale': '0.29.3', 'members': {'site.yaml': {'sha256': 'ab', 'bytes': 3}}}


def backup(path, manifest, *members, end=True):
    """Write a crafted backup; members are (TarInfo, bytes)."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode('utf-8')
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode='w', format=tarfile.GNU_FORMAT) as tar:
        first = tarfile.TarInfo(archive.MANIFEST)
        first.size = len(text)
        tar.addfile(first, io.BytesIO(text))
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    with open(str(path), 'wb') as stream:
        stream.write(gzip.compress(raw.getvalue() if end else raw.getvalue()[:-700], 1))
    return str(path)


def member(name, data=b'abc', kind=tarfile.REGTYPE, link=''):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    return info, data


def refused(path, target, codes=('BACKUP_FOREIGN', 'BACKUP_DAMAGED', 'BACKUP_VERSION', 'BACKUP')):
    os.makedirs(str(target), exist_ok=True)
    with pytest.raises(BackupError) as caught:
        archive.unpack(str(path), str(target))
    assert caught.value.code in codes and shown(caught.value)
    return caught.value


@pytest.mark.fault('K4', 'A crafted backup (sizes, paths, links, bombs)', behaviour='restore refuses it',
                   reported='before anything changes', recovery='with a valid backup', lost='nothing')
@pytest.mark.parametrize('values', [
    {'bytes': size} for size in (1e999, float('nan'), -1, 10**30, '3', None, True, [], 1.5)] + [
    {'sha256': value} for value in (1, None, [])])
def test_a_member_of_an_odd_size(tmp_path, values):
    manifest = dict(MANIFEST, members={'site.yaml': dict({'sha256': 'ab', 'bytes': 3}, **values)})
    assert refused(backup(tmp_path / 'x', manifest, member('site.yaml')), tmp_path / 'out').code == 'BACKUP_FOREIGN'


@pytest.mark.parametrize('name', ['/etc/x', '../x', 'a/../../x', './x', 'a//b', '', '.', '..', 'a/', 'x\x00y', 'x\ny',
                                  '\x1b[2J', '\udc80'])
def test_a_member_outside_of_the_site(tmp_path, name):
    manifest = dict(MANIFEST, members={name: {'sha256': 'ab', 'bytes': 3}})
    refused(backup(tmp_path / 'x', manifest), tmp_path / 'out')
    assert os.listdir(str(tmp_path / 'out')) == [] and sorted(os.listdir(str(tmp_path))) == ['out', 'x']


@pytest.mark.parametrize('kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE,
                                  tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b'Z'])
def test_a_member_that_is_no_file(tmp_path, kind):
    refused(backup(tmp_path / 'x', MANIFEST, member('site.yaml', b'', kind, '/etc/passwd')), tmp_path / 'out')
    assert os.listdir(str(tmp_path / 'out')) == []


@pytest.mark.parametrize('kind', [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_unpacks_to_a_gigabyte_is_not_read(tmp_path, kind):
    """A header says 8 GB: tarfile would read that into memory."""
    raw = io.BytesIO()
    info = tarfile.TarInfo('x')
    info.type, info.size = kind, 8 << 30
    raw.write(info.tobuf(tarfile.GNU_FORMAT))
    raw.write(b'\0' * (1 << 20))
    (tmp_path / 'x').write_bytes(gzip.compress(raw.getvalue(), 1))
    refused(tmp_path / 'x', tmp_path / 'out')


def test_a_bomb_is_unpacked_to_its_declared_size_only(tmp_path):
    bomb = member('site.yaml', b'\0' * (8 << 20))
    assert refused(backup(tmp_path / 'x', MANIFEST, bomb), tmp_path / 'out').code == 'BACKUP_DAMAGED'
    assert os.path.getsize(str(tmp_path / 'out' / 'site.yaml')) <= 1 << 20
    big = dict(MANIFEST, members={str(number): {'sha256': 'ab', 'bytes': 2 << 30} for number in range(9000)})
    assert 'is full' in refused(backup(tmp_path / 'y', big), tmp_path / 'out').sentence


def test_the_same_member_twice_and_members_inside_each_other(tmp_path):
    refused(backup(tmp_path / 'x', MANIFEST, member('site.yaml'), member('site.yaml')), tmp_path / 'out')
    inside = dict(MANIFEST, members={'a': {'sha256': 'ab', 'bytes': 3}, 'a/b': {'sha256': 'ab', 'bytes': 3}})
    refused(backup(tmp_path / 'y', inside, member('a'), member('a/b')), tmp_path / 'out2')


@pytest.mark.parametrize('what', ['fifo', 'zero', 'directory', 'link', 'socket', 'sparse', 'binary'])
def test_odd_files_in_place_of_a_backup(tmp_path, what, odd_file):
    odd_file(what, tmp_path / 'x')
    refused(tmp_path / 'x', tmp_path / 'out')


@given(st.sampled_from(sorted(MANIFEST)), JSON)
def test_any_value_in_a_manifest(field, value):
    text = json.dumps(dict(MANIFEST, **{field: value}))
    try:
        manifest = archive.parse_manifest(text.encode('utf-8'), 'x')
    except (ValueError, BackupError):
        return
    assert shown(manifest.made) and all(isinstance(size, int) for _, size in manifest.members.values())


@given(st.data())
def test_mutated_backups(tmp_path_factory, data):
    place = tmp_path_factory.mktemp('backup')
    whole = open(backup(place / 'whole', MANIFEST, member('site.yaml')), 'rb').read()
    plain = gzip.decompress(whole)
    (place / 'x').write_bytes(data.draw(mutated(whole)))
    (place / 'y').write_bytes(gzip.compress(data.draw(mutated(plain)), 1))
    for name in ('x', 'y'):
        refused(place / name, place / ('out' + name))


def test_a_truncated_backup(tmp_path):
    refused(backup(tmp_path / 'x', MANIFEST, member('site.yaml', b'abc' * 999), end=False), tmp_path / 'out')
