"""The log of invitations, `invitations.log` in the site's directory: who was invited, by whom, and with what result.

Headscale knows its keys and nodes. It does not know for which machine a key was made, or who made or revoked it, and
when a node is deleted it forgets which key that node used. The log keeps that: one JSON object in each line, without
the key; lines are only ever appended.
"""
import datetime
import errno
import json
import os
import re
from typing import Any, Dict, Iterable, List, Optional, Set

from ua_overlay.clock import format_rfc3339, parse_go_time
from ua_overlay.headscale.model import Node
from ua_overlay.protocols import UtcClock
from ua_overlay.system import file_system, files, foreign_file, foreign_json
from ua_overlay.tags import team_of
from ua_overlay.trust.invitation import Invitation

MADE, REVOKED, USED = 'made', 'revoked', 'used'
#: A command could not hand out the invitation, nor revoke its key (lost_invitations). `since` is when it began.
LOST = 'lost'
#: The `key` of a LOST record for a key whose id the command does not know.
NO_KEY = '0'
#: The fields that are texts.
_TEXTS = ('time', 'event', 'key', 'machine', 'team', 'user', 'expires', 'by', 'node', 'node_id', 'since')
#: Longest line, in bytes.
_LONGEST_LINE = 65536

#: One line: `time`, `event` (MADE, REVOKED, USED or LOST), `key` (its id), and the fields of the event.
Record = Dict[str, Any]


class InvitationLog:
    """One log file.

    :param path: of the file, which need not exist.
    :param by: the person who makes and revokes invitations: 'root (sudo by ana)'.
    """

    def __init__(self, path: str, now: UtcClock, by: str = '') -> None:
        self._path = path
        self._now = now
        self._by = by
        self._used_keys: Optional[Set[str]] = None
        #: The size of the file at which `_losses` was read.
        self._read_at = -1
        self._losses: List[Record] = []

    def made(self, key_id: str, invitation: Invitation) -> None:
        """Log that ``invitation`` was made with the key ``key_id``."""
        self._append(MADE, key_id, machine=invitation.robot, team=invitation.team, user=invitation.user,
                     master=invitation.master, expires=format_rfc3339(invitation.expires, 6), by=self._by)

    def revoked(self, key_id: str) -> None:
        """Log that the key ``key_id`` was revoked."""
        self._append(REVOKED, key_id, by=self._by)

    def lost(self, key_ids: Iterable[str], since: datetime.datetime) -> None:
        """Log that the keys ``key_ids``, and perhaps one that was never seen, are open and in nobody's hands.

        :param since: when the command began (aware datetime).
        """
        for key_id in [NO_KEY] + list(key_ids):
            self._append(LOST, key_id, since=format_rfc3339(since, 6), by=self._by)

    def losses(self) -> List[Record]:
        """Return the LOST records, oldest first; the file is read only if it has grown."""
        try:
            size = os.stat(self._path).st_size
        except FileNotFoundError:
            return []
        if size != self._read_at:
            self._losses = [record for record in self.records() if record['event'] == LOST]
            self._read_at = size
        return self._losses

    def note_used(self, nodes: Iterable[Node]) -> None:
        """Log which of ``nodes`` used which key, once each."""
        if self._used_keys is None:
            self._used_keys = {record['key'] for record in self.records() if record['event'] == USED}
        for node in nodes:
            if node.key_id and node.key_id not in self._used_keys and (team_of(node.tags) or node.user):
                self._append(USED, node.key_id, node=node.name, node_id=node.id)
                self._used_keys.add(node.key_id)

    def records(self) -> List[Record]:
        """Return every record, oldest first, without lines that a power failure truncated."""
        try:
            with foreign_file.opened(self._path) as raw, os.fdopen(os.dup(raw.fileno()), 'rb') as stream:
                lines = iter(lambda: stream.readline(_LONGEST_LINE), b'')
                return [record for record in map(parse, lines) if record is not None]
        except FileNotFoundError:
            return []

    def _append(self, event: str, key_id: str, **fields: Any) -> None:
        record = dict({'time': format_rfc3339(self._now(), 6), 'event': event, 'key': str(key_id)}, **fields)
        try:
            self._write(json.dumps(record, sort_keys=True).encode('utf-8') + b'\n')
        except OSError as error:
            raise file_system.named(error, self._path)

    def _write(self, line: bytes) -> None:
        new = not os.path.exists(self._path)
        handle = files.open_or_create(self._path, os.O_RDWR | os.O_APPEND)
        with os.fdopen(handle, 'rb+', buffering=0) as stream:
            owner = files.inherited_owner(self._path if not new else os.path.join(os.path.dirname(self._path), '.'))
            if new and owner is not None:
                os.fchown(stream.fileno(), *owner)
            size = os.fstat(stream.fileno()).st_size
            # A power failure may have truncated the last line; the new record must not continue it.
            begin = b'' if size == 0 or os.pread(stream.fileno(), 1, size - 1) == b'\n' else b'\n'
            data = begin + line
            if stream.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
            os.fsync(stream.fileno())


def parse(line: bytes) -> Optional[Record]:
    """Return the record in a line, None if there is none: a power failure truncated it, or somebody edited it. Pure."""
    try:
        record = foreign_json.parse_object(line)
        texts = [record.get(name, '') for name in _TEXTS]
        if not all(isinstance(text, str) for text in texts) or not isinstance(record.get('master', False), bool):
            return None
        # Ids are numbers, and the list is sorted by them.
        if not re.fullmatch(r'[0-9]{1,19}', record['key']):
            return None
        for name in ('time', 'expires', 'since'):
            parse_go_time(record.get(name))
        if record['event'] == LOST and not (parse_go_time(record['time']) and parse_go_time(record['since'])):
            return None
        return record if record['event'] != USED or record.get('node') else None
    except (ValueError, KeyError):
        return None
