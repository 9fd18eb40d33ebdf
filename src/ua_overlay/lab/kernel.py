"""System calls that Python 3.8 has no function for, and handles of processes that never mean another process.

The small programs that become a host (`init`) or enter one (`enter`, `pipe`) import this at each start: it imports
nothing heavy.
"""
from __future__ import annotations

import _signal
import ctypes
import errno
import os
import select
import struct

from ua_overlay.system import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
# linux/mount.h
MNT_DETACH = 0x2
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
# asm-generic/unistd.h: the same number on every architecture since 5.1.
SYS_PIDFD_SEND_SIGNAL = 424
SYS_PIDFD_OPEN = 434

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, '{}: {}'.format(what, os.strerror(number)))
    return result


def unshare(flags: int) -> None:
    """Give the calling process namespaces of its own (unshare(2)). :raises OSError: EPERM, EINVAL, ENOSPC."""
    _checked(_libc.unshare(ctypes.c_int(flags)), 'unshare')


def setns(handle: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace of an open /proc/PID/ns file (setns(2))."""
    _checked(_libc.setns(ctypes.c_int(handle), ctypes.c_int(kind)), 'setns')


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = '') -> None:
    """Mount ``source`` on ``target`` (mount(2)). :raises OSError: naming the target."""
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()),
             'mount {} on {}'.format(kind or source, target))


def unmount_detached(target: str) -> None:
    """Detach a mount now; it ends when its last user does (umount2(2), MNT_DETACH)."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), 'umount ' + target)


def start_ticks(pid: int) -> Optional[int]:
    """Return the start time of a process in clock ticks since boot, None when it is gone or a zombie."""
    try:
        stat = process.read_stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat.state in 'ZX' else stat.start


class ProcessHandle:
    """A process named by its id and start time: a later process with the same id is never touched.

    :param pid: process id in the caller's pid namespace.
    :param start: clock ticks since boot as :func:`start_ticks` gave them; None reads them now.
    :raises ProcessLookupError: when ``start`` is None and the process is gone.
    """

    def __init__(self, pid: int, start: Optional[int] = None) -> None:
        begun = start_ticks(pid) if start is None else start
        if begun is None:
            raise ProcessLookupError(errno.ESRCH, 'process {} is gone'.format(pid))
        self.pid = pid
        self.start = begun

    def alive(self) -> bool:
        """Return whether it runs; a zombie does not."""
        return start_ticks(self.pid) == self.start

    def _open(self) -> Optional[int]:
        """Return a pidfd of exactly this process, None when it is gone."""
        try:
            handle = _checked(_libc.syscall(SYS_PIDFD_OPEN, self.pid, 0), 'pidfd_open')
        except ProcessLookupError:
            return None
        if not self.alive():
            os.close(handle)
            return None
        return handle

    def send_signal(self, number: int) -> bool:
        """Signal this process. :return: False when it was gone already."""
        handle = self._open()
        if handle is None:
            return False
        try:
            _checked(_libc.syscall(SYS_PIDFD_SEND_SIGNAL, handle, int(number), None, 0), 'pidfd_send_signal')
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def signal_group(self, number: int) -> bool:
        """Signal the process group that this process leads. :return: False when the process was gone already."""
        if not self.alive():
            return False
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait(self, timeout: float) -> bool:
        """Wait until it has ended. :return: False when it still runs after ``timeout`` seconds."""
        handle = self._open()
        if handle is None:
            return True
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            return bool(poll.poll(timeout * 1000))
        finally:
            os.close(handle)

    def kill(self, timeout: float = 10.0) -> bool:
        """Send SIGKILL and wait. :return: False when it survived ``timeout`` seconds (uninterruptible sleep)."""
        self.send_signal(_signal.SIGKILL)
        return self.wait(timeout)


def boot_id() -> str:
    """Return the random name of this boot: process ids from another boot mean nothing."""
    with open('/proc/sys/kernel/random/boot_id') as stream:
        return stream.read().strip()


#: struct ucred of unix(7): pid, uid, gid.
CREDENTIALS = struct.Struct('3i')
