"""Read how the service manager starts the tailscaled of this machine: its arguments and its environment.

A robot's owner may have moved its state (a read-only root file system), its socket, its interface or its port, and may
have told it to use a proxy: in /etc/default/tailscaled, in a drop-in, or in a unit of their own.
"""
import re
import shlex
import subprocess
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.digits import is_number
from ua_overlay.errors import OverlayError
from ua_overlay.system import foreign_file

UNIT = 'tailscaled.service'
#: The value of --tun with which tailscaled has no network interface (tailscale: cmd/tailscaled, isNetstack).
NO_INTERFACE = 'userspace-networking'
#: Prefixes of --state that name no file (tailscale: ipn/store, knownStores).
_ELSEWHERE = ('mem:', 'kube:', 'arn:')
_TPM = 'tpmseal:'
_NAMES = ('state', 'statedir', 'socket', 'tun', 'port')
#: systemd.exec(5), "Environment variables in spawned processes": $NAME as a word of its own splits, ${NAME} does not.
_WORD, _INSIDE = re.compile(r'\$([A-Za-z_][A-Za-z0-9_]*)'), re.compile(r'\$\{([A-Za-z_][A-Za-z0-9_]*)\}')
_PROPERTIES = ('LoadState', 'ExecStart', 'Environment', 'EnvironmentFiles')

#: Runs an argv; returns its output, '' when it failed.
Output = Callable[[List[str]], str]


class DaemonArguments(NamedTuple):
    """The arguments of tailscaled that matter to others on this machine."""

    #: File of its state, '' if it keeps none in a file.
    state: str = defaults.DAEMON_STATE_DIR + '/tailscaled.state'
    #: Directories in which it writes, without those below /run.
    directories: Tuple[str, ...] = (defaults.DAEMON_STATE_DIR,)
    #: Its LocalAPI socket.
    socket: str = defaults.DAEMON_SOCKET
    #: Its network interface, '' for none.
    interface: str = defaults.INTERFACE
    #: Its UDP port, 0 for any.
    port: int = 0


class DaemonUnit(NamedTuple):
    """tailscaled.service as it would start now."""

    #: Words of its command line, with its variables expanded.
    argv: Tuple[str, ...]
    #: Its environment, as far as this user may read it. A proxy's URL in it may hold a password.
    environ: Dict[str, str]

    @property
    def arguments(self) -> DaemonArguments:
        return parse_arguments(self.argv[1:])


def read_unit(output: Optional[Output] = None,
              read_file: Callable[[str], str] = foreign_file.read_text) -> Optional[DaemonUnit]:
    """Return tailscaled.service, None if this machine has none (or no systemd).

    :param output: runs systemctl.
    :param read_file: reads an EnvironmentFile; raises OSError.
    """
    ask = output or _output
    shown = parse_properties(ask(['systemctl', 'show', UNIT] + ['--property=' + name for name in _PROPERTIES]))
    if shown.get('LoadState') != 'loaded' or not shown.get('ExecStart'):
        return None
    # Each of them overrides the ones before (systemd.exec(5), "EnvironmentFile=").
    environ = parse_environment_file(ask(['systemctl', 'show-environment']))
    environ.update(_pairs(_split(shown.get('Environment', ''))))
    for path in environment_files(shown.get('EnvironmentFiles', '')):
        try:
            environ.update(parse_environment_file(read_file(path)))
        except OSError:
            continue  # missing, or not for this user
    return DaemonUnit(tuple(expand(parse_exec_start(shown['ExecStart']), environ)), environ)


def parse_properties(text: str) -> Dict[str, str]:
    """Return the properties in an output of `systemctl show`; those that occur several times, one a line."""
    found: Dict[str, str] = {}
    for name, separator, value in (line.partition('=') for line in text.split('\n')):
        if separator:
            found[name] = found[name] + '\n' + value if name in found else value
    return found


def parse_exec_start(shown: str) -> List[str]:
    """Return the words of the last command in an ExecStart of `systemctl show`, before variables are expanded."""
    match = re.search(r'argv\[\]=(.*?) ; ignore_errors=', shown.split('\n')[-1])
    return _split(match.group(1)) if match else []


def environment_files(shown: str) -> List[str]:
    """Return the paths in an EnvironmentFiles of `systemctl show`: '/etc/default/x (ignore_errors=yes)'."""
    return [line.rsplit(' (', 1)[0] for line in shown.split('\n') if line.strip()]


def parse_environment_file(text: str) -> Dict[str, str]:
    """Return the variables of an EnvironmentFile (systemd.exec(5)): NAME=value, quoted or not, # and ; for comments."""
    found: Dict[str, str] = {}
    for line in text.replace('\\\n', '').split('\n'):
        name, separator, value = line.strip().partition('=')
        if separator and name.isidentifier():
            found[name] = ' '.join(_split(value))
    return found


def expand(words: Iterable[str], environ: Dict[str, str]) -> List[str]:
    """Return the words of a command line with the variables that systemd expands (systemd.service(5))."""
    expanded: List[str] = []
    for word in words:
        whole = _WORD.fullmatch(word)
        if whole:
            expanded += _split(environ.get(whole.group(1), ''))
        else:
            expanded.append(_INSIDE.sub(lambda match: environ.get(match.group(1), ''), word).replace('$$', '$'))
    return expanded


def parse_arguments(words: Iterable[str]) -> DaemonArguments:
    """Return the arguments of a tailscaled (cmd/tailscaled, 1.98: statePathOrDefault and getVarRoot).

    :param words: without the program; Go's flags take one or two hyphens, and a value after `=` or as the next word.
    """
    values: Dict[str, str] = {}
    name = ''
    for word in words:
        if name:
            values[name], name = word, ''
            continue
        flag, separator, value = word.lstrip('-').partition('=')
        if not word.startswith('-') or flag not in _NAMES:
            continue
        if separator:
            values[flag] = value
        else:
            name = flag
    state, directory = values.get('state', ''), values.get('statedir', '')
    if state.startswith(_TPM):
        state = state[len(_TPM):]
    if state.startswith(_ELSEWHERE):
        path = ''
    else:
        path = state or (directory + '/tailscaled.state' if directory else DaemonArguments().state)
    directories = {directory} if directory else set()
    if path:
        directories.add(path.rpartition('/')[0] or '/')
    tun = values.get('tun', '') or defaults.INTERFACE
    port = values.get('port', '')
    return DaemonArguments(
        path, tuple(sorted(each for each in directories if each.startswith('/') and each != '/')),
        values.get('socket', '') or defaults.DAEMON_SOCKET, '' if tun == NO_INTERFACE else tun,
        int(port) if is_number(port, 5) else 0)


def check_arguments(arguments: DaemonArguments) -> None:
    """Check that ROS can use a tailscaled with these arguments.

    :raises OverlayError: it has no network interface, or forgets the robot at each restart.
    """
    if not arguments.interface:
        raise OverlayError('tailscaled runs without a network interface (--tun={}), so no program on this robot can '
                           'use the overlay.'.format(NO_INTERFACE),
                           'remove --tun from {} or: sudo systemctl edit {}'.format('/etc/default/tailscaled', UNIT))
    if not arguments.state:
        raise OverlayError('tailscaled keeps its state in no file (--state), so this robot would leave its team at '
                           'each restart.',
                           'remove --state from {} or: sudo systemctl edit {}'.format('/etc/default/tailscaled', UNIT))


def _split(text: str) -> List[str]:
    """Split a line into words as a shell does; a line with an open quote at its blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _pairs(words: Iterable[str]) -> Dict[str, str]:
    return dict(word.split('=', 1) for word in words if '=' in word)


def _output(argv: List[str]) -> str:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=30).stdout.decode('utf-8', 'replace')
    except (OSError, subprocess.TimeoutExpired):
        return ''
