"""The releases of tailscale that the lab tests run: toolchain.pins.TESTED, or the one of `make canary`."""
import os

from ua_overlay.toolchain import locate
from ua_overlay.toolchain.pins import TESTED

#: The directory with the programs of an unpinned release: tests of releases then run this one only (dev/canary.py).
CANARY = os.environ.get('UA_OVERLAY_CANARY', '')
#: Modules under toolchain/, the pinned one first. test_tailscale_releases.py tries the links of all of them.
RELEASES = ('canary',) if CANARY else TESTED[::-1]
#: (release, the one after it), each once in both places: what a robot's tailscaled is replaced with.
REPLACEMENTS = tuple(zip(RELEASES, RELEASES[1:] + RELEASES[:1]))


def tailscaled(release):
    """The path of tailscaled of one of RELEASES."""
    return os.path.join(CANARY, 'tailscaled') if release == 'canary' else locate('tailscaled', module=release)
