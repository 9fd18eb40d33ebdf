"""Programs of the pinned versions in one file, to hand to a machine that has neither Go nor the internet.

A bundle is a gzipped tar file with SHA256SUMS, in the format of sha256sum(1), and the programs. The same programs give
the same bytes. A receiver believes nothing in it: somebody copied the file, perhaps half of it, perhaps the one for
another architecture or of another version of this package.
"""
import gzip
import hashlib
import hmac
import io
import os
import re
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from typing import IO, Callable, ContextManager, Dict, Iterable, Iterator, List, NamedTuple, Optional, cast

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.protocols import Progress
from ua_overlay.system import foreign_file
from ua_overlay.system.version import parse_version
from ua_overlay.toolchain.architecture import ELF_HEADER, Architecture, of_program
from ua_overlay.toolchain.find import ask_version, build_dir
from ua_overlay.toolchain.pins import Pin, module_of

SUMS = 'SHA256SUMS'
#: The programs of all pinned modules.
PROGRAMS = ('tailscale', 'tailscaled', 'headscale', 'derper')
#: Bytes: the longest program (headscale has 90 MB), the longest bundle, the longest list of sums.
LONGEST_PROGRAM = 300 * 1000 * 1000
LONGEST_BUNDLE = 400 * 1000 * 1000
LONGEST_SUMS = 4096
#: Seconds without a byte after which a download is given up.
SILENCE = 30.0
_PART = 1 << 20
#: What gzip and tarfile raise for a damaged file. RecursionError: a header behind a header, a thousand times.
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError, RecursionError)
#: How to get a good one.
MAKE = 'ua-overlay tools build --arch ARCH   # on a machine with the internet and this version of the package'
_SUM = re.compile(r'([0-9a-f]{64}) [ *](\S+)', re.ASCII)
_URL = re.compile(r'https?://', re.IGNORECASE)

#: Program -> SHA-256 in hexadecimal.
Sums = Dict[str, str]


class BundleError(OverlayError):
    """A bundle is damaged, incomplete, or not for this machine."""

    code = 'TOOLS_FILE'


class Part(NamedTuple):
    """A program of a bundle."""

    program: str
    version: str
    path: str
    sha256: str


def part_of(path: str, version: str) -> Part:
    """Return the part of a bundle that is the program at ``path``."""
    with foreign_file.opened(path) as stream:
        return Part(os.path.basename(path), version, path, sha256_of(stream))


def sha256_of(stream: IO[bytes]) -> str:
    """Return the SHA-256 of what is left in ``stream``, in hexadecimal."""
    digest = hashlib.sha256()
    while True:
        data = stream.read(_PART)
        if not data:
            return digest.hexdigest()
        digest.update(data)


def sums_text(parts: Iterable[Part]) -> str:
    """Return the SHA256SUMS of programs. Pure."""
    return ''.join('{}  {}\n'.format(part.sha256, part.program) for part in parts)


def parse_sums(text: str) -> Sums:
    """Return the sums of SHA256SUMS. Pure.

    :raises ValueError: a line is no sum, or names something else than one of PROGRAMS, or one of them twice.
    """
    sums: Sums = {}
    for line in text.splitlines():
        match = _SUM.fullmatch(line)
        if match is None or match.group(2) not in PROGRAMS or match.group(2) in sums:
            raise ValueError('the line {!r}'.format(printable(line)[:80]))
        sums[match.group(2)] = match.group(1)
    if not sums:
        raise ValueError('no line')
    return sums


def pack(parts: List[Part], path: str) -> str:
    """Write a bundle of ``parts`` to ``path``; return its SHA-256.

    :raises OSError: ``path`` cannot be written. No part of it remains.
    """
    directory = os.path.dirname(os.path.abspath(path))
    handle, draft = tempfile.mkstemp(prefix='.' + os.path.basename(path) + '.', dir=directory)
    try:
        with os.fdopen(handle, 'wb') as raw:
            # Without the name and the time of the file, and at the level that takes seconds on a small machine.
            with gzip.GzipFile('', 'wb', 1, raw, 0) as packed, tarfile.open(fileobj=packed, mode='w') as tar:
                text = sums_text(parts).encode('ascii')
                _add(tar, SUMS, io.BytesIO(text), len(text), 0o644)
                for part in parts:
                    with foreign_file.opened(part.path) as program:
                        _add(tar, part.program, program, os.fstat(program.fileno()).st_size, 0o755)
            raw.flush()
            os.fchmod(raw.fileno(), 0o644)
            os.fsync(raw.fileno())
        with foreign_file.opened(draft) as stream:
            digest = sha256_of(stream)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return digest


def _add(tar: tarfile.TarFile, name: str, stream: IO[bytes], size: int, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    tar.addfile(member, stream)


def install(source: str, expected: str, pins: Dict[str, Pin], architecture: Optional[Architecture], cache: str,
            progress: Progress, ask: Callable[[str], str] = ask_version) -> List[str]:
    """Install the programs of a bundle where a build of the same version would be; return their names.

    :param source: path of a bundle, or its URL (http or https).
    :param expected: the bundle's SHA-256 in hexadecimal; '' if unknown.
    :param pins: module -> its pin.
    :param architecture: of this machine; None: one for which no programs are built.
    :param ask: path of a program -> the version that it reports, '' if it does not run.
    :raises BundleError: it cannot be read, is damaged, or is not for this machine. Nothing has changed.
    """
    tools = os.path.join(cache, 'tools')
    try:
        os.makedirs(tools, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.bundle.', dir=tools) as draft:
            with progress('Checking {}'.format(printable(source))):
                bundle = os.path.join(draft, 'bundle')
                _receive(source, bundle, expected)
                found = _unpack(source, bundle, draft)
                for program in found:
                    _check(source, os.path.join(draft, program), pins[module_of(program)], architecture, ask)
            for program in found:
                pin = pins[module_of(program)]
                target = build_dir(pin.module, pin.version, cache, architecture)
                os.makedirs(target, exist_ok=True)
                os.replace(os.path.join(draft, program), os.path.join(target, program))
    except OSError as error:
        raise BundleError('{} cannot be installed in {}: {}.'.format(printable(source), cache, _reason(error)),
                          command('ls -ld {}; df -h {}', cache, cache)) from None
    return found


def _receive(source: str, target: str, expected: str) -> None:
    """Copy a bundle to ``target``. What is read later is what was compared: nobody else can write there."""
    digest = hashlib.sha256()
    try:
        with _opened(source) as stream, open(target, 'wb') as copy:
            for data in _parts(stream, LONGEST_BUNDLE):
                digest.update(data)
                copy.write(data)
    # http.client raises errors of its own where the answer is not HTTP, and ValueError for a length that is no number.
    except (OSError, ValueError, HTTPException) as error:
        raise BundleError('{} cannot be read: {}.'.format(printable(source), _reason(error)),
                          command('curl -I {}' if _URL.match(source) else 'ls -l {}', source)) from None
    if expected and not hmac.compare_digest(digest.hexdigest(), expected.lower()):
        raise BundleError(
            '{} has the SHA-256 {}, not {}: it was damaged on the way, or is another file.'.format(
                printable(source), digest.hexdigest(), printable(expected)),
            'sha256sum FILE   # where it was made; then copy it again')


def _opened(source: str) -> ContextManager[IO[bytes]]:
    if not _URL.match(source):
        return foreign_file.opened(source)
    answer: ContextManager[IO[bytes]] = urllib.request.urlopen(source, timeout=SILENCE)
    return answer


def _unpack(source: str, bundle: str, directory: str) -> List[str]:
    """Unpack the programs of a bundle into ``directory``, each with the sum of SHA256SUMS; return their names."""
    sums: Sums = {}
    found: List[str] = []
    try:
        with foreign_file.opened(bundle) as raw, _Unzipped(raw) as unzipped, tarfile.open(
                fileobj=cast(IO[bytes], unzipped), mode='r:') as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or member.name in found or not (sums or member.name == SUMS):
                    raise ValueError('the member {}'.format(printable(member.name)))
                if not sums:
                    sums = parse_sums(b''.join(_parts(stream, LONGEST_SUMS)).decode('ascii'))
                    continue
                if member.name not in sums:
                    raise ValueError('{} has no sum'.format(printable(member.name)))
                digest = hashlib.sha256()
                with open(os.path.join(directory, member.name), 'wb') as program:
                    for data in _parts(stream, LONGEST_PROGRAM):
                        digest.update(data)
                        program.write(data)
                    os.fchmod(program.fileno(), 0o755)
                    program.flush()
                    os.fsync(program.fileno())
                if not hmac.compare_digest(digest.hexdigest(), sums[member.name]):
                    raise ValueError('{} has another SHA-256 than in {}'.format(member.name, SUMS))
                found.append(member.name)
        if not sums or sorted(found) != sorted(sums):
            raise ValueError('programs are missing')
    except _DAMAGED as error:
        raise BundleError('{} is no complete bundle of programs: {}.'.format(printable(source), printable(error)),
                          MAKE) from None
    return found


def _check(source: str, path: str, pin: Pin, architecture: Optional[Architecture],
           ask: Callable[[str], str]) -> None:
    """Check that a program is the pinned one and runs on this machine."""
    program = os.path.basename(path)
    with foreign_file.opened(path) as stream:
        made_for = of_program(stream.read(ELF_HEADER))
    if made_for is None or made_for != architecture:
        raise BundleError('{} of {} is for {}, and this machine is {}.'.format(
            program, printable(source), made_for.name if made_for else 'an unknown architecture',
            architecture.name if architecture else os.uname().machine), MAKE)
    version = ask(path)
    if parse_version(version) != parse_version(pin.version):
        raise BundleError('{} of {} {}, and this package needs {}.'.format(
            program, printable(source), 'is ' + printable(version) if version else 'does not run', pin.version), MAKE)


class _Unzipped(gzip.GzipFile):
    """Refuses to read more at once than this module asks for.

    A header of a tar file (PAX) may claim any length, and tarfile reads it whole; gzip packs a thousandfold.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        super().__init__(fileobj=raw)

    def read(self, size: Optional[int] = -1) -> bytes:
        if size is None or not 0 <= size <= _PART:
            raise ValueError('a header of {} bytes'.format(size))
        return super().read(size)


def _parts(stream: IO[bytes], longest: int) -> Iterator[bytes]:
    """Yield the content of ``stream``. :raises ValueError: it is longer than ``longest`` bytes."""
    left = longest
    while True:
        data = stream.read(_PART)
        if not data:
            return
        left -= len(data)
        if left < 0:
            raise ValueError('longer than {} bytes'.format(longest))
        yield data


def _reason(error: BaseException) -> str:
    """Return an error as the end of a sentence."""
    if isinstance(error, urllib.error.HTTPError):
        return 'HTTP status {}'.format(error.code)
    inner = getattr(error, 'reason', error)  # of urllib.error.URLError
    return printable(getattr(inner, 'strerror', None) or str(inner) or type(inner).__name__)
