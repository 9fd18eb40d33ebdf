"""The env file: the team's ROS environment for shells and programs. It is derived, lost at reboot, and written by one
node.

The env hook (env-hooks/50.ua_overlay.sh) reads the same file by the same rules in POSIX sh: change both together.
"""
import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import Callable, Dict, Mapping, Optional

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Environ
from ua_overlay.system import file_system, foreign_file
from ua_overlay.system.files import write_atomic

FILE_NAME = 'env'
HEADER = '# The ROS environment of this robot in its team. Written by the overlay node of ua_overlay; do not edit.\n'
ROS_KEYS = ('ROS_MASTER_URI', 'ROS_HOSTNAME', 'ROS_IP')
KEYS = ROS_KEYS + ('UA_OVERLAY_TEAM', 'UA_OVERLAY_ROBOT')
#: Only characters that a shell does not interpret.
VALUE = re.compile(r'[A-Za-z0-9.:/_-]+\Z')
#: Longest file of the run directory, in bytes.
_MAX_BYTES = 65536

#: Variable of :data:`KEYS` -> value.
Variables = Dict[str, str]


class EnvironmentMissing(OverlayError):
    """There is no overlay environment at the moment."""

    code = 'NO_ENVIRONMENT'
    exit_status = 3


class EnvironmentUnsafe(OverlayError):
    """The file exists, but must not be used."""

    code = 'UNSAFE_ENVIRONMENT'


@dataclass(frozen=True)
class Location:
    """The run directory, which holds the env file.

    :ivar personal: the directory comes from a variable of this user, so only this user's own files count there. In the
        shared directory below /run the directory's owner (whom root chose) counts as well.
    """

    directory: str
    personal: bool

    @property
    def path(self) -> str:
        """The env file."""
        return self.file(FILE_NAME)

    def file(self, name: str) -> str:
        """Return the path of a file in the directory."""
        return os.path.join(self.directory, name)


def locate(environ: Optional[Environ] = None, run_dir: str = defaults.RUN_DIR,
           is_dir: Callable[[str], bool] = os.path.isdir) -> Location:
    """Return the :class:`Location` of the env file: $UA_OVERLAY_RUN_DIR if set, else /run/ua_overlay if that exists,
    else $XDG_RUNTIME_DIR/ua_overlay.

    :raises EnvironmentMissing: none of these directories exists.
    """
    environ = os.environ if environ is None else environ
    if environ.get('UA_OVERLAY_RUN_DIR'):
        return Location(environ['UA_OVERLAY_RUN_DIR'], True)
    if is_dir(run_dir):
        return Location(run_dir, False)
    if environ.get('XDG_RUNTIME_DIR'):
        return Location(os.path.join(environ['XDG_RUNTIME_DIR'], 'ua_overlay'), True)
    raise EnvironmentMissing(
        'There is no directory for the ROS environment: {} does not exist and XDG_RUNTIME_DIR is not set.'.format(
            run_dir), command('sudo ua-overlay robot prepare --user {}', environ.get('USER') or 'USER'))


def dump(variables: Mapping[str, str]) -> str:
    """Return the text of an env file.

    :raises ValueError: a variable is unknown, or the hook would refuse its value.
    """
    _check(variables)
    return HEADER + ''.join('{}={}\n'.format(key, variables[key]) for key in KEYS if key in variables)


def parse(text: str) -> Variables:
    """Read the text of an env file. Comments, blank lines and unknown variables are skipped.

    :raises ValueError: a line is invalid; a file is used as a whole or not at all.
    """
    variables = {}
    for line in text.split('\n'):
        key, equals, value = line.partition('=')
        if not line or line.startswith('#'):
            continue
        if not equals:
            raise ValueError('a line without "="')
        if key in KEYS:
            variables[key] = value
    _check(variables)
    return variables


def write(location: Location, variables: Mapping[str, str]) -> None:
    """Replace the env file atomically (0644).

    :raises OverlayError: when it cannot be written.
    :raises ValueError: :func:`dump` refuses the variables.
    """
    write_file(location, FILE_NAME, dump(variables))


def write_file(location: Location, name: str, text: str) -> None:
    """Replace a file of the run directory atomically (0644), whatever stands in its place. The directory is created if
    it is personal.

    :raises OverlayError: when it cannot be written.
    """
    path = location.file(name)
    try:
        if location.personal:
            os.makedirs(location.directory, mode=0o755, exist_ok=True)
        _clear_odd(path)
        write_atomic(path, text)
    except IsADirectoryError as error:
        raise _in_the_way(path) from error
    except OSError as error:
        raise OverlayError('The ROS environment cannot be written to {}: {}.'.format(
            path, error.strerror or error), file_system.next_command(
                error, command('sudo ua-overlay robot prepare --user {}', os.environ.get('USER') or 'USER'))) from error


def remove(location: Location, name: str = FILE_NAME) -> bool:
    """Remove the env file, or another file of the run directory, if it exists, whatever it is.

    :returns: whether it existed.
    :raises OverlayError: when it cannot be removed.
    """
    path = location.file(name)
    try:
        _clear_odd(path)
        os.unlink(path)
        return True
    except IsADirectoryError as error:
        raise _in_the_way(path) from error
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OverlayError('The old ROS environment {} cannot be removed: {}.'.format(
            path, error.strerror or error), command('sudo rm {}', path)) from error


def holds(location: Location, name: str, text: str) -> bool:
    """Return whether a file of the run directory is there as :func:`write_file` leaves it: for everybody to read, and
    with this text."""
    try:
        found = foreign_file.read(location.file(name), _MAX_BYTES, follow=False)
    except OSError:
        return False
    return found.data == text.encode('ascii') and stat.S_IMODE(found.status.st_mode) == 0o644 and \
        found.status.st_uid == os.geteuid()


def _clear_odd(path: str) -> None:
    """Remove what is neither a file nor a link from ``path``: a container's runtime creates an empty directory where it
    shall mount a file that does not exist.

    :raises IsADirectoryError: it is a directory that is not empty, or one that cannot be removed.
    :raises OSError: it is a pipe, a socket or a device that cannot be removed.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        try:
            os.rmdir(path)
        except OSError as error:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path) from error
    elif not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        os.unlink(path)


def _in_the_way(path: str) -> OverlayError:
    return OverlayError('The ROS environment cannot be written: {} is a directory.'.format(path),
                        command('sudo rm -r {}', path))


def read(location: Location, uid: Optional[int] = None) -> Variables:
    """Return the variables of the env file.

    :param uid: the reader, default: this process.
    :raises EnvironmentMissing: when there is no file.
    :raises EnvironmentUnsafe: when it is another user's, can be changed by others, or is invalid.
    """
    try:
        return parse(read_file(location, FILE_NAME, uid))
    except ValueError as error:
        raise unsafe(location, FILE_NAME, str(error)) from None


def read_file(location: Location, name: str, uid: Optional[int] = None) -> str:
    """Return the text (ASCII) of a file of the run directory that this reader may trust.

    Parameters and errors as for :func:`read`.
    """
    path = location.file(name)
    try:
        # Not through a link: the node writes a file, never a link.
        found = foreign_file.read(path, _MAX_BYTES, follow=False)
        directory = os.stat(location.directory)
    except (FileNotFoundError, NotADirectoryError):
        raise EnvironmentMissing('This robot has no team environment for ROS now: {} does not exist.'.format(path),
                                 'ua-overlay status') from None
    except OSError as error:
        raise EnvironmentUnsafe('{} cannot be read: {}.'.format(path, error.strerror or error),
                                # The overlay node mends this at its next step; where none runs, it is a person's.
                                command('sudo rm -r {}', path)) from error
    problem = _distrust(found.status, directory, os.geteuid() if uid is None else uid, location.personal)
    if problem:
        raise EnvironmentUnsafe('{} is not used: {}.'.format(path, problem),
        command('ls -la {}', location.directory))
    try:
        return found.data.decode('ascii')
    except UnicodeDecodeError:
        raise unsafe(location, name, 'it is not ASCII') from None


def unsafe(location: Location, name: str, detail: str) -> EnvironmentUnsafe:
    """Return the error of a file with invalid content.

    :param detail: what is wrong with it, without the full stop.
    """
    path = location.file(name)
    return EnvironmentUnsafe('{} is not used: {}.'.format(path, detail), command('cat -v {}', path))


def _distrust(file_status: os.stat_result, directory_status: os.stat_result, uid: int, personal: bool) -> str:
    """Return why the reader ``uid`` must not use a file, or ''."""
    trusted = {uid} if personal else {0, uid, directory_status.st_uid}
    if file_status.st_uid not in trusted or (personal and directory_status.st_uid != uid):
        return 'it belongs to another user'
    if (file_status.st_mode | directory_status.st_mode) & stat.S_IWOTH:
        return 'it is world-writable'
    return ''


def _check(variables: Mapping[str, str]) -> None:
    """Check the variables of an env file; raise ValueError if one is invalid."""
    for key, value in variables.items():
        if key not in KEYS:
            raise ValueError('unknown variable {}'.format(key))
        if not VALUE.match(value):
            raise ValueError('the value of {} has invalid characters'.format(key))
    if not variables.get('ROS_MASTER_URI', '').startswith('http://'):
        raise ValueError('it has no ROS_MASTER_URI')
    if ('ROS_HOSTNAME' in variables) == ('ROS_IP' in variables):
        raise ValueError('it needs exactly one of ROS_HOSTNAME and ROS_IP')
