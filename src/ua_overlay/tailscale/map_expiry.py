"""Restart tailscaled when the network map with which it started may not be used any more: see :mod:`map_stamp`.

A robot that starts without its server trusts the team that it remembers. The drop-in of tailscaled.service removes the
map at a start after its time; one that started before goes on with it. So a robot that was removed from the site while
this one was off would be trusted by it until the server is back, however long that takes. A tailscaled that was
connected to its server since it started knows who was a member then; it goes on.
"""
import logging
import subprocess
import time
from typing import Callable, Optional

from ua_overlay.clock import format_utc, from_unix
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import OnRound, Say, Stop, WallClock
from ua_overlay.system.process import started_at
from ua_overlay.tailscale.api import StatusApi
from ua_overlay.tailscale.daemon_proxy import listening_process
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import Status, parse_status
from ua_overlay.tailscale.old_paths import COMMAND

_LOG = logging.getLogger(__name__)

#: Seconds between two looks.
PERIOD = 10.0


def is_over(status: Status, stamp: Optional[Stamp], started: float, now: float) -> bool:
    """Return whether tailscaled runs with a map whose time is over, and was not connected since it started. Pure.

    :param started: when tailscaled started; ``now``: both in unix time.
    """
    return (status.running and not status.self_node.online and stamp is not None
            and now >= stamp.until and stamp.seen < started)


def start_of(socket_path: str) -> Optional[float]:
    """Return the unix time at which the tailscaled at ``socket_path`` started; None if it is not visible from here.

    :raises OSError: it has just ended.
    """
    pid = listening_process(socket_path)
    return started_at(pid) if pid else None


def watch_expiry(api: StatusApi, read_stamp: Callable[[], Optional[Stamp]], start: Callable[[], Optional[float]],
                 restart: Callable[[], None], stop: Stop, say: Say = _LOG.info,
                 now: WallClock = time.time, on_round: OnRound = lambda problem: None) -> None:
    """Restart tailscaled once when the time of its map is over, until ``stop`` is set; again if that fails.

    :param api: LocalAPI of any user.
    :param start: returns when tailscaled started (:func:`start_of`).
    :param restart: restarts tailscaled; raises OSError or SubprocessError.
    :param say: called with a sentence after each restart, and once for each reason why one fails.
    """
    done: Optional[Stamp] = None
    problem = ''
    while not stop.wait(PERIOD):
        stamp, before, problem = read_stamp(), problem, ''
        if stamp is not None and stamp != done and _is_over_now(api, stamp, start, now()):
            since = format_utc(from_unix(stamp.seen))
            try:
                restart()
            except (OSError, subprocess.SubprocessError) as error:
                problem = ('The team that this robot remembers since {} is out of date, and tailscaled could not be '
                           'restarted: {}.'.format(since, error))
                if problem != before:
                    say('{} Next: {}'.format(problem, COMMAND))
            else:
                done = stamp
                say('The server has been away since {}: the team that this robot remembered is out of date, and was '
                    'forgotten.'.format(since))
        on_round(problem)


def _is_over_now(api: StatusApi, stamp: Stamp, start: Callable[[], Optional[float]], now: float) -> bool:
    if now < stamp.until:
        return False  # the usual case, without a question to tailscaled
    try:
        status, started = parse_status(api.status(peers=False)), start()
    except (OverlayError, OSError):  # it is starting, or ending
        return False
    return started is not None and is_over(status, stamp, started, now)
