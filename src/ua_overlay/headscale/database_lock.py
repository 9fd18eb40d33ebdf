"""Find the programs that keep Headscale from writing to its database."""
import os
import re
from typing import List, NamedTuple, Set, Tuple

from ua_overlay.printable import printable
from ua_overlay.system import foreign_file, process

#: A held lock in /proc/locks (proc_locks(5)): '1: POSIX  ADVISORY  WRITE 1234 08:01:131142 0 EOF'. A process that waits
#: has '->' after the number.
_LOCK = re.compile(r'\d+: \S+\s+\S+\s+WRITE\s+(\d+)\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s', re.ASCII)
#: (device, inode).
FileId = Tuple[int, int]
#: The name of Headscale's own process, which locks its database whenever it writes.
_OWN = 'headscale'


class Holder(NamedTuple):
    """A process that holds a lock."""

    pid: int
    name: str


def holders(database: str, locks: str = '/proc/locks') -> List[Holder]:
    """Return the other processes that hold a write lock on an SQLite database, sorted by id.

    With a write-ahead log the writer's lock is on the file `-shm` (sqlite.org/walformat.html, 2.3.1).

    :param database: path.
    :returns: empty if there is none, or if it runs in another container or as another user.
    """
    try:
        text = foreign_file.read_text(locks)
    except OSError:
        return []
    wanted = _files(database)
    found = []
    for pid in writers(text, {inode for _, inode in wanted}):
        try:
            name = process.read_stat(pid).name
            # Other file systems use the same numbers, so the process must have this very file open.
            opened = _opened(pid)
        except (OSError, ValueError, IndexError):
            continue  # it has ended, or belongs to another user
        if name != _OWN and opened & wanted:
            found.append(Holder(pid, printable(name)))
    return found


def writers(text: str, inodes: Set[int]) -> List[int]:
    """Return the ids of the processes that hold a write lock on one of ``inodes``, from the text of /proc/locks. Pure.

    The device is not compared: on btrfs and overlayfs stat(2) names another one than /proc/locks.
    """
    found = {int(match.group(1)) for match in _LOCK.finditer(text) if int(match.group(2)) in inodes}
    # 0 is a process of another process namespace.
    return sorted(found - {0})


def _files(database: str) -> Set[FileId]:
    return {_id(path) for path in (database, database + '-shm', database + '-wal', database + '-journal')
            if os.path.exists(path)}


def _opened(pid: int) -> Set[FileId]:
    """Return the files that a process has open.

    :raises OSError: it has ended, or belongs to another user.
    """
    folder = '/proc/{}/fd'.format(pid)
    return {_id(os.path.join(folder, name)) for name in os.listdir(folder)
            if os.path.exists(os.path.join(folder, name))}


def _id(path: str) -> FileId:
    status = os.stat(path)
    return status.st_dev, status.st_ino
