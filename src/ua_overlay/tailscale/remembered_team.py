"""Say that the server is away and that a robot's team is the one that it remembers: since when, and until when. Pure.

tailscaled goes on with its last network map while it is not connected to its server, and starts with it, too (the
node attribute cache-network-maps) until the time of :mod:`map_stamp`. After that the next start removes it, and
:mod:`map_expiry` restarts a tailscaled that has not been connected since it started.
"""
from dataclasses import dataclass
from typing import Optional

from ua_overlay.clock import format_duration, format_utc, from_unix
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import Status

#: Seconds before the end from which on it is urgent.
SOON = 60 * 60.0
#: How near the end is: more than SOON away, nearer, over.
LASTING, ENDING, OVER = 'LASTING', 'ENDING', 'OVER'
#: What helps, on the server.
NEXT = 'ua-overlay server status   # on the server'


@dataclass(frozen=True)
class RememberedTeam:
    """The team of a robot whose server is away.

    ``since``: unix time of the last connection to the server, at most a minute (map_stamp.PERIOD) after it; ``until``:
    until when a restart finds the team. Both None when the overlay node did not run while the server was there.
    """

    since: Optional[float] = None
    until: Optional[float] = None

    def state(self, now: float) -> str:
        """Return LASTING, ENDING or OVER."""
        if self.until is None or now >= self.until:
            return OVER
        return ENDING if self.until - now <= SOON else LASTING

    def sentences(self, now: float) -> str:
        """Return what people should know, as two sentences."""
        state = self.state(now)
        since = '' if self.since is None else ' since ' + _when(self.since)
        first = 'The server has been away{}; this is the team as this robot remembers it.'.format(since)
        if self.until is None:
            return first + ' A restart loses it, as the overlay node did not run while the server was there.'
        if state == OVER:
            return first + ' It was good until {}: the next restart loses it.'.format(_when(self.until))
        if state == ENDING:
            return first + ' In {}, at {}, it ends: a robot that has restarted since then forgets it.'.format(
                format_duration(self.until - now), _when(self.until))
        return first + ' A restart finds it until {}.'.format(_when(self.until))


def remembered(status: Status, stamp: Optional[Stamp], answers: Optional[bool]) -> Optional[RememberedTeam]:
    """Return the remembered team, None while the server is there, and for a robot in no team.

    :param stamp: of map_stamp.read; None without one.
    :param answers: whether the server answers; None: not known. A tailscaled that has just started is not connected for
        a second, so its own state is not enough.
    """
    # Online: tailscaled has a connection to the server (tailscale.com v1.102.5, ipnlocal: GetInPollNetMap).
    if not status.running or status.self_node.online or answers is not False:
        return None
    return RememberedTeam() if stamp is None else RememberedTeam(stamp.seen, stamp.until)


def _when(seconds: float) -> str:
    return format_utc(from_unix(seconds))
