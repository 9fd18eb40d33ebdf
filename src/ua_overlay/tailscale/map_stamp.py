"""The file whose time says until when the network map that tailscaled keeps may be used without the server.

The overlay node renews it while the server sees this robot; the drop-in of tailscaled.service (tailscale.prepare)
removes the map at a start after that time. So a robot that was removed from the site while this one was off is trusted
by it for a bounded time.
"""
import os

from ua_overlay import defaults
from ua_overlay.system import files

FILE_NAME = 'map_valid_until'
#: Seconds between two renewals.
PERIOD = 60.0


def path(state_dir: str) -> str:
    """Return the path of the file."""
    return os.path.join(state_dir, FILE_NAME)


def renew(state_dir: str, now: float) -> None:
    """Allow the map for the time for which DERPs remember robots, too.

    :param now: unix time in seconds.
    :raises OSError: the file cannot be written.
    """
    handle = files.open_or_create(path(state_dir), os.O_WRONLY, 0o644)
    try:
        os.utime(handle, (now + defaults.ADMISSION_MEMORY,) * 2)
    finally:
        os.close(handle)
