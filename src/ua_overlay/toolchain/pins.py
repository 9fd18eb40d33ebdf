"""The versions that the repository pins, read from the Go modules under ``toolchain/``, where alone they are defined.

toolchain/README.md explains how to change one.
"""
import os
import re
from typing import Dict, NamedTuple, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.resources import share_path
from ua_overlay.system import foreign_file

#: Module directories under toolchain/ that build what runs on a site, in build order.
MODULES = ('tailscale', 'headscale')
#: The tailscale modules that the tests run, oldest first. Robots keep the tailscaled that they have while it is not
#: older than MINIMUM, so there is one for each minor version since then; the last one is what this package installs.
TESTED = ('tailscale-1.98', 'tailscale-1.100', 'tailscale')

#: (major, minor, patch)
Version = Tuple[int, ...]

#: Oldest version on the PATH that is used instead of a build, and the reason.
MINIMUM: Dict[str, Tuple[Version, str]] = {
    'tailscale': (defaults.OLDEST_TAILSCALE_FOUND, 'it has the security fixes of 2026 and peer relays'),
    'tailscaled': (defaults.OLDEST_TAILSCALE_FOUND, 'it has the security fixes of 2026 and peer relays'),
    'derper': (defaults.OLDEST_TAILSCALE_FOUND, 'as tailscaled, whose last resort it is'),
    'headscale': (defaults.OLDEST_HEADSCALE_FOUND, 'it has the fixes for stolen node keys and reconnect storms'),
}
#: First version on the PATH that is too new: Headscale changes its configuration and answers with each minor version.
CEILING: Dict[str, Version] = {'headscale': (0, 30, 0)}


class Pin(NamedTuple):
    """One pinned Go module."""

    #: Name of its directory.
    module: str
    #: '1.98.10'
    version: str
    #: Import paths of its programs.
    packages: Tuple[str, ...]
    #: The oldest Go that builds it: '1.26.5'.
    go_version: str


def parse_go_mod(text: str, module: str) -> Pin:
    """Return the pin in the text of a go.mod: its tool packages, and the version of their module.

    :raises ValueError: the text has no tool line, or no version for it.
    """
    packages = re.findall(r'^tool ([^\s(]+)$', text, re.MULTILINE)
    for block in re.findall(r'^tool \((.*?)^\)', text, re.MULTILINE | re.DOTALL):
        packages.extend(block.split())
    if not packages:
        raise ValueError('toolchain/{}/go.mod names no tool'.format(module))
    required = dict(re.findall(r'^\s*(?:require )?(\S+) v(\d\S*)', text, re.MULTILINE))
    owner = next((path for path in required if packages[0].startswith(path + '/')), None)
    go_version = re.search(r'^go (\S+)$', text, re.MULTILINE)
    if owner is None or go_version is None:
        raise ValueError('toolchain/{}/go.mod pins no version of {}'.format(module, packages[0]))
    return Pin(module, required[owner], tuple(packages), go_version.group(1))


def read_pin(directory: str, module: str) -> Pin:
    """:func:`parse_go_mod` of ``<directory>/<module>/go.mod``."""
    return parse_go_mod(foreign_file.read_text(os.path.join(directory, module, 'go.mod')), module)


def newest_tested() -> str:
    """Return the newest tailscale that the tests run, '' if this installation lacks its pins."""
    try:
        return read_pin(share_path('toolchain'), TESTED[-1]).version
    except (OSError, ValueError, OverlayError):
        return ''


def module_of(program: str) -> str:
    """Return the module that builds a program."""
    return 'headscale' if program == 'headscale' else 'tailscale'


def acceptable(program: str, version: Optional[Version]) -> bool:
    """Return whether a program of this version may be used from the PATH; ``version`` is None if unknown."""
    if version is None or version < MINIMUM[program][0]:
        return False
    return program not in CEILING or version < CEILING[program]
