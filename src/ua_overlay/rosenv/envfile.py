"""The env file: the team's ROS environment for shells and programs; derived, gone at reboot, written by one node.

The env hook (env-hooks/50.ua_overlay.sh) reads the same file by the same rules in POSIX sh; a change here is one there.
"""
import os
import re
import stat
from dataclasses import dataclass

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.system.files import write_atomic

FILE_NAME = 'env'
HEADER = '# The ROS environment of this robot in its team. Written by the overlay node of ua_overlay; do not edit.\n'
ROS_KEYS = ('ROS_MASTER_URI', 'ROS_HOSTNAME', 'ROS_IP')
KEYS = ROS_KEYS + ('UA_OVERLAY_TEAM', 'UA_OVERLAY_ROBOT')
#: Nothing that a shell could take for more than a word.
VALUE = re.compile(r'[A-Za-z0-9.:/_-]+\Z')


class EnvironmentMissing(OverlayError):
    """There is no overlay environment now."""

    code = 'NO_ENVIRONMENT'
    exit_status = 3


class EnvironmentUnsafe(OverlayError):
    """There is an env file that must not be taken."""

    code = 'UNSAFE_ENVIRONMENT'


@dataclass(frozen=True)
class Location:
    """Where the env file is.

    :ivar personal: the place comes from a variable of this user, so only this user's own file counts there. In the
        shared place below /run the directory's owner (whom root chose) counts as well.
    """

    directory: str
    personal: bool

    @property
    def path(self):
        return os.path.join(self.directory, FILE_NAME)


def locate(environ=None, run_dir=defaults.RUN_DIR, is_dir=os.path.isdir):
    """Return the :class:`Location` of the env file: $UA_OVERLAY_RUN_DIR if set, else /run/ua_overlay if that exists,
    else $XDG_RUNTIME_DIR/ua_overlay.

    :raises EnvironmentMissing: when there is none of them.
    """
    environ = os.environ if environ is None else environ
    if environ.get('UA_OVERLAY_RUN_DIR'):
        return Location(environ['UA_OVERLAY_RUN_DIR'], True)
    if is_dir(run_dir):
        return Location(run_dir, False)
    if environ.get('XDG_RUNTIME_DIR'):
        return Location(os.path.join(environ['XDG_RUNTIME_DIR'], 'ua_overlay'), True)
    raise EnvironmentMissing(
        'There is no place for the ROS environment: {} does not exist and XDG_RUNTIME_DIR is not set.'.format(run_dir),
        'sudo ua-overlay robot prepare --user {}'.format(environ.get('USER') or 'USER'))


def dump(variables):
    """The text of an env file.

    :raises ValueError: for an unknown variable or a value that the hook would refuse.
    """
    _check(variables)
    return HEADER + ''.join('{}={}\n'.format(key, variables[key]) for key in KEYS if key in variables)


def parse(text):
    """Read the text of an env file: {variable: value}. Comments, blank lines and unknown variables are skipped.

    :raises ValueError: when it is not one, whole; a file is taken as a whole or not at all.
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


def write(location, variables):
    """Write the env file whole (0644). Its directory is made if the place is personal.

    :raises OverlayError: when it cannot be written.
    """
    text = dump(variables)
    try:
        if location.personal:
            os.makedirs(location.directory, mode=0o755, exist_ok=True)
        write_atomic(location.path, text)
    except OSError as error:
        raise OverlayError('The ROS environment cannot be written to {}: {}.'.format(
            location.path, error.strerror or error),
            'sudo ua-overlay robot prepare --user {}'.format(os.environ.get('USER') or 'USER')) from error


def remove(location):
    """Remove the env file; fine when there is none.

    :returns: whether there was one.
    :raises OverlayError: when it is there and stays.
    """
    try:
        os.unlink(location.path)
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise OverlayError('The old ROS environment {} cannot be removed: {}.'.format(
            location.path, error.strerror or error), 'sudo rm {}'.format(location.path)) from error


def read(location, uid=None):
    """Return the variables of the env file.

    :param uid: the reader, default: this process.
    :raises EnvironmentMissing: when there is no file.
    :raises EnvironmentUnsafe: when it is another user's, can be changed by others, or holds what it should not.
    """
    uid = os.geteuid() if uid is None else uid
    try:
        # O_NONBLOCK: a FIFO put there must not hold us up; O_NOFOLLOW: the node writes a file, never a link.
        handle = os.open(location.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise EnvironmentMissing('This robot has no team environment for ROS now: {} is not there.'.format(
            location.path), 'ua-overlay status') from None
    except OSError as error:
        raise EnvironmentUnsafe('{} cannot be read: {}.'.format(location.path, error.strerror or error),
                                'ls -l {}'.format(location.path)) from error
    with os.fdopen(handle, 'rb') as stream:
        status = os.fstat(handle)
        problem = _distrust(status, os.stat(location.directory), uid, location.personal)
        if problem:
            raise EnvironmentUnsafe('{} is not taken: {}.'.format(location.path, problem), 'ls -la {}'.format(
                location.directory))
        data = stream.read(65536)
    try:
        return parse(data.decode('ascii'))
    except ValueError as error:
        detail = 'not ASCII' if isinstance(error, UnicodeDecodeError) else error
        raise EnvironmentUnsafe('{} is not taken: {}.'.format(location.path, detail),
                                'cat -v {}'.format(location.path)) from None


def _distrust(file_status, directory_status, uid, personal):
    """Why a file is not to be taken, or ''; the first two are os.stat_result, ``uid`` is the reader."""
    if not stat.S_ISREG(file_status.st_mode):
        return 'it is not a regular file'
    trusted = {uid} if personal else {0, uid, directory_status.st_uid}
    if file_status.st_uid not in trusted or (personal and directory_status.st_uid != uid):
        return 'it belongs to another user'
    if (file_status.st_mode | directory_status.st_mode) & stat.S_IWOTH:
        return 'every user can change it'
    return ''


def _check(variables):
    for key, value in variables.items():
        if key not in KEYS:
            raise ValueError('{} does not belong in it'.format(key))
        if not VALUE.match(value):
            raise ValueError('{} has a value that no robot has'.format(key))
    if not variables.get('ROS_MASTER_URI', '').startswith('http://'):
        raise ValueError('it has no ROS_MASTER_URI')
    if ('ROS_HOSTNAME' in variables) == ('ROS_IP' in variables):
        raise ValueError('it needs exactly one of ROS_HOSTNAME and ROS_IP')
