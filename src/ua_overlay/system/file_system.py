"""Say which file system is full, read-only or broken when a write fails, and which command shows it.

The kernel's "No space left on device" names no device, and a robot or a server has several.
"""
import errno
import os
import subprocess
from typing import Optional, Union

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.system import foreign_file

#: What is wrong with the file system itself, by the number of the error.
_TROUBLES = {errno.ENOSPC: 'is full', errno.EDQUOT: 'has no space left for this user (quota)',
             errno.EROFS: 'is read-only', errno.EIO: 'has a read or write error'}

#: Bytes that a server needs for its next hours: its two logs before they are renamed.
SHORT = 16 * 1024 * 1024

Path = Union[str, 'os.PathLike[str]']


class FileSystemError(OverlayError):
    """A file cannot be written or read, for a reason that no command expects."""

    code = 'FILE_SYSTEM'


def mount_point(path: Path) -> str:
    """Return where the file system of ``path`` is mounted; ``path`` need not exist."""
    place = os.path.realpath(os.fspath(path))
    while not os.path.ismount(place) and place != os.path.dirname(place):
        # A missing directory is on the file system of the one above it.
        place = os.path.dirname(place)
    return place


#: File systems on which every file has the mode of the mount: those of USB sticks and CDs (mount(8)).
MODELESS = frozenset(('vfat', 'msdos', 'exfat', 'ntfs', 'ntfs3', 'fuseblk', 'hfsplus', 'iso9660', 'udf'))


def kind_of(path: Path) -> str:
    """Return the type of the file system of ``path``: 'ext4', 'vfat'; '' if the kernel does not show it."""
    try:
        text = foreign_file.read_text('/proc/self/mountinfo')
    except OSError:
        return ''
    return kind_in(text, mount_point(path))


def kind_in(mountinfo: str, place: str) -> str:
    """Return the type of the file system on ``place`` in the text of /proc/self/mountinfo, '' if none is there. Pure.

    proc(5): the mount point is field 5, with spaces as \\040; the type follows ` - `. The last mount covers others.
    """
    found = ''
    for line in mountinfo.splitlines():
        head, _, tail = line.partition(' - ')
        fields = head.split()
        if len(fields) > 4 and tail and fields[4].replace('\\040', ' ') == place:
            found = tail.split()[0]
    return found


def closing_command(path: Path, owner: int, kind: str, user: int) -> str:
    """Return the command that keeps other users from reading the secret in ``path``. Pure.

    Modes of a file belong to its owner, and a USB stick has none: there a copy is needed.

    :param owner: uid of the file's owner. :param kind: of its file system. :param user: uid of who types the command.
    """
    if kind not in MODELESS and user in (owner, 0):
        return command('chmod 600 {}', os.fspath(path))
    name = os.path.basename(os.fspath(path))
    return '{}   # and use that copy'.format(command('install -m 600 {} ~/{}', os.fspath(path), name))


def shortage(path: Path, least: int = SHORT) -> Optional[OverlayError]:
    """Return the warning about a file system with less than ``least`` bytes left for this user; None with more.

    :raises OSError: ``path`` does not exist.
    """
    status = os.statvfs(path)
    left, inodes = status.f_bavail * status.f_frsize, status.f_favail
    place = mount_point(path)
    if status.f_flag & os.ST_RDONLY:
        return FileSystemError('The file system {} is read-only.'.format(place), command('findmnt {}', place))
    if left < least:
        return FileSystemError('The file system {} {}.'.format(
            place, 'has only {} kB left'.format(left // 1024) if left else 'is full'), command('df -h {}', place))
    if status.f_files and not inodes:
        return FileSystemError('The file system {} has no inode left for a new file.'.format(place),
                               command('df -i {}', place))
    return None


def is_trouble(error: OSError) -> bool:
    """Return whether the file system itself is the cause: full, read-only or broken."""
    return error.errno in _TROUBLES


def named(error: OSError, path: Path) -> OSError:
    """Add ``path`` to an error that has none, and name the file system if that is the cause; return the same error.

    Its ``strerror`` is then 'the file system /var is full', so that every sentence with it says so.
    """
    if error.filename is None or isinstance(error.filename, int):
        error.filename = os.fspath(path)
    if is_trouble(error) and not (error.strerror or '').startswith('the file system '):
        error.strerror = 'the file system {} {}'.format(mount_point(error.filename), _TROUBLES[error.errno or 0])
    return error


def next_command(error: OSError, otherwise: str) -> str:
    """Return the next command for an error: `df` if its file system is the cause, else ``otherwise``."""
    if is_trouble(error) and error.filename is not None:
        return 'df -h {}'.format(mount_point(error.filename))
    return otherwise


def as_error(error: Exception, output: str = '') -> OverlayError:
    """Return the sentence for an error of the operating system that a command did not expect.

    :param error: an OSError or a subprocess.SubprocessError.
    :param output: what was being written if the error names no file: 'standard output'.
    """
    if isinstance(error, subprocess.TimeoutExpired):
        return FileSystemError('`{}` did not end within {:g} s.'.format(_program(error.cmd), error.timeout))
    if not isinstance(error, OSError):
        return FileSystemError('`{}` failed.'.format(_program(getattr(error, 'cmd', '?'))))
    if error.filename is None:
        return FileSystemError('{}: {}.'.format(
            '{} cannot be written'.format(output.capitalize()) if output and is_trouble(error)
            else 'The system refused an operation',
            error.strerror or type(error).__name__))
    named(error, error.filename)
    return FileSystemError('{} cannot be used: {}.'.format(error.filename, error.strerror),
                           next_command(error, command('ls -ld {}', error.filename)))


def _program(command: Optional[object]) -> str:
    """Return the name of the program of an argv; its arguments may be anything."""
    return os.path.basename(str(command[0] if isinstance(command, (list, tuple)) and command else command))
