"""Decide whether a tailscaled is recent enough. Pure."""
from typing import Optional

from ua_overlay import defaults
from ua_overlay.system.version import parse_version


def is_supported(text: Optional[str]) -> bool:
    """Return whether a tailscaled that reports version ``text`` can join; True for a version without a number.

    A version without a number is a custom build, not an old release.
    """
    version = parse_version(text)
    return version is None or version[:2] >= defaults.OLDEST_TAILSCALED
