"""Revoke invitations that nobody has: their server was killed, or did not answer, while a command made them.

The command cannot revoke them then. It logs that (invitation_log.LOST), and `server run` does it later. A key whose id
never reached the command is found by its time: Headscale made it meanwhile, and no command has logged it.
"""
import datetime
from typing import Callable, Iterable, List, Set, Tuple

from ua_overlay.clock import parse_rfc3339
from ua_overlay.headscale import removal
from ua_overlay.headscale.api import Connect
from ua_overlay.headscale.model import PreAuthKey
from ua_overlay.protocols import UtcClock
from ua_overlay.site.invitation_log import LOST, MADE, NO_KEY, InvitationLog, Record
from ua_overlay.tags import team_of

#: How long after a command gave up Headscale may still make its key, and another command may take to log its own.
SETTLED = datetime.timedelta(seconds=60)


def lost_keys(keys: Iterable[PreAuthKey], records: Iterable[Record], now: datetime.datetime) -> List[str]:
    """Return the ids of the usable keys that no invitation file holds. Pure.

    :param keys: of Headscale.
    :param records: of the log.
    :param now: aware UTC datetime.
    """
    listed = list(records)
    made = {record['key'] for record in listed if record['event'] == MADE}
    losses = [record for record in listed if record['event'] == LOST]
    named = {record['key'] for record in losses}
    windows = [(parse_rfc3339(record['since']), parse_rfc3339(record['time']) + SETTLED) for record in losses]
    return [key.id for key in keys if key.usable(now) and (team_of(key.tags) or key.user) and (
        key.id in named or key.id not in made and key.created is not None and key.created < now - SETTLED
        and any(begin <= key.created <= end for begin, end in windows))]


class LostInvitations:
    """Part of `server run`: revokes what :func:`lost_keys` finds.

    :param command: returns the full command line of this site.
    """

    def __init__(self, log: InvitationLog, connect: Connect, now: UtcClock, command: Callable[[str], str]) -> None:
        self._log = log
        self._connect = connect
        self._now = now
        self._command = command
        #: (time, key) of the losses that are dealt with.
        self._done: Set[Tuple[str, str]] = set()

    def step(self) -> List[str]:
        """Revoke the lost keys of which the log knows; return their ids.

        :raises OverlayError: Headscale does not answer, or a key is still usable.
        :raises OSError: the log cannot be read or written.
        """
        losses = [record for record in self._log.losses() if (record['time'], record['key']) not in self._done]
        if not losses:
            return []
        client, records = self._connect(), self._log.records()
        found = lost_keys(client.keys(), [record for record in records if record['event'] == MADE] + losses,
                          self._now())
        removal.revoke(client, found, self._now, self._command, self._log.revoked)
        settled = self._now() - 3 * SETTLED
        self._done |= {(record['time'], record['key']) for record in losses
                       if record['key'] != NO_KEY or parse_rfc3339(record['time']) < settled}
        return found
