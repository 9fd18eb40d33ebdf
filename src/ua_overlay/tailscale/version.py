"""Versions of tailscaled: read leniently, compared with the least that works."""
import re

#: Headscale 0.29 answers clients from capability version 115 on, which is Tailscale 1.80 (headscale CHANGELOG, 0.29.0).
MINIMUM = (1, 80)

_NUMBERS = re.compile(r'v?(\d+)\.(\d+)(?:\.(\d+))?')


def parse_version(text):
    """Return (major, minor, patch) of ``'1.98.10-ERR-BuildInfo'``, ``'1.80.2-t1234-g5678'``, ``'1.99'``…, or None.

    What follows the numbers is ignored: a distribution's suffix, a commit, or the stamp of a build without version
    control information says nothing about age.
    """
    match = _NUMBERS.match(text or '')
    if match is None:
        return None
    return int(match.group(1)), int(match.group(2)), int(match.group(3) or 0)


def is_supported(text):
    """True when the version is at least :data:`MINIMUM`, and also when it cannot be read: then it is no old release."""
    version = parse_version(text)
    return version is None or version[:2] >= MINIMUM
