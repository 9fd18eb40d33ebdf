"""Private directories in which a command prepares something; the next command removes those of a killed one.

A directory is locked while it is in use (flock(2)): the kernel ends the lock with the process, however that ends. So a
directory without a lock belongs to nobody, and may hold the keys of a site.
"""
import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from typing import Iterator, List, Tuple

from ua_overlay.system import file_system


@contextlib.contextmanager
def directory(parent: str, prefix: str) -> Iterator[str]:
    """Create a directory (mode 0700) in ``parent``, after a sweep; remove it afterwards unless it was renamed.

    :param prefix: of its name; it begins with a dot, and only this package uses it.
    :raises OSError: it cannot be created; ``strerror`` names a file system that is full.
    """
    sweep(parent, prefix)
    try:
        path, handle = _make(parent, prefix)
    except OSError as error:
        raise file_system.named(error, parent)
    try:
        yield path
    finally:
        # Removed before the lock ends: a sweeper and this process must not remove it at once.
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.close(handle)


def sweep(parent: str, prefix: str) -> List[str]:
    """Remove the directories in ``parent`` that killed commands left; return their paths.

    Only those of this user; root removes those of everybody. A directory in use stays.
    """
    removed: List[str] = []
    try:
        names = sorted(os.listdir(parent))
    except OSError:
        return removed  # creating the new directory reports it
    for name in names:
        path = os.path.join(parent, name)
        if name.startswith(prefix) and _remove_unused(path):
            removed.append(path)
    return removed


def _make(parent: str, prefix: str) -> Tuple[str, int]:
    while True:
        path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # a sweeper was faster
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            return path, handle  # a file system without locks, on which nothing is swept
        if os.path.isdir(path):
            return path, handle
        os.close(handle)  # a sweeper was faster than the lock


def _remove_unused(path: str) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # a link, a file, somebody else's, or gone
    try:
        status = os.fstat(handle)
        if not stat.S_ISDIR(status.st_mode) or os.geteuid() not in (0, status.st_uid):
            return False
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    except OSError:
        return False  # it is in use, or the file system has no locks
    finally:
        os.close(handle)
    return True
