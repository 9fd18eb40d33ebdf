"""Files that are whole or not there: atomic writes with the right mode from the first byte."""
import errno
import os
import stat
import tempfile


def write_atomic(path, data, mode=0o644, owner=None):
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, never a part.

    The temporary file is created 0600 beside the target, given its mode, synced and renamed, so a secret is never
    readable by others and a power cut leaves one of the two versions.

    :param path: where to write; its directory must exist.
    :param data: str (written as UTF-8) or bytes.
    :param mode: permission bits of the finished file.
    :param owner: (uid, gid), or None: root gives it to the owner of what it replaces, else of the directory, so that
        what an administrator does to a service's files leaves the service able to read them; anybody else owns it.
    :raises OSError: when the directory is missing, full or not writable, or ``path`` is a device, a pipe or a socket,
        which root must not replace by a file; nothing is left behind then.
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
            # A service that may not change owners (our own, in its sandbox) replaces what is its own all the same.
            if owner not in (None, (os.geteuid(), os.getegid())):
                os.fchown(stream.fileno(), owner[0], owner[1])
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_directory(directory)


def inherited_owner(path):
    """(uid, gid) that a file of root's gets at ``path``; None when there is nothing to give away: to root itself (whom
    a sandbox may have forbidden to change owners), or by anybody else."""
    if os.geteuid() != 0:
        return None
    found = os.lstat(path) if os.path.lexists(path) else os.stat(os.path.dirname(path) or '.')
    owner = found.st_uid, found.st_gid
    return None if owner == (os.geteuid(), os.getegid()) else owner


def sync_directory(directory):
    """Make a rename in ``directory`` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_secret(path, data, owner=None):
    """:func:`write_atomic` with mode 0600."""
    write_atomic(path, data, mode=0o600, owner=owner)
