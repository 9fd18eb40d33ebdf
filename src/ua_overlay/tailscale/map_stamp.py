"""The file whose time says until when the network map that tailscaled keeps may be used without the server.

The overlay node renews it while the server sees this robot; the drop-in of tailscaled.service (tailscale.prepare), or
an overlay node that runs tailscaled itself, removes the map at a start after that time. So a robot that was removed
from the site while this one was off is trusted by it for a bounded time. The text of the file is the time at which the
server saw this robot last.
"""
import glob
import os
import shutil
from dataclasses import dataclass
from typing import Optional

from ua_overlay.digits import is_number
from ua_overlay.system import files, foreign_file

FILE_NAME = 'map_valid_until'
#: Seconds between two renewals.
PERIOD = 60.0
#: Longest file, in bytes.
_LONGEST = 64


@dataclass(frozen=True)
class Stamp:
    """When the server saw this robot last, and until when tailscaled may start with its map: unix times in seconds."""

    seen: float
    until: float


def path(state_dir: str) -> str:
    """Return the path of the file."""
    return os.path.join(state_dir, FILE_NAME)


def renew(state_dir: str, now: float, lifetime: int) -> None:
    """Allow the map for ``lifetime`` seconds from ``now`` (unix time) on.

    :param lifetime: of tags.memory_of: the time for which the site's DERPs remember robots, too.
    :raises OSError: the file cannot be written.
    """
    handle = files.open_or_create(path(state_dir), os.O_WRONLY, 0o644)
    try:
        text = '{:.0f}\n'.format(now).encode('ascii')
        os.ftruncate(handle, os.pwrite(handle, text, 0))
        # Last: it is what counts, and writing changes it.
        os.utime(handle, (now + lifetime,) * 2)
    finally:
        os.close(handle)


def read(state_dir: str) -> Optional[Stamp]:
    """Return the stamp, None if there is none or it cannot be read (then the next start removes the map)."""
    try:
        found = foreign_file.read(path(state_dir), _LONGEST, follow=False)
    except OSError:
        return None
    text, until = found.data.decode('ascii', 'replace').strip(), found.status.st_mtime
    return Stamp(float(text), until) if is_number(text, 11) and float(text) <= until else None


def remove_expired(state_dir: str, daemon_dir: str, now: float) -> None:
    """Remove the maps that tailscaled keeps in ``daemon_dir``, unless they may be used now (unix time).

    :raises OSError: one cannot be removed.
    """
    stamp = read(state_dir)
    if stamp is None or now >= stamp.until:
        for path in glob.glob(os.path.join(glob.escape(daemon_dir), 'profile-data', '*', 'netmap-cache')):
            shutil.rmtree(path)
