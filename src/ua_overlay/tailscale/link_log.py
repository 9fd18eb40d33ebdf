"""The file of a robot's link records: lines of JSON in the run directory, bounded, gone after a reboot like the links.

The overlay node writes it, `ua-overlay links` reads it.
"""
import os
from typing import List

from ua_overlay.system import files, foreign_file
from ua_overlay.tailscale import link_history
from ua_overlay.tailscale.link_history import LinkRecord

FILE_NAME = 'links.jsonl'
#: Bytes; a record has about 200. A file that is longer is rewritten with the records that the history keeps.
LIMIT = 512 * 1024


def read(directory: str) -> List[LinkRecord]:
    """Return the records in ``directory``, the oldest first; none when there is no file.

    :raises OSError: the file is unreadable, or not a regular file.
    """
    try:
        data = foreign_file.read(os.path.join(directory, FILE_NAME), 2 * LIMIT, follow=False).data
    except FileNotFoundError:
        return []
    return link_history.decode(data.splitlines())


class LinkLog:
    """Appends records. One writer per directory."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE_NAME)
        self._directory = directory

    def append(self, record: LinkRecord) -> None:
        """Add ``record`` to the file.

        :raises OSError: it cannot be written: the file system is full, or something else has its name.
        """
        line = link_history.encode(record).encode('utf-8')
        # O_NONBLOCK and O_NOFOLLOW: a FIFO or a link in its place must neither block us nor lead us elsewhere.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
                         | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size + len(line) <= LIMIT:
                os.write(handle, line)
                return
        finally:
            os.close(handle)
        kept = read(self._directory)[-link_history.LONGEST // 2:] + [record]
        files.write_atomic(self._path, ''.join(map(link_history.encode, kept)))
