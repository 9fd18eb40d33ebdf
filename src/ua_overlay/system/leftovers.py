"""What a predecessor left: programs of the team graph whose overlay node was killed.

Each program that the overlay node starts carries the node in its environment (:data:`OWNER`), and so does everything
that comes from it. The subreaper ends them when the node dies; this is for the time until then and for a subreaper that
was killed too. Linux only (proc(5)).
"""
import os
import signal
import time
from dataclasses import dataclass

from ua_overlay.system import subreaper
from ua_overlay.system.supervised import GRACE

#: Environment variable of a child: `<pid>:<start time>` of the overlay node that started it.
OWNER = 'UA_OVERLAY_OWNER'
#: Seconds that a subreaper has for an orderly end, before what is left is ended without it.
PATIENCE = GRACE + 2.0
#: Seconds between SIGTERM and SIGKILL.
TERM_GRACE = 1.0


@dataclass(frozen=True)
class Process:
    """A process of this user: its id, its owner as :data:`OWNER` says, and whether it is a subreaper."""

    pid: int
    owner: str
    subreaper: bool


def plan(processes, alive_owners, waited):
    """What to do with leftovers.

    :param processes: the :class:`Process` of this user that have an owner.
    :param alive_owners: owners that still run.
    :param waited: seconds since leftovers were first seen.
    :returns: (pids of leftovers, signal to send to them or None for more patience).
    """
    left = [process for process in processes if process.owner not in alive_owners]
    pids = sorted(process.pid for process in left)
    if any(process.subreaper for process in left) and waited < PATIENCE:
        return pids, None
    late = waited - (PATIENCE if waited >= PATIENCE else 0.0)
    return pids, signal.SIGTERM if late < TERM_GRACE else signal.SIGKILL


def owner_of(pid=None):
    """The value of :data:`OWNER` for children of process ``pid`` (default: this one)."""
    pid = os.getpid() if pid is None else pid
    return '{}:{}'.format(pid, start_time(subreaper._read_stat(pid)))


def start_time(stat):
    """When a process started, in clock ticks since boot, from the text of /proc/<pid>/stat: with it a pid is unique."""
    return int(stat.rpartition(')')[2].split()[19])


def marked_processes(proc='/proc'):
    """The :class:`Process` of this user, in this pid namespace (owners are numbers of it), that have an owner."""
    found = []
    here = os.stat(os.path.join(proc, 'self/ns/pid'))
    for name in os.listdir(proc):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            if os.stat(os.path.join(proc, name)).st_uid != os.geteuid():
                continue
            there = os.stat(os.path.join(proc, name, 'ns/pid'))
            if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
                continue
            with open(os.path.join(proc, name, 'environ'), 'rb') as stream:
                environ = stream.read().split(b'\0')
            with open(os.path.join(proc, name, 'cmdline'), 'rb') as stream:
                command = stream.read().split(b'\0')
        except OSError:
            continue  # it ended meanwhile, or does not let itself be looked at
        prefix = OWNER.encode() + b'='
        owner = next((entry[len(prefix):].decode('ascii', 'replace') for entry in environ
                      if entry.startswith(prefix)), '')
        if owner:
            found.append(Process(int(name), owner, os.fsencode(subreaper.__file__) in command))
    return found


def is_alive(owner):
    """Whether the overlay node of this OWNER value still runs."""
    try:
        return owner_of(int(owner.partition(':')[0])) == owner
    except (OSError, ValueError, IndexError):
        return False


class Leftovers:
    """Ends what predecessors left; :meth:`step` it until :attr:`clear`.

    :param list_processes: () -> list of Process.
    """

    def __init__(self, list_processes=marked_processes, alive=is_alive, kill=os.kill, clock=time.monotonic):
        self._list = list_processes
        self._alive = alive
        self._kill = kill
        self._clock = clock
        self._since = None
        #: There is nothing left; once it is True it stays so: a node has its predecessors before its start only.
        self.clear = False

    def step(self):
        """Look and act once; never blocks. Returns :attr:`clear`."""
        if self.clear:
            return True
        now = self._clock()
        self._since = now if self._since is None else self._since
        processes = self._list()
        owners = {process.owner for process in processes}
        pids, number = plan(processes, {owner for owner in owners if self._alive(owner)}, now - self._since)
        for pid in pids if number is not None else ():
            try:
                self._kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue  # it ended meanwhile, or changed its user
        self.clear = not pids
        return self.clear
