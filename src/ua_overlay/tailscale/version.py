"""Which tailscaled is too old. Pure."""
from typing import Optional

from ua_overlay import defaults
from ua_overlay.system.version import parse_version


def is_supported(text: Optional[str]) -> bool:
    """Return whether a tailscaled that calls its version ``text`` can join; True for a version that is no number.

    What cannot be read is somebody's own build, not an old release.
    """
    version = parse_version(text)
    return version is None or version[:2] >= defaults.OLDEST_TAILSCALED
