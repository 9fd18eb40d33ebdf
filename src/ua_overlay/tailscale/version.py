"""Versions of tailscaled: read leniently, compared with the oldest that the server accepts. Pure."""
import re
from typing import Optional, Tuple

#: Headscale 0.29 answers clients from capability version 115 on, which is Tailscale 1.80 (headscale CHANGELOG, 0.29.0).
#: The version that the package builds is newer: toolchain.pins.
MINIMUM = (1, 80)

_NUMBERS = re.compile(r'v?(\d+)\.(\d+)(?:\.(\d+))?')


def parse_version(text: Optional[str]) -> Optional[Tuple[int, int, int]]:
    """Return (major, minor, patch) of ``'1.98.10-ERR-BuildInfo'``, ``'1.80.2-t1234-g5678'``, ``'1.99'``…, or None.

    What follows the numbers is ignored: a distribution's suffix, a commit, or the stamp of a build without version
    control information does not indicate age.
    """
    match = _NUMBERS.match(text or '')
    if match is None:
        return None
    return int(match.group(1)), int(match.group(2)), int(match.group(3) or 0)


def is_supported(text: Optional[str]) -> bool:
    """Return whether the version is at least :data:`MINIMUM`; True for an unreadable one, which is no old release."""
    version = parse_version(text)
    return version is None or version[:2] >= MINIMUM
