"""The log of invitations, `invitations.log` in the site's directory: who was invited, by whom, what became of it.

Headscale knows its keys and nodes; it does not know for which machine a key was made, who made or revoked it, and it
forgets with a node which key that node had used. That is kept here: one JSON object a line, only ever added to, no key.
"""
import json
import os

from ua_overlay.clock import format_rfc3339
from ua_overlay.system import files
from ua_overlay.tags import team_of

MADE, REVOKED, USED = 'made', 'revoked', 'used'


class InvitationLog:
    """One log file.

    :param path: where it is, or will be.
    :param now: function() -> aware UTC datetime.
    :param by: who is at work, for people.
    """

    def __init__(self, path, now, by=''):
        self._path = path
        self._now = now
        self._by = by
        self._used_keys = None

    def made(self, key_id, invitation):
        """An invitation (trust.invitation.Invitation) was made with the key ``key_id``."""
        self._append(MADE, key_id, machine=invitation.robot, team=invitation.team, user=invitation.user,
                     master=invitation.master, expires=format_rfc3339(invitation.expires, 6), by=self._by)

    def revoked(self, key_id):
        """The key ``key_id`` was taken back."""
        self._append(REVOKED, key_id, by=self._by)

    def note_used(self, nodes):
        """Write down which of ``nodes`` (list of rest.Node) used which key, once each."""
        if self._used_keys is None:
            self._used_keys = {record['key'] for record in self.records() if record['event'] == USED}
        for node in nodes:
            if node.key_id and node.key_id not in self._used_keys and (team_of(node.tags) or node.user):
                self._append(USED, node.key_id, node=node.name, node_id=node.id)
                self._used_keys.add(node.key_id)

    def records(self):
        """Every record as a dict, oldest first. A line that was cut by a power failure is left out."""
        try:
            with open(self._path, encoding='utf-8') as stream:
                lines = stream.read().splitlines()
        except FileNotFoundError:
            return []
        return [record for record in map(_parse, lines) if record is not None]

    def _append(self, event, key_id, **fields):
        record = dict({'time': format_rfc3339(self._now(), 6), 'event': event, 'key': str(key_id)}, **fields)
        new = not os.path.exists(self._path)
        handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, 'rb+', buffering=0) as stream:
            owner = files.inherited_owner(self._path if not new else os.path.join(os.path.dirname(self._path), '.'))
            if new and owner is not None:
                os.fchown(stream.fileno(), *owner)
            size = os.fstat(stream.fileno()).st_size
            # Never in one line with what a power failure left of another.
            begin = b'' if size == 0 or os.pread(stream.fileno(), 1, size - 1) == b'\n' else b'\n'
            stream.write(begin + json.dumps(record, sort_keys=True).encode('utf-8') + b'\n')
            os.fsync(stream.fileno())


def _parse(line):
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and {'event', 'key', 'time'} <= set(record) else None
