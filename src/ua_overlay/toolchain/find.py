"""Find tailscale, tailscaled, derper and headscale: on the PATH if new enough, else in the cache of builds."""
import functools
import os
import shutil
import subprocess
from typing import Callable, NamedTuple, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Environ
from ua_overlay.resources import share_path
from ua_overlay.system.version import parse_version
from ua_overlay.toolchain.architecture import Architecture, of_this_machine
from ua_overlay.toolchain.pins import MINIMUM, acceptable, module_of, read_pin


class Tool(NamedTuple):
    """A program, found or missing."""

    program: str
    #: None when missing.
    path: Optional[str]
    #: The version that it reports; '' when missing.
    version: str
    #: 'PATH', 'cache' or 'missing'.
    origin: str
    #: The version that the repository pins.
    pinned: str


class ToolMissing(OverlayError):
    """A program is neither on the PATH in a recent version nor built."""

    code = 'TOOL_MISSING'


def cache_dir(environ: Optional[Environ] = None, uid: Optional[int] = None) -> str:
    """Return the directory of builds and other cached files.

    It is $UA_OVERLAY_CACHE; else for root /var/cache/ua_overlay, which the unprivileged users of robots can read; else
    below $XDG_CACHE_HOME or ~/.cache.
    """
    environ = os.environ if environ is None else environ
    if environ.get('UA_OVERLAY_CACHE'):
        return environ['UA_OVERLAY_CACHE']
    if (os.getuid() if uid is None else uid) == 0:
        return '/var/cache/ua_overlay'
    home = environ.get('XDG_CACHE_HOME') or os.path.join(environ.get('HOME', '/'), '.cache')
    return os.path.join(home, 'ua_overlay')


def build_dir(module: str, version: str, cache: Optional[str] = None,
              architecture: Optional[Architecture] = None) -> str:
    """Return the directory of the programs of one pinned module version, which need not exist.

    :param architecture: of the programs; None: that of this machine.
    """
    foreign = '' if architecture is None or architecture == of_this_machine() else '-' + architecture.name
    return os.path.join(cache or cache_dir(), 'tools', '{}-{}{}'.format(module, version, foreign))


def ask_version(path: str) -> str:
    """Return the first line of a program's version output, '' if there is none within 10 s."""
    argument = 'version' if os.path.basename(path) == 'headscale' else '--version'
    try:
        result = subprocess.run([path, argument], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                stdin=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return result.stdout.decode('utf-8', 'replace').split('\n', 1)[0].strip()


def find(program: str, module: Optional[str] = None, which: Callable[[str], Optional[str]] = shutil.which,
         ask: Callable[[str], str] = ask_version, cache: Optional[str] = None) -> Tool:
    """Find a program; return a Tool without a path if it is missing.

    :param module: use the build of this module under toolchain/, instead of the PATH and the default module.
    """
    pin = read_pin(share_path('toolchain'), module or module_of(program))
    if module is None:
        path = which(program)
        if path is not None:
            version = ask(path)
            if acceptable(program, parse_version(version)):
                return Tool(program, path, version, 'PATH', pin.version)
    built = os.path.join(build_dir(pin.module, pin.version, cache), program)
    if os.path.exists(built):
        return Tool(program, built, pin.version, 'cache', pin.version)
    return Tool(program, None, '', 'missing', pin.version)


@functools.lru_cache(maxsize=None)
def locate(program: str, module: Optional[str] = None) -> str:
    """Return the path of a program.

    :raises ToolMissing: it is neither installed nor built.
    """
    found = find(program, module)
    if found.path is None:
        minimum, why = MINIMUM[program]
        raise ToolMissing(
            '{} {} or newer is not installed ({}), and the pinned {} is not built.'.format(
                program, '.'.join(map(str, minimum)), why, found.pinned),
            'ua-overlay tools install' + (' derper' if program == 'derper' else ''))
    return found.path
