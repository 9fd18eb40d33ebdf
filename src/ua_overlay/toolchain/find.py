"""Where tailscale, tailscaled and headscale are: on the PATH when new enough, else in the cache of pinned builds."""
import collections
import functools
import os
import shutil
import subprocess

from ua_overlay.errors import OverlayError
from ua_overlay.resources import share_path
from ua_overlay.system.version import parse_version
from ua_overlay.toolchain.pins import MINIMUM, acceptable, module_of, read_pin

Found = collections.namedtuple('Found', 'program path version origin pinned')
Found.__doc__ = """One program. path: None when missing; version: str as it reports itself; origin: 'PATH', 'cache' or
'missing'; pinned: the version that the repository pins."""


class ToolMissing(OverlayError):
    """A program is neither on the PATH in a version that will do nor built."""

    code = 'TOOL_MISSING'


def cache_dir(environ=None, uid=None):
    """Directory of everything that is built once: $UA_OVERLAY_CACHE, else /var/cache/ua_overlay for root (readable by
    the unprivileged users that robots run as), else below $XDG_CACHE_HOME or ~/.cache."""
    environ = os.environ if environ is None else environ
    if environ.get('UA_OVERLAY_CACHE'):
        return environ['UA_OVERLAY_CACHE']
    if (os.getuid() if uid is None else uid) == 0:
        return '/var/cache/ua_overlay'
    home = environ.get('XDG_CACHE_HOME') or os.path.join(environ.get('HOME', '/'), '.cache')
    return os.path.join(home, 'ua_overlay')


def build_dir(module, version, cache=None):
    """Where the programs of one pinned module version are, or will be."""
    return os.path.join(cache or cache_dir(), 'tools', '{}-{}'.format(module, version))


def ask_version(path):
    """What the program at ``path`` says of its version (first line), or '' when it does not answer within 10 s."""
    argument = 'version' if os.path.basename(path) == 'headscale' else '--version'
    try:
        result = subprocess.run([path, argument], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                stdin=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return result.stdout.decode('utf-8', 'replace').split('\n', 1)[0].strip()


def find(program, module=None, which=shutil.which, ask=ask_version, cache=None):
    """Look for ``program`` and say what was found; never raises for a missing one.

    :param module: a module under toolchain/ whose build is wanted instead of the usual choice; the PATH is not asked.
    :returns: :class:`Found`.
    """
    pin = read_pin(share_path('toolchain'), module or module_of(program))
    if module is None:
        path = which(program)
        if path is not None:
            version = ask(path)
            if acceptable(program, parse_version(version)):
                return Found(program, path, version, 'PATH', pin.version)
    built = os.path.join(build_dir(pin.module, pin.version, cache), program)
    if os.path.exists(built):
        return Found(program, built, pin.version, 'cache', pin.version)
    return Found(program, None, '', 'missing', pin.version)


@functools.lru_cache(maxsize=None)
def locate(program, module=None):
    """Path of ``program``, to run.

    :raises ToolMissing: with what to type.
    """
    found = find(program, module)
    if found.path is None:
        minimum, why = MINIMUM[program]
        raise ToolMissing(
            '{} {} or newer is not installed ({}), and the pinned {} is not built.'.format(
                program, '.'.join(map(str, minimum)), why, found.pinned),
            'ua-overlay tools install' + (' derper' if program == 'derper' else ''))
    return found.path
