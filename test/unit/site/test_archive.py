"""The file of a backup: packed, unpacked, and refused when it is something else."""
import io
import json
import os
import stat
import tarfile

import pytest

from ua_overlay.site import archive
from ua_overlay.site.archive import BackupError, Manifest, digest_of, pack, unpack


@pytest.fixture
def packed(tmp_path):
    """Path of an archive with the members a and sub/b."""
    sources = {}
    for name, text in (('a', 'first'), ('sub/b', 'second' * 1000)):
        sources[name] = str(tmp_path / name.replace('/', '-'))
        with open(sources[name], 'w') as stream:
            stream.write(text)
    path = str(tmp_path / 'x.backup')
    pack(path, Manifest('s.test', '2026-11-24T14:25:00Z', '0.29.3',
                        {name: digest_of(source) for name, source in sources.items()}), sources)
    return path


@pytest.fixture
def target(tmp_path):
    (tmp_path / 'target').mkdir()
    return str(tmp_path / 'target')


def test_round_trip(packed, target):
    manifest = unpack(packed, target)
    assert (manifest.site, manifest.made, manifest.headscale) == ('s.test', '2026-11-24T14:25:00Z', '0.29.3')
    with open(os.path.join(target, 'sub', 'b')) as stream:
        assert stream.read() == 'second' * 1000
    assert digest_of(os.path.join(target, 'a')) == manifest.members['a']
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in (packed, os.path.join(target, 'a'))] == [0o600, 0o600]


def test_a_file_is_not_overwritten(packed, target):
    with open(os.path.join(target, 'a'), 'w') as stream:
        stream.write('mine')
    with pytest.raises(BackupError, match='cannot be unpacked: File exists'):
        unpack(packed, target)
    with pytest.raises(FileExistsError):
        pack(packed, Manifest('s.test', '', '', {}), {})


def changed(path, **values):
    """Pack the members again with another manifest."""
    with tarfile.open(path) as old:
        members = {member.name: old.extractfile(member).read() for member in old.getmembers()}
    manifest = json.loads(members[archive.MANIFEST].decode())
    members[archive.MANIFEST] = json.dumps(dict(manifest, **values)).encode()
    with tarfile.open(path, 'w:gz') as new:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            new.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize('values, code', [
    ({'version': 2}, 'BACKUP_VERSION'), ({'format': 'pictures'}, 'BACKUP_FOREIGN'),
    ({'members': {'/etc/x': {'sha256': '', 'bytes': 0}}}, 'BACKUP_FOREIGN'),
    ({'members': {'a': {'sha256': '', 'bytes': 5}}}, 'BACKUP_DAMAGED'),
    ({'members': {'a': {'sha256': '', 'bytes': 1}}}, 'BACKUP_DAMAGED')])
def test_another_manifest_is_refused(packed, target, values, code):
    changed(packed, **values)
    with pytest.raises(BackupError) as caught:
        unpack(packed, target)
    assert caught.value.code == code and caught.value.next_command


def test_a_truncated_file_is_damaged(packed, target):
    os.truncate(packed, os.path.getsize(packed) - 20)
    with pytest.raises(BackupError, match='damaged or was cut short'):
        unpack(packed, target)
