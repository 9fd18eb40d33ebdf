"""Keep some room on a site's disk, with which Headscale can start when the disk is full.

Headscale writes to its database at each start (0.29: "storing database version") and ends when it cannot. A running
one goes on without room, so a restart must not be the end of it.
"""
import os

from ua_overlay.site.site import Site
from ua_overlay.system import file_system

#: Bytes that are kept. The database of a thousand robots has a few megabytes, and a start changes some pages of it.
SIZE = 4 * 1024 * 1024


def path_of(site: Site) -> str:
    """Return the path of the file that keeps the room: a backup leaves out its directory."""
    return site.path('run', 'reserve')


def release(site: Site) -> bool:
    """Give the room to Headscale if the disk has none; return whether that was done."""
    try:
        if file_system.shortage(site.directory, SIZE // 2) is None or not os.path.isfile(path_of(site)):
            return False
        os.unlink(path_of(site))
    except OSError:
        return False  # Headscale's own error says more
    return True


def keep(site: Site) -> None:
    """Take the room again when the disk has enough."""
    path = path_of(site)
    try:
        if os.path.lexists(path) or file_system.shortage(site.directory, SIZE + file_system.SHORT) is not None:
            return
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, SIZE)
        finally:
            os.close(handle)
    except OSError:
        return  # the disk filled up meanwhile, or the file system cannot: it is tried again
