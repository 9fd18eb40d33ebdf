"""Inspect Linux processes in /proc (proc(5)), end them, and call prctl(2), which Python lacks.

Each command in a host of a lab starts a program that imports this (lab/enter.py): it imports nothing heavy.
"""
from __future__ import annotations

import ctypes
import os
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import subprocess
    from typing import List, Tuple

# Loaded before any fork, because the loader's lock must not be taken between fork and exec.
_LIBC = ctypes.CDLL(None, use_errno=True)
# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


class Stat:
    """The fields of /proc/PID/stat that this package uses.

    :ivar name: as in `ps -o comm`.
    :ivar state: 'Z' and 'X' mean dead.
    :ivar start: clock ticks since boot: together with it, a process id is unique.
    """

    __slots__ = ('name', 'state', 'parent', 'start')

    def __init__(self, name: str, state: str, parent: int, start: int) -> None:
        self.name, self.state, self.parent, self.start = name, state, parent, start


def parse_stat(text: str) -> Stat:
    """Parse the text of /proc/PID/stat."""
    # The name is in parentheses and may contain any character, even ')'; the other fields follow the last one.
    head, _, tail = text.rpartition(')')
    fields = tail.split()
    return Stat(head.partition('(')[2], fields[0], int(fields[1]), int(fields[19]))


def read_stat(pid: int) -> Stat:
    """Return the state of a process.

    :raises FileNotFoundError: it does not exist.
    :raises ProcessLookupError: it ended during the read.
    """
    with open('/proc/{}/stat'.format(pid), encoding='utf-8', errors='replace') as stream:
        return parse_stat(stream.read())


def started_at(pid: int) -> float:
    """Return the unix time at which a process started, by the present clock.

    :raises OSError: it does not exist, or ended during the read.
    """
    ticks = read_stat(pid).start / os.sysconf('SC_CLK_TCK')
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks)


def list_pids(proc: str = '/proc') -> List[int]:
    """Return the ids of all processes."""
    return [int(name) for name in os.listdir(proc) if name.isdigit()]


def peer_of(connection: socket.socket) -> Tuple[int, int]:
    """Return the process id and the user at the other end of a connected Unix socket (unix(7), SO_PEERCRED)."""
    import socket  # here, because it imports selectors, enum and more
    size = struct.calcsize('3i')
    pid, uid, _ = struct.unpack('3i', connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid), int(uid)


def set_death_signal(number: int) -> None:
    """Have the kernel send ``number`` to this process when the thread that started it ends.

    A change of the user id undoes this. Safe between fork and exec.
    """
    _prctl(_PR_SET_PDEATHSIG, number)


def become_subreaper() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """Set the name that `ps -o comm` shows; the kernel cuts it to 15 bytes."""
    if _LIBC.prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl')


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl')


def end(process: subprocess.Popen[bytes], timeout: float) -> None:
    """End one of our child processes: SIGTERM, and SIGKILL after ``timeout`` seconds. Return when it has exited."""
    import subprocess  # here, because it imports selectors, threading and more; who has a Popen has it already
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
