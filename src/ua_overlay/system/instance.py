"""Let one process of a kind run at a time: the first one holds a lock and says who it is, the second one reads that.

The kernel drops the lock (flock(2)) with its process, however that ends, so a lock is never left behind. The record
beside it is for people and for other programs of this machine; it counts only while its process lives.
"""
import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from typing import Callable, Optional, Tuple

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.protocols import Json
from ua_overlay.system import foreign_file, foreign_json, process, procnet
from ua_overlay.system.files import open_or_create, write_atomic
from ua_overlay.system.users import user_name

_LONGEST = 65536


class AlreadyRunning(OverlayError):
    """Another process of this kind runs on this machine."""

    code = 'ALREADY_RUNNING'


@dataclass(frozen=True)
class Holder:
    """The process that runs.

    :ivar pid, start: its process id and start time (process.Stat.start): together they are unique.
    :ivar since: Unix seconds.
    :ivar user: its user's name.
    :ivar unit: the systemd unit that it belongs to, or ''.
    :ivar launcher: command line of the program that started it, or ''.
    :ivar graph: ROS_MASTER_URI of its graph, or ''.
    """

    pid: int
    start: int
    since: float = 0.0
    user: str = ''
    unit: str = ''
    launcher: str = ''
    graph: str = ''

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        try:
            stat = process.read_stat(self.pid)
        except OSError:
            return False
        return stat.start == self.start and stat.state not in 'ZX'

    def describe(self) -> str:
        """Return who it is, as the end of a sentence without the full stop."""
        since = time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(self.since))
        origin = self.unit or (self.launcher and '`{}`'.format(self.launcher))
        return 'process {} of {} since {}{}'.format(self.pid, self.user or 'another user', since,
                                                    ', started by ' + origin if origin else '')


def myself(graph: str = '', now: Callable[[], float] = time.time) -> Holder:
    """Return this process as a :class:`Holder`."""
    return Holder(os.getpid(), process.read_stat(os.getpid()).start, now(), user_name(os.geteuid()), _unit(),
                  ' '.join(launcher()), graph)


def launcher() -> Tuple[str, ...]:
    """Return the command line of the program that started this one, without its directory; () when it is gone."""
    try:
        words = procnet.command_of(os.getppid())
    except OSError:
        return ()
    if words and os.path.basename(words[0]).startswith('python') and len(words) > 1:
        words = words[1:]
    return tuple(printable(word) for word in (os.path.basename(words[0]),) + words[1:]) if words and words[0] else ()


def already_running(what: str, holder: Optional[Holder]) -> AlreadyRunning:
    """Return the error that says who runs.

    :param what: subject of the sentence.
    :param holder: None where that is not known.
    """
    who = 'another process' if holder is None else holder.describe()
    next_command = 'ua-overlay status'
    if holder is not None:
        next_command = command('systemctl status {}', holder.unit) if holder.unit else command('ps -fp {}', holder.pid)
    return AlreadyRunning('{} runs already: {}.'.format(what, who), next_command)


def holder_of(pid: int) -> Holder:
    """Return another process as a :class:`Holder`.

    :raises OSError: it has ended.
    """
    start = process.read_stat(pid).start
    # Both count from the boot (proc(5), clock_gettime(2)).
    since = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + start / os.sysconf('SC_CLK_TCK')
    return Holder(pid, start, since, user_name(os.stat('/proc/{}'.format(pid)).st_uid), _unit(str(pid)))


def address_of(name: str) -> str:
    """Return the address of the abstract socket of :func:`claim_name`."""
    return '\0ua_overlay/' + name


def claim_name(name: str, what: str) -> Optional[socket.socket]:
    """Become the only process of this user with ``name`` in this network namespace, without any file.

    For a process whose sandbox has no directory to write to. The name is that of an abstract socket (unix(7)), which
    any user may take: one that another user has taken stops nobody.

    :param what: subject of the sentence: 'The agent'.
    :returns: what to keep for as long as the process lives, None where another user has the name.
    :raises AlreadyRunning: another process of this user has it.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(address_of(name))
        server.listen(8)
        return server
    except OSError as error:
        server.close()
        if error.errno != errno.EADDRINUSE:
            raise
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            client.connect(address_of(name))
            pid, uid = process.peer_of(client)
        holder = holder_of(pid)
    except OSError:
        return None  # it has just ended, or never answers, as no process of ours does
    if uid != os.geteuid():
        return None
    raise already_running(what, holder)


def _unit(pid: str = 'self') -> str:
    """Return the systemd service of a process (cgroups(7)), or ''."""
    try:
        with open('/proc/{}/cgroup'.format(pid), encoding='utf-8', errors='replace') as stream:
            lines = stream.read().split('\n')
    except OSError:
        return ''
    names = [os.path.basename(line.rpartition(':')[2]) for line in lines]
    return next((printable(name) for name in names if name.endswith('.service')), '')


def parse_holder(text: str) -> Holder:
    """Read the text of a record.

    :raises ValueError: it is invalid.
    """
    data = foreign_json.parse_object(text)
    if set(data) != set(asdict(Holder(0, 0))):
        raise ValueError('not the record of a process')
    pid, start, since = data['pid'], data['start'], data['since']
    if type(pid) is not int or type(start) is not int or not isinstance(since, (int, float)):
        raise ValueError('not the record of a process')
    if pid < 1 or not 0 <= since < 1e11:
        raise ValueError('a number in it is out of range')
    return Holder(pid, start, float(since), *(_word(data[key]) for key in ('user', 'unit', 'launcher', 'graph')))


def _word(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError('not the record of a process')
    return printable(value)


def read_holder(directory: str, name: str) -> Optional[Holder]:
    """Return the process that runs, None when there is none."""
    try:
        holder = parse_holder(foreign_file.read_text(os.path.join(directory, name + '.json'), _LONGEST, follow=False))
    except (OSError, ValueError):
        return None
    return holder if holder.alive else None


class Instance:
    """The right to be the only process of a kind.

    :param directory: an existing directory of this user.
    :param name: of the two files in it: NAME.lock, NAME.json.
    :param what: subject of the sentence: 'The overlay node'.
    """

    def __init__(self, directory: str, name: str, what: str) -> None:
        self._directory = directory
        self._name = name
        self._what = what
        #: Closed by the kernel with this process, and not inherited (PEP 446).
        self._lock: Optional[int] = None

    def claim(self, holder: Holder) -> None:
        """Become the only one.

        :param holder: of :func:`myself`.
        :raises AlreadyRunning: another process is.
        :raises OSError: the files cannot be written.
        """
        path = os.path.join(self._directory, self._name + '.lock')
        handle = open_or_create(path, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise self.already(read_holder(self._directory, self._name)) from None
        self._lock = handle
        write_atomic(os.path.join(self._directory, self._name + '.json'), json.dumps(asdict(holder)) + '\n')

    def release(self) -> None:
        """Give the right back, at the orderly end of a process."""
        if self._lock is not None:
            # The record counts only while this process lives: where it cannot be removed, it says nothing.
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._directory, self._name + '.json'))
            os.close(self._lock)
            self._lock = None

    def already(self, holder: Optional[Holder]) -> AlreadyRunning:
        """Return the error that says who runs."""
        return already_running(self._what, holder)
