"""The file of a backup: a gzipped tar whose first member describes the backup and has the SHA-256 of all others."""
import hashlib
import io
import json
import os
import tarfile
import zlib
from dataclasses import dataclass
from typing import IO, Dict, Mapping, Optional, Tuple

from ua_overlay.errors import OverlayError

FORMAT = 'ua_overlay site'
#: Version of the format; increase it if an older ua_overlay could not restore the file.
VERSION = 1
MANIFEST = 'manifest.json'
#: Longest member, in bytes (the database of a thousand robots has a few megabytes).
_MOST_BYTES = 2 << 30
_BLOCK = 1 << 20


class BackupError(OverlayError):
    """A backup cannot be written or restored.

    Codes: BACKUP_FOREIGN (not a backup of a site, or another site's), BACKUP_VERSION, BACKUP_DAMAGED, or BACKUP.
    """

    code = 'BACKUP'


@dataclass(frozen=True)
class Manifest:
    """The description of a backup.

    :param site: name of its server.
    :param made: when it was made, as text.
    :param headscale: version that last ran on the database, '' without any.
    :param members: (SHA-256 as hexadecimal digits, number of bytes) by path.
    """

    site: str
    made: str
    headscale: str
    members: Dict[str, Tuple[str, int]]


def pack(path: str, manifest: Manifest, sources: Mapping[str, str]) -> None:
    """Write the archive to the new file ``path`` (mode 0600), and sync it to the disk.

    :param sources: path in the archive -> path of the file, for all members in ``manifest``.
    :raises OSError: the archive cannot be written, or a file has changed since the manifest was made.
    """
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as stream:
        with tarfile.open(fileobj=stream, mode='w:gz') as archive:
            text = _dump(manifest).encode('utf-8')
            archive.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
            for name in sorted(sources):
                with open(sources[name], 'rb') as source:
                    archive.addfile(_member(name, manifest.members[name][1]), source)
        stream.flush()
        os.fsync(stream.fileno())


def unpack(path: str, target: str) -> Manifest:
    """Unpack the backup at ``path`` into the empty directory ``target``, and check every byte.

    :raises BackupError: it is not a backup, has another version, or is modified or truncated.
    """
    damaged = BackupError('The backup {} is damaged or was cut short.'.format(path), 'copy it again, or an older one',
                          'BACKUP_DAMAGED')
    manifest: Optional[Manifest] = None
    try:
        with tarfile.open(path, mode='r|gz') as archive:
            left: Dict[str, Tuple[str, int]] = {}
            for member in archive:
                if manifest is None:
                    manifest = _parse(archive, member, path)
                    left = dict(manifest.members)
                    continue
                if member.name not in left or not member.isreg():
                    raise damaged
                _unpack(_open(archive, member), os.path.join(target, member.name), left.pop(member.name), damaged)
            if manifest is None:
                raise _foreign(path)
            if left:
                raise damaged
    except FileNotFoundError as error:
        if manifest is not None:
            raise damaged from error
        raise BackupError('There is no file {}.'.format(path), 'ls -l {}'.format(os.path.dirname(path) or '.'))
    except PermissionError:
        raise BackupError('This user may not read {}.'.format(path), 'run the same command with sudo')
    except IsADirectoryError:
        raise _foreign(path)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        # A file that is not gzip causes a tarfile.ReadError or, from Python's gzip, an OSError without an errno.
        if getattr(error, 'errno', None):
            raise BackupError('The backup {} cannot be unpacked: {}.'.format(path, getattr(error, 'strerror', error)),
                              'df {}'.format(target))
        raise (_foreign(path) if manifest is None else damaged) from error
    return manifest


def _member(path: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size, member.mode = size, 0o600
    return member


def _open(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None, 'only regular files come here'
    return stream


def digest_of(path: str) -> Tuple[str, int]:
    """Return (SHA-256 as hexadecimal digits, number of bytes) of a file."""
    digest, size = hashlib.sha256(), 0
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(_BLOCK), b''):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _dump(manifest: Manifest) -> str:
    return json.dumps({'format': FORMAT, 'version': VERSION, 'site': manifest.site, 'made': manifest.made,
                       'headscale': manifest.headscale,
                       'members': {path: {'sha256': digest, 'bytes': size}
                                   for path, (digest, size) in manifest.members.items()}}, indent=1, sort_keys=True)


def _parse(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> Manifest:
    """Return the Manifest in the first member of a possible backup."""
    if member.name != MANIFEST or not member.isreg() or member.size > _BLOCK:
        raise _foreign(path)
    try:
        values = json.loads(_open(archive, member).read().decode('utf-8'))
        if values['format'] != FORMAT:
            raise _foreign(path)
        if values['version'] != VERSION:
            raise BackupError('The backup {} is of version {}, and this ua_overlay restores version {}.'.format(
                path, values['version'], VERSION), 'install the release of ua_overlay that made it', 'BACKUP_VERSION')
        manifest = Manifest(str(values['site']), str(values['made']), str(values['headscale']), {
            str(name): (str(entry['sha256']), int(entry['bytes'])) for name, entry in values['members'].items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(path) from error
    for name, (_, size) in manifest.members.items():
        if os.path.isabs(name) or os.path.normpath(name) != name or name.startswith('..') or size > _MOST_BYTES:
            raise _foreign(path)
    return manifest


def _unpack(stream: IO[bytes], path: str, expected: Tuple[str, int], damaged: BackupError) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as target:
        for block in iter(lambda: stream.read(_BLOCK), b''):
            size += len(block)
            if size > expected[1]:
                raise damaged
            digest.update(block)
            target.write(block)
    if (digest.hexdigest(), size) != expected:
        raise damaged


def _foreign(path: str) -> BackupError:
    return BackupError('{} is not a backup of a site of ua_overlay.'.format(path), 'ua-overlay server backup makes one',
                       'BACKUP_FOREIGN')
