"""What the overlay node recorded about the links of this robot: since when, how fast, what happened."""
import datetime
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from ua_overlay.advice import command
from ua_overlay.clock import ago, from_unix
from ua_overlay.errors import OverlayError
from ua_overlay.link_types import LinkType
from ua_overlay.rosenv import envfile
from ua_overlay.tailscale import link_log
from ua_overlay.tailscale.link_history import LinkHistory
from ua_overlay.tailscale.model import Link


@dataclass(frozen=True)
class Record:
    """The changes of the links, and peer -> (link type, round trip in seconds) of the last measurements."""

    history: LinkHistory = field(default_factory=LinkHistory)
    round_trips: Dict[str, Tuple[LinkType, float]] = field(default_factory=dict)

    def since(self, link: Link) -> Optional[float]:
        """Return the unix time since which ``link`` has its type; None: longer than the record."""
        return self.history.since(link.peer, link.type)

    def round_trip(self, link: Link) -> Optional[float]:
        """Return the round trip of ``link`` in its present type, in seconds; None: not measured."""
        kind, seconds = self.round_trips.get(link.peer, (None, 0.0))
        return seconds if kind == link.type else None


def read_record() -> Record:
    """Return the record of this robot; an empty one without an overlay node.

    :raises OverlayError: it cannot be read.
    """
    location = envfile.locate()
    try:
        return Record(LinkHistory(link_log.read(location.directory)), link_log.read_round_trips(location.directory))
    except OSError as error:
        path = str(error.filename or location.file(link_log.FILE_NAME))
        raise OverlayError('The record of the links, {}, cannot be read: {}.'.format(path, error.strerror or error),
                           command('ls -l {}', path)) from None


def since_text(since: Optional[float], now: datetime.datetime) -> str:
    """Return '5 min', '-' for None."""
    return '-' if since is None else ago(from_unix(since), now)


def round_trip_text(seconds: Optional[float]) -> str:
    """Return '12.3 ms', '-' for None."""
    return '-' if seconds is None else '{:.1f} ms'.format(1000 * seconds)
