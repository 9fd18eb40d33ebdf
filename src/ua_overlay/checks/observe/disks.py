"""Observe whether there is room where this robot writes."""
import os
from typing import Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.checks.facts import Disk

#: The env file, the kept settings, and tailscaled's identity.
DIRECTORIES = (defaults.RUN_DIR, defaults.STATE_DIR, defaults.DAEMON_STATE_DIR)


def observe_disks(directories: Sequence[str] = DIRECTORIES) -> Tuple[Disk, ...]:
    """Return the free bytes for users of the file systems of these directories, without those that do not exist."""
    found = []
    for directory in directories:
        try:
            status = os.statvfs(directory)
        except OSError:
            continue  # a robot that was not prepared has no such directory
        # A file system without inodes takes no new file either; some (btrfs) count none at all.
        free = 0 if status.f_files and not status.f_favail else status.f_bavail * status.f_frsize
        found.append(Disk(directory, free))
    return tuple(found)
