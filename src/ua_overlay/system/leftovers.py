"""End the processes that a predecessor left: programs of the team graph whose overlay node was killed, or whose minder
was.

Each program that the overlay node starts has the node's id (:data:`OWNER`) and an id of its own (:data:`RUN`) in its
environment, and all its descendants inherit them. The subreaper ends them when the node dies. This module covers the
time until then, and the case in which the subreaper was killed too. Linux only (proc(5)).
"""
import os
import signal
import time
from dataclasses import dataclass
from typing import Callable, Iterable, List, Optional, Set, Tuple

from ua_overlay.protocols import Clock
from ua_overlay.system import process, subreaper

#: Environment variable of a child: `<pid>:<start time>` of the overlay node that started it.
OWNER = 'UA_OVERLAY_OWNER'
#: Environment variable of a child: the id of this start of a program (:func:`new_run`).
RUN = 'UA_OVERLAY_RUN'
#: Seconds for an orderly end by the subreaper, before the remaining processes are ended directly.
PATIENCE = subreaper.GRACE + 2.0
#: Seconds between SIGTERM and SIGKILL.
TERM_GRACE = 1.0


@dataclass(frozen=True)
class Process:
    """A process of this user: its id, its owner (the value of :data:`OWNER` or :data:`RUN`), and whether it is a
    subreaper."""

    pid: int
    owner: str
    subreaper: bool


def plan(processes: Iterable[Process], alive_owners: Set[str], waited: float) -> Tuple[List[int], Optional[int]]:
    """Decide what to do with leftovers.

    :param processes: those of this user that have an owner.
    :param alive_owners: owners that still run.
    :param waited: seconds since leftovers were first found.
    :returns: (pids of leftovers, signal to send to them, or None to keep waiting).
    """
    left = [item for item in processes if item.owner not in alive_owners]
    pids = sorted(item.pid for item in left)
    if any(item.subreaper for item in left) and waited < PATIENCE:
        return pids, None
    late = waited - (PATIENCE if waited >= PATIENCE else 0.0)
    return pids, signal.SIGTERM if late < TERM_GRACE else signal.SIGKILL


def owner_of(pid: Optional[int] = None) -> str:
    """Return the value of :data:`OWNER` for children of process ``pid`` (default: this one).

    :raises OSError: there is no such process.
    """
    pid = os.getpid() if pid is None else pid
    return '{}:{}'.format(pid, process.read_stat(pid).start)


def new_run() -> str:
    """Return an id for a start of a program."""
    return os.urandom(8).hex()


def marked_processes(proc: str = '/proc', variable: str = OWNER) -> List[Process]:
    """Return the processes of this user that have an owner, in this pid namespace, to which the owners' ids belong.

    :param variable: OWNER or RUN.
    """
    found = []
    here = os.stat(os.path.join(proc, 'self/ns/pid'))
    for pid in process.list_pids(proc):
        if pid == os.getpid():
            continue
        directory = os.path.join(proc, str(pid))
        try:
            if os.stat(directory).st_uid != os.geteuid():
                continue
            there = os.stat(os.path.join(directory, 'ns/pid'))
            if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
                continue
            with open(os.path.join(directory, 'environ'), 'rb') as stream:
                environ = stream.read().split(b'\0')
            with open(os.path.join(directory, 'cmdline'), 'rb') as stream:
                command = stream.read().split(b'\0')
        except OSError:
            continue  # it ended meanwhile, or this user may not read it
        prefix = variable.encode() + b'='
        owner = next((entry[len(prefix):].decode('ascii', 'replace') for entry in environ
                      if entry.startswith(prefix)), '')
        if owner:
            found.append(Process(pid, owner, os.fsencode(subreaper.__file__) in command))
    return found


def is_alive(owner: str) -> bool:
    """Return whether the overlay node of this value of :data:`OWNER` still runs."""
    try:
        return owner_of(int(owner.partition(':')[0])) == owner
    except (OSError, ValueError, IndexError):
        return False


def remains_of(run: str) -> 'Leftovers':
    """Return the Leftovers of one start of a program, for the time when its subreaper has ended, however that was.

    :param run: the value of :data:`RUN`.
    """
    return Leftovers(lambda: [process for process in marked_processes(variable=RUN) if process.owner == run],
                     lambda _: False)


class Leftovers:
    """Ends the processes that predecessors left: call :meth:`step` until :attr:`clear`.

    :param list_processes: as :func:`marked_processes`.
    :param alive: as :func:`is_alive`.
    :param kill: as os.kill.
    """

    def __init__(self, list_processes: Callable[[], List[Process]] = marked_processes,
                 alive: Callable[[str], bool] = is_alive, kill: Callable[[int, int], None] = os.kill,
                 clock: Clock = time.monotonic) -> None:
        self._list = list_processes
        self._alive = alive
        self._kill = kill
        self._clock = clock
        self._since: Optional[float] = None
        #: No process is left. Once True it stays True: predecessors exist only before a node's start.
        self.clear = False

    def step(self) -> bool:
        """Find leftovers and act once, without blocking; return :attr:`clear`."""
        if self.clear:
            return True
        now = self._clock()
        self._since = now if self._since is None else self._since
        processes = self._list()
        owners = {item.owner for item in processes}
        pids, number = plan(processes, {owner for owner in owners if self._alive(owner)}, now - self._since)
        for pid in pids:
            if number is not None:
                try:
                    self._kill(pid, number)
                except (ProcessLookupError, PermissionError):
                    continue  # it ended meanwhile, or changed its user
        self.clear = not pids
        return self.clear
