"""What the repository pins: read from the Go modules under ``toolchain/``, the one place of each version."""
import collections
import os
import re

from ua_overlay import defaults

#: Module directories under toolchain/, in build order. The last is for the tests alone.
MODULES = ('tailscale', 'headscale', 'tailscale-next')

#: Oldest version on the PATH that is used instead of a build, and why.
MINIMUM = {
    'tailscale': (defaults.OLDEST_TAILSCALE_FOUND, 'it has the security fixes of 2026 and peer relays'),
    'tailscaled': (defaults.OLDEST_TAILSCALE_FOUND, 'it has the security fixes of 2026 and peer relays'),
    'derper': (defaults.OLDEST_TAILSCALE_FOUND, 'as tailscaled, whose last resort it is'),
    'headscale': (defaults.OLDEST_HEADSCALE_FOUND, 'it has the fixes for stolen node keys and reconnect storms'),
}
#: First version on the PATH that is not trusted: Headscale changes configuration and answers with each minor.
CEILING = {'headscale': (0, 30, 0)}

Pin = collections.namedtuple('Pin', 'module version packages go_version')
Pin.__doc__ = """One pinned Go module.

module: its directory's name; version: '1.98.10'; packages: import paths of the programs; go_version: oldest Go that
will do, '1.26.5'.
"""


def parse_go_mod(text, module):
    """Return the :class:`Pin` in the text of a go.mod: its tool packages and the version of the module they are in.

    :raises ValueError: when there is no tool line or no version for it.
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


def read_pin(directory, module):
    """:func:`parse_go_mod` of ``<directory>/<module>/go.mod``."""
    with open(os.path.join(directory, module, 'go.mod'), encoding='utf-8') as stream:
        return parse_go_mod(stream.read(), module)


def module_of(program):
    """The module that builds ``program``."""
    return 'headscale' if program == 'headscale' else 'tailscale'


def acceptable(program, version):
    """Whether a program of this version (a tuple, or None when it said nothing) may be used from the PATH."""
    if version is None or version < MINIMUM[program][0]:
        return False
    return program not in CEILING or version < CEILING[program]
