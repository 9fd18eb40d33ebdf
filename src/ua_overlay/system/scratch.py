"""Private directories in which a command prepares something; the next command removes those of a killed one.

Each directory has a lock file beside it, which is locked while the directory is in use (flock(2)). The kernel ends the
lock with the process, however that ends. So a directory without a locked file belongs to nobody, and may hold the keys
of a site. (The directory itself cannot be the lock: trust.store locks that.)
"""
import contextlib
import fcntl
import os
import shutil
import stat
from typing import Iterator, List

from ua_overlay.system import file_system, files

_LOCK = '.lock'


@contextlib.contextmanager
def directory(parent: str, prefix: str) -> Iterator[str]:
    """Create a directory (mode 0700) in ``parent``, after a sweep; remove it afterwards unless it was renamed.

    :param prefix: of its name; it begins with a dot, and only this package uses it.
    :raises OSError: it cannot be created; ``strerror`` names a file system that is full.
    """
    sweep(parent, prefix)
    try:
        handle, lock = files.locked_temporary(parent, prefix, _LOCK)
    except OSError as error:
        raise file_system.named(error, parent)
    path = lock[:-len(_LOCK)]
    try:
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise file_system.named(error, path)
        yield path
    finally:
        # Removed before the lock ends: a sweeper and this process must not remove it at once.
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.unlink(lock)
        os.close(handle)


def sweep(parent: str, prefix: str) -> List[str]:
    """Remove the directories in ``parent`` that killed commands left; return their paths.

    Only those of this user; root removes those of everybody. A directory in use stays.
    """
    removed: List[str] = []
    try:
        names = {name[:-len(_LOCK)] if name.endswith(_LOCK) else name for name in os.listdir(parent)
                 if name.startswith(prefix)}
    except OSError:
        return removed  # creating the new directory reports it
    for path in sorted(os.path.join(parent, name) for name in names):
        if _remove_unused(path):
            removed.append(path)
    return removed


def _remove_unused(path: str) -> bool:
    """Remove a directory that no process uses, and its lock file; return whether there was one."""
    try:
        handle = os.open(path + _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _remove(path)  # its command was killed while it removed the directory
    except OSError:
        return False  # a link, or somebody else's
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or os.geteuid() not in (0, status.st_uid):
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
        os.unlink(path + _LOCK)
    except OSError:
        return False  # it is in use, or the file system has no locks
    finally:
        os.close(handle)
    return True


def _remove(path: str) -> bool:
    """Remove a directory of this user; return whether it was there."""
    try:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or os.geteuid() not in (0, status.st_uid):
            return False
        shutil.rmtree(path)
    except OSError:
        return False
    return True
