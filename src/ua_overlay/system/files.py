"""Atomic writes: a file is complete or unchanged, and has the right mode from its first byte."""
import errno
import os
import stat
import tempfile
from typing import Optional, Tuple, Union

#: (uid, gid)
Owner = Tuple[int, int]


def write_atomic(path: Union[str, 'os.PathLike[str]'], data: Union[str, bytes], mode: int = 0o644,
                 owner: Optional[Owner] = None) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    The temporary file is created 0600 beside the target, given its mode, synced and renamed. So no other user can ever
    read a secret, and a power cut leaves one of the two versions.

    :param path: its directory must exist.
    :param data: str is written as UTF-8.
    :param mode: permission bits of the finished file.
    :param owner: None: root gives the file to the owner of what it replaces, or else of the directory, so that a
        service can still read a file that an administrator changed; any other user owns the file.
    :raises OSError: the directory is missing, full or not writable, or ``path`` is a device, a pipe or a socket, which
        root must not replace with a file. No temporary file remains.
    """
    path = os.fspath(path)
    if isinstance(data, str):
        data = data.encode('utf-8')
    directory = os.path.dirname(path) or '.'
    if os.path.lexists(path) and stat.S_IFMT(os.lstat(path).st_mode) not in (stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):
        raise OSError(errno.EEXIST, 'not a regular file', path)
    owner = inherited_owner(path) if owner is None else owner
    handle, temporary = tempfile.mkstemp(prefix='.' + os.path.basename(path) + '.', dir=directory)
    try:
        with os.fdopen(handle, 'wb') as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            # A service that may not change owners (like ours in their sandbox) can still replace its own files.
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(stream.fileno(), owner[0], owner[1])
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(directory)


def inherited_owner(path: str) -> Optional[Owner]:
    """Return the owner for a file that root writes to ``path``.

    Return None to leave the owner alone: the file belongs to root anyway (whose sandbox may forbid a change of owners),
    or the writer is not root.
    """
    if os.geteuid() != 0:
        return None
    before = os.lstat(path) if os.path.lexists(path) else os.stat(os.path.dirname(path) or '.')
    owner = before.st_uid, before.st_gid
    return None if owner == (os.geteuid(), os.getegid()) else owner


def sync_directory(directory: str) -> None:
    """Sync ``directory``, so that a rename in it survives a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_secret(path: Union[str, 'os.PathLike[str]'], data: Union[str, bytes], owner: Optional[Owner] = None) -> None:
    """:func:`write_atomic` with mode 0600."""
    write_atomic(path, data, mode=0o600, owner=owner)
