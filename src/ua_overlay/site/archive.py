"""The file of a backup: a gzipped tar whose first member says what it is and has the SHA-256 of every other one."""
import hashlib
import io
import json
import os
import tarfile
import zlib
from dataclasses import dataclass

from ua_overlay.errors import OverlayError

FORMAT = 'ua_overlay site'
#: Changes when an older ua_overlay could not restore the file.
VERSION = 1
MANIFEST = 'manifest.json'
#: A member longer than this is not of a site (the database of a thousand robots is some megabytes).
_MOST_BYTES = 2 << 30
_BLOCK = 1 << 20


class BackupError(OverlayError):
    """BACKUP_FOREIGN (no backup of a site, or another site's), BACKUP_VERSION, BACKUP_DAMAGED, or BACKUP."""

    code = 'BACKUP'


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself.

    site: name of its server; made: when, as text; headscale: version that last ran on the database, '' when it never
    did; members: dict path -> (sha256 as hexadecimal digits, bytes).
    """

    site: str
    made: str
    headscale: str
    members: dict


def pack(path, manifest, sources):
    """Write the archive to the new file ``path`` (0600), and onto the disk.

    :param sources: dict path in the archive -> path of the file, the same names as in ``manifest``.
    :raises OSError: it cannot be written, or a file has changed since the manifest was made.
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


def unpack(path, target):
    """Unpack the backup at ``path`` into the empty directory ``target``, checking every byte.

    :returns: :class:`Manifest`.
    :raises BackupError: it is none, of another version, or was changed or cut short.
    """
    damaged = BackupError('The backup {} is damaged or was cut short.'.format(path), 'copy it again, or an older one',
                          'BACKUP_DAMAGED')
    manifest = None
    try:
        with tarfile.open(path, 'r|gz') as archive:
            left = None
            for member in archive:
                if left is None:
                    manifest = _parse(archive, member, path)
                    left = dict(manifest.members)
                    continue
                if member.name not in left or not member.isreg():
                    raise damaged
                _unpack(archive.extractfile(member), os.path.join(target, member.name), left.pop(member.name), damaged)
            if left is None:
                raise _foreign(path)
            if left:
                raise damaged
    except FileNotFoundError as error:
        if manifest is not None:
            raise damaged from error
        raise BackupError('There is no file {}.'.format(path), 'ls -l {}'.format(os.path.dirname(path) or '.'))
    except PermissionError:
        raise BackupError('This user may not read {}.'.format(path), 'the same command with sudo')
    except IsADirectoryError:
        raise _foreign(path)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        # A file that is no gzip is a tarfile.ReadError or, from Python's gzip, an OSError without a number.
        if getattr(error, 'errno', None):
            raise BackupError('The backup {} cannot be unpacked: {}.'.format(path, error.strerror),
                              'df {}'.format(target))
        raise (_foreign(path) if manifest is None else damaged) from error
    return manifest


def _member(path, size):
    member = tarfile.TarInfo(path)
    member.size, member.mode = size, 0o600
    return member


def digest_of(path):
    """(SHA-256 as hexadecimal digits, bytes) of a file."""
    digest, size = hashlib.sha256(), 0
    with open(path, 'rb') as stream:
        for block in iter(lambda: stream.read(_BLOCK), b''):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _dump(manifest):
    return json.dumps({'format': FORMAT, 'version': VERSION, 'site': manifest.site, 'made': manifest.made,
                       'headscale': manifest.headscale,
                       'members': {path: {'sha256': digest, 'bytes': size}
                                   for path, (digest, size) in manifest.members.items()}}, indent=1, sort_keys=True)


def _parse(archive, member, path):
    """The Manifest in the first member of a file that says to be a backup."""
    if member.name != MANIFEST or not member.isreg() or member.size > _BLOCK:
        raise _foreign(path)
    try:
        values = json.loads(archive.extractfile(member).read().decode('utf-8'))
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


def _unpack(stream, path, expected, damaged):
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


def _foreign(path):
    return BackupError('{} is no backup of a site of ua_overlay.'.format(path), 'ua-overlay server backup, for one',
                       'BACKUP_FOREIGN')
