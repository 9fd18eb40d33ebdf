"""The file of a backup: a gzipped tar whose first member describes the backup and has the SHA-256 of all others."""
import errno
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from typing import IO, Any, Dict, Mapping, Optional, Tuple

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.system import file_system, foreign_file, foreign_json

FORMAT = 'ua_overlay site'
#: Version of the format; increase it if an older ua_overlay could not restore the file.
VERSION = 1
MANIFEST = 'manifest.json'
#: Longest member, in bytes (the database of a thousand robots has a few megabytes).
_MOST_BYTES = 2 << 30
#: Most members. A site has about twenty files.
_MOST_MEMBERS = 10000
#: Longest extended header of a member (a long name), in bytes. tarfile reads it into memory, whatever its size.
_LONGEST_HEADER = 65536
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
                with foreign_file.opened(sources[name]) as source:
                    archive.addfile(_member(name, manifest.members[name][1]), source)
        stream.flush()
        os.fsync(stream.fileno())


def unpack(path: str, target: str) -> Manifest:
    """Unpack the backup at ``path`` into the empty directory ``target``, and check every byte.

    :raises BackupError: it is not a backup, has another version, is modified or truncated, or does not fit.
    """
    damaged = BackupError('The backup {} is damaged or was cut short.'.format(path), 'copy it again, or an older one',
                          'BACKUP_DAMAGED')
    manifest: Optional[Manifest] = None
    try:
        with foreign_file.opened(path) as stream, tarfile.open(fileobj=stream, mode='r|gz',
                                                                    tarinfo=_Member) as archive:
            left: Dict[str, Tuple[str, int]] = {}
            for member in archive:
                if manifest is None:
                    manifest = _parse(archive, member, path)
                    left = dict(manifest.members)
                    _check_room(target, sum(size for _, size in left.values()))
                    continue
                if member.name not in left or not _is_plain(member):
                    raise damaged
                _unpack(_open(archive, member), os.path.join(target, member.name), left.pop(member.name), damaged)
            if manifest is None:
                raise _foreign(path)
            if left:
                raise damaged
    except OverlayError:
        raise
    except FileNotFoundError as error:
        if manifest is not None:
            raise damaged from error
        raise BackupError('There is no file {}.'.format(path), command('ls -l {}', os.path.dirname(path) or '.'))
    except PermissionError:
        raise BackupError('This user may not read {}.'.format(path), 'run the same command with sudo')
    except IsADirectoryError:
        raise _foreign(path)
    except Exception as error:
        # A file that is not gzip causes a tarfile.ReadError or, from Python's gzip, an OSError without an errno. A
        # crafted header causes others, by the version of Python: EOFError, zlib.error, ValueError, OverflowError.
        if isinstance(error, OSError) and error.errno:
            file_system.named(error, target)
            raise BackupError('The backup {} cannot be unpacked: {}.'.format(path, error.strerror),
                              file_system.next_command(error, command('ls -l {}', path)))
        raise (_foreign(path) if manifest is None else damaged) from error
    return manifest


class _Member(tarfile.TarInfo):
    """A member whose headers fit into memory, and which holds plain bytes: no link, no sparse file, no device."""

    def _proc_member(self, archive: Any) -> Any:
        """Process a header (the documented hook of tarfile.TarInfo for subclasses, Python 3.8 to 3.13)."""
        if not _is_plain(self) and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError('a header of {} bytes'.format(self.size))
        return super()._proc_member(archive)  # type: ignore[misc]  # typeshed lists no private methods


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)


def _check_room(target: str, size: int) -> None:
    """Refuse a backup of ``size`` bytes for which the file system of ``target`` has no room."""
    status = os.statvfs(target)
    if size > status.f_bavail * status.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)


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
    with foreign_file.opened(path) as stream:
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
    if member.name != MANIFEST or not _is_plain(member) or member.size > _BLOCK:
        raise _foreign(path)
    try:
        return parse_manifest(_open(archive, member).read(), path)
    except ValueError as error:
        raise _foreign(path) from error


def parse_manifest(data: bytes, path: str) -> Manifest:
    """Return the Manifest in a member's bytes. Pure.

    :param path: of the backup, for errors.
    :raises ValueError: they describe no backup.
    :raises BackupError: it is of another version.
    """
    values = foreign_json.parse_object(data)
    if values.get('format') != FORMAT:
        raise ValueError('another format')
    if values.get('version') != VERSION:
        raise BackupError('The backup {} is of version {}, and this ua_overlay restores version {}.'.format(
            path, printable(values.get('version'), 20), VERSION), 'install the release of ua_overlay that made it',
            'BACKUP_VERSION')
    texts = [values.get(name) for name in ('site', 'made', 'headscale')]
    listed = values.get('members')
    if not all(isinstance(text, str) for text in texts) or not isinstance(listed, dict) or len(listed) > _MOST_MEMBERS:
        raise ValueError('a field of another type')
    members: Dict[str, Tuple[str, int]] = {}
    for name, entry in listed.items():
        digest, size = (entry.get('sha256'), entry.get('bytes')) if isinstance(entry, dict) else (None, None)
        if not isinstance(digest, str) or isinstance(size, bool) or not isinstance(size, int):
            raise ValueError('a member without SHA-256 or size')
        if not 0 <= size <= _MOST_BYTES or not _is_below(name):
            raise ValueError('a member of another size, or outside of the site')
        members[name] = digest, size
    site, made, headscale = (printable(text) for text in texts)
    return Manifest(site, made, headscale, members)


def _is_below(name: str) -> bool:
    """Return whether a name of a member is a path below the site's directory."""
    return (name.isprintable() and not os.path.isabs(name) and os.path.normpath(name) == name
            and name.split('/')[0] not in ('.', '..'))


def _unpack(stream: IO[bytes], path: str, expected: Tuple[str, int], damaged: BackupError) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'wb') as target:
        for block in iter(lambda: stream.read(_BLOCK), b''):
            size += len(block)
            if size > expected[1]:  # also for a member whose bytes unpack to more than the manifest says
                raise damaged
            digest.update(block)
            target.write(block)
    if (digest.hexdigest(), size) != expected:
        raise damaged


def _foreign(path: str) -> BackupError:
    return BackupError('{} is not a backup of a site of ua_overlay.'.format(path),
                       'ua-overlay server backup   # makes one', 'BACKUP_FOREIGN')
