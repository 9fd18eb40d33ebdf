"""Read a file that somebody else may have made: a pipe, a device, a directory or 1 GB may stand in its place.

This is the only way in which the package reads such a file: everything but what the kernel writes (/proc, /sys) and
what was opened by one of our own processes. test/unit/project/test_foreign_files.py enforces that.
"""
import errno
import os
import stat
from typing import BinaryIO, NamedTuple, Union

#: Longest file, in bytes, unless the reader says otherwise: a site file of 1,000 robots has 200 kB.
LONGEST = 1024 * 1024
_PART = 65536

Path = Union[str, 'os.PathLike[str]']


class ForeignFile(NamedTuple):
    """What was read, and the status of the very file that it was read from."""

    data: bytes
    status: os.stat_result


def read(path: Path, longest: int = LONGEST, follow: bool = True) -> ForeignFile:
    """Return the content of a regular file and its status; never block, never read more than ``longest`` bytes.

    :param longest: bytes; a longer file is an error, not a part.
    :param follow: False refuses a symbolic link as the last part of ``path``, for a directory in which another user
        may create files.
    :raises OSError: it is missing, unreadable, not a regular file, or too long. ``strerror`` says which, as the end of
        a sentence ('Not a regular file but a FIFO'), and ``filename`` is the path.
    """
    with opened(path, follow) as stream:
        status = os.fstat(stream.fileno())
        parts, missing = [], longest + 1
        try:
            while missing > 0:
                part = stream.read(min(missing, _PART))
                if not part:
                    break
                parts.append(part)
                missing -= len(part)
        except OSError as error:
            error.filename = os.fspath(path)
            raise
    data = b''.join(parts)
    if len(data) > longest:
        raise OSError(errno.EFBIG, 'Longer than {} bytes'.format(longest), os.fspath(path))
    return ForeignFile(data, status)


def opened(path: Path, follow: bool = True) -> BinaryIO:
    """Return a regular file, open for reading and unbuffered: for one that is too long to keep; never block.

    :param follow: as for :func:`read`.
    :raises OSError: as :func:`read`.
    """
    name = os.fspath(path)
    # O_NONBLOCK: opening a FIFO must not wait for its writer. O_NOCTTY: a terminal must not become ours.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        handle = os.open(name, flags)
    except ValueError:  # a NUL in the path
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name) from None
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise OSError(errno.EINVAL, 'Not a regular file but a socket', name) from None
        if error.errno == errno.ELOOP and not follow:
            raise OSError(errno.ELOOP, 'Not a regular file but a symbolic link', name) from None
        raise
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            kind = IsADirectoryError if stat.S_ISDIR(mode) else OSError
            raise kind(errno.EINVAL, 'Not a regular file but a ' + _kind(mode), name)
        return open(handle, 'rb', buffering=0)
    except BaseException:
        os.close(handle)
        raise


def read_text(path: Path, longest: int = LONGEST, encoding: str = 'utf-8', follow: bool = True) -> str:
    """Return the text of a regular file; see :func:`read`.

    :raises OSError: as :func:`read`, and for a file that is not ``encoding``.
    """
    data = read(path, longest, follow).data
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise OSError(errno.EILSEQ, 'Not {} text (byte {})'.format(encoding.upper(), error.start),
                      os.fspath(path)) from None
    # Editors of Windows begin a file with a byte order mark.
    return text[1:] if text.startswith('\ufeff') else text


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return 'directory'
    if stat.S_ISFIFO(mode):
        return 'FIFO'
    if stat.S_ISSOCK(mode):
        return 'socket'
    return 'device'
