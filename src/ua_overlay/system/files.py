"""Atomic writes: a file is complete or unchanged, and has the right mode from its first byte.

A writer that is killed leaves a temporary file, which may hold a secret. A writer locks its temporary file, so the next
writer of the same file can tell which ones nobody uses any more, and removes them.
"""
import contextlib
import errno
import fcntl
import os
import re
import stat
import tempfile
from typing import List, Optional, Set, Tuple, Union

from ua_overlay.system import file_system, foreign_file

#: (uid, gid)
Owner = Tuple[int, int]
Path = Union[str, 'os.PathLike[str]']

#: A temporary file: '.NAME.' and eight characters (tempfile._RandomNameSequence).
_TEMPORARY = re.compile(r'\.(.+)\.[a-z0-9_]{8}')
#: (directory, name) whose temporary files this process has swept.
_swept: Set[Tuple[str, str]] = set()


def write_atomic(path: Path, data: Union[str, bytes], mode: int = 0o644, owner: Optional[Owner] = None) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    The temporary file is created 0600 beside the target, given its mode, synced and renamed. So no other user can ever
    read a secret, and a power cut leaves one of the two versions.

    :param path: its directory must exist.
    :param data: str is written as UTF-8.
    :param mode: permission bits of the finished file.
    :param owner: None: root gives the file to the owner of what it replaces, or else of the directory, so that a
        service can still read a file that an administrator changed; any other user owns the file.
    :raises OSError: the directory is missing or not writable, its file system is full (``strerror`` names it, see
        file_system.named), or ``path`` is a device, a pipe or a socket, which root must not replace with a file. No
        temporary file remains.
    """
    path = os.fspath(path)
    if isinstance(data, str):
        data = data.encode('utf-8')
    directory = os.path.dirname(path) or '.'
    try:
        if os.path.lexists(path) and stat.S_IFMT(os.lstat(path).st_mode) not in (
                stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR):
            raise OSError(errno.EEXIST, 'not a regular file', path)
        owner = inherited_owner(path) if owner is None else owner
        _sweep_once(directory, os.path.basename(path))
        handle, temporary = locked_temporary(directory, '.{}.'.format(os.path.basename(path)))
        try:
            with os.fdopen(handle, 'wb') as stream:
                stream.write(data)
                stream.flush()
                os.fchmod(stream.fileno(), mode)
                # A service that may not change owners (like ours in their sandbox) can still replace its own files.
                if owner is not None and owner != (os.geteuid(), os.getegid()):
                    os.fchown(stream.fileno(), owner[0], owner[1])
                os.fsync(stream.fileno())
                # Before the lock ends with the stream: afterwards it would look like a temporary file of a dead writer.
                os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):  # a signal came after the rename
                os.unlink(temporary)
            raise
        sync_directory(directory)
    except OSError as error:
        raise file_system.named(error, path)


def write_changed(path: Path, data: Union[str, bytes], mode: int = 0o644, owner: Optional[Owner] = None) -> bool:
    """:func:`write_atomic`, unless the file has that content and mode already; return whether it was written.

    So a program whose files are in place starts on a full file system.

    :raises OSError: see :func:`write_atomic`.
    """
    wanted = data.encode('utf-8') if isinstance(data, str) else data
    try:
        present = foreign_file.read(path, len(wanted), follow=False)
        if present.data == wanted and stat.S_IMODE(present.status.st_mode) == mode:
            return False
    except OSError:
        pass  # it is missing, longer, or something else: it is written
    write_atomic(path, wanted, mode, owner)
    return True


def open_or_create(path: Path, access: int, mode: int = 0o600) -> int:
    """Open a file that this process writes in place (a log, a lock, a record), or create it; return the handle.

    Another user may own its directory. So a link in its place is not followed, because it would lead root elsewhere,
    and a FIFO in its place is not waited for.

    :param access: O_WRONLY or O_RDWR, perhaps with O_APPEND.
    :raises OSError: it cannot be opened.
    """
    return os.open(path, access | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)


def locked_temporary(directory: str, prefix: str, suffix: str = '') -> Tuple[int, str]:
    """Return (handle, path) of a new file, which is locked until the handle is closed: no sweeper takes it for one that
    a killed process left."""
    while True:
        handle, path = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=directory)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            return handle, path  # a file system without locks, on which nothing is swept
        if os.fstat(handle).st_nlink:
            return handle, path
        os.close(handle)  # a sweeper was faster than the lock


def _sweep_once(directory: str, name: str) -> None:
    key = os.path.abspath(directory), name
    if key not in _swept:
        _swept.add(key)
        sweep(directory, name)


def sweep(directory: str, name: str = '') -> List[str]:
    """Remove the temporary files in ``directory`` whose writers were killed; return their paths.

    :param name: of the file that they were for; '' for all, in a directory of our own.
    """
    removed: List[str] = []
    try:
        entries = os.listdir(directory)
    except OSError:
        return removed  # the caller's own access reports it
    for entry in sorted(entries):
        match = _TEMPORARY.fullmatch(entry)
        if match is not None and name in ('', match.group(1)) and _remove_unused(os.path.join(directory, entry)):
            removed.append(os.path.join(directory, entry))
    return removed


def _remove_unused(path: str) -> bool:
    """Remove a temporary file of this user that no process has locked; return whether it was removed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # a link, somebody else's, or gone
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or os.geteuid() not in (0, status.st_uid):
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    except OSError:
        return False  # it is in use, or the file system has no locks
    finally:
        os.close(handle)
    return True


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


def remove(path: Path) -> None:
    """Remove a file so that it stays removed after a power cut.

    :raises OSError: it does not exist, or cannot be removed.
    """
    os.unlink(path)
    sync_directory(os.path.dirname(os.fspath(path)) or '.')


def write_secret(path: Path, data: Union[str, bytes], owner: Optional[Owner] = None) -> None:
    """:func:`write_atomic` with mode 0600."""
    write_atomic(path, data, mode=0o600, owner=owner)
