"""The file of a robot's link records: lines of JSON in the run directory, bounded, gone after a reboot like the links.

The overlay node writes it, `ua-overlay links` reads it.
"""
import json
import os
from typing import Dict, List, Mapping, Tuple

from ua_overlay import link_types
from ua_overlay.link_types import LinkType
from ua_overlay.system import files, foreign_file, foreign_json
from ua_overlay.tailscale import link_history
from ua_overlay.tailscale.link_history import LinkRecord

FILE_NAME = 'links.jsonl'
#: Peer -> [link type, seconds] of the last measurements, beside it.
ROUND_TRIPS = 'round_trips.json'
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


def read_round_trips(directory: str) -> Dict[str, Tuple[LinkType, float]]:
    """Return peer -> (link type, round trip in seconds) of the last measurements; nothing if there are none.

    :raises OSError: the file is unreadable.
    """
    try:
        text = foreign_file.read_text(os.path.join(directory, ROUND_TRIPS), follow=False)
    except FileNotFoundError:
        return {}
    found = {}
    try:
        for peer, value in foreign_json.parse_object(text).items():
            kind, seconds = value
            if kind in link_types.ORDER and isinstance(seconds, float):
                found[peer] = LinkType(kind), seconds
    except (TypeError, ValueError):  # damaged, and written again within seconds
        return {}
    return found


def write_round_trips(directory: str, round_trips: Mapping[str, Tuple[LinkType, float]]) -> None:
    """Replace the file of the last measurements, if they differ.

    :raises OSError: it cannot be written.
    """
    files.write_changed(os.path.join(directory, ROUND_TRIPS), json.dumps(
        {peer: [kind, float(seconds)] for peer, (kind, seconds) in round_trips.items()}))


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
        handle = files.open_or_create(self._path, os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size + len(line) <= LIMIT:
                os.write(handle, line)
                return
        finally:
            os.close(handle)
        kept = read(self._directory)[-link_history.LONGEST // 2:] + [record]
        files.write_atomic(self._path, ''.join(map(link_history.encode, kept)))
