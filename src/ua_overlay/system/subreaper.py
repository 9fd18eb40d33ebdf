"""Runs one command and ends everything that came from it: when asked, when the command ends, when the parent is gone.

``python3 -I subreaper.py [--grace SECONDS] [--alone SECONDS] COMMAND…`` with a pipe as standard input that the parent
keeps open. The end of file there means that the parent is gone, however it died (SIGKILL included); then, and on
SIGTERM, SIGINT or SIGHUP, the command gets SIGINT and, after the grace time, SIGTERM and SIGKILL. The exit status is
the command's (128 + signal).

--alone cuts the grace time short when all children of the command have gone and it stays: roslaunch heeds the first
SIGINT only, and one that comes while it starts ends its children but leaves roslaunch itself waiting for them.

Why a process of its own: roslaunch and roscore put each child into a session of its own, so neither a process group
nor PR_SET_PDEATHSIG on them alone reaches rosmaster and rosout when roscore itself dies hard. As a subreaper (prctl(2))
this process inherits them and ends them. If it is killed itself, PR_SET_PDEATHSIG makes the command shut down in order.

It is run as a file, under any Python from 3.8 on, and imports nothing of the package.
"""
import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
#: Seconds between SIGTERM and SIGKILL for what is left over.
TERM_GRACE = 1.0


def parents(read_stat, pids):
    """Map pid -> parent pid for those ``pids`` that still exist.

    :param read_stat: pid -> text of /proc/<pid>/stat (proc(5)); raises OSError when the process is gone.
    """
    found = {}
    for pid in pids:
        try:
            text = read_stat(pid)
        except OSError:
            continue
        # The command name in parentheses may hold anything, also ')': the fields start after the last one.
        state, parent = text.rpartition(')')[2].split()[:2]
        if state not in 'ZX':
            found[pid] = int(parent)
    return found


def descendants(root, parent_of):
    """All live descendants of ``root`` in a {pid: parent pid} mapping, as a sorted list."""
    found, front = set(), {root}
    while front:
        front = {pid for pid, parent in parent_of.items() if parent in front} - found
        found |= front
    return sorted(found)


def _read_stat(pid):
    with open('/proc/{}/stat'.format(pid), encoding='utf-8', errors='replace') as stream:
        return stream.read()


def _alive():
    return descendants(os.getpid(), parents(_read_stat, [int(name) for name in os.listdir('/proc') if name.isdigit()]))


def _prctl(option, value):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl')


class Subreaper:
    """One command and its descendants."""

    def __init__(self, grace, alone=None):
        self.grace = grace
        self.alone = grace if alone is None else alone
        self.status = None
        self._wake, wake_write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def start(self, command):
        """Start ``command`` in a session of its own, so that a Ctrl-C meant for the parent does not reach it."""
        subreaper = os.getpid()

        def in_child():
            _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != subreaper:
                os._exit(1)  # the subreaper died before the line above

        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.pid = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=in_child).pid

    def run(self, stdin=0):
        """Wait until the command has ended or an end is asked for; then end what is left. Returns the exit status."""
        asked = False
        while self.status is None and not asked:
            asked = self._wait([stdin], None)
        if self.status is None:
            os.kill(self.pid, signal.SIGINT)
            self._until(self._ended_or_alone(), self.grace)
        self._sweep()
        return 1 if self.status is None else self.status

    def _ended_or_alone(self):
        """A condition: the command has ended, or has had no children for the time that it may be alone."""
        since = time.monotonic()

        def condition():
            nonlocal since
            if _alive() != [self.pid]:
                since = time.monotonic()
            return self.status is not None or time.monotonic() - since >= self.alone

        return condition

    def _sweep(self):
        for number, seconds in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, 5.0)):
            for pid in _alive():
                self._signal(pid, number)
            if self._until(lambda: not _alive(), seconds):
                return

    def _signal(self, pid, number):
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            return  # gone meanwhile, or set-uid: not ours to end

    def _until(self, condition, seconds):
        """Wait for ``condition``; it is looked at when a child dies and ten times a second."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            # A grandchild's death gives no SIGCHLD before it is ours.
            self._wait([], min(left, 0.1))
        return True

    def _wait(self, inputs, seconds):
        """Sleep until something happens; reap. Returns True when the end was asked for."""
        ready = select.select(inputs + [self._wake], [], [], seconds)[0]
        asked = False
        if self._wake in ready:
            asked = any(number != signal.SIGCHLD for number in os.read(self._wake, 512))
        if inputs and inputs[0] in ready and not os.read(inputs[0], 512):
            asked = True
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return asked
            if pid == 0:
                return asked
            if pid == self.pid:
                self.status = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--grace', type=float, default=6.0)
    parser.add_argument('--alone', type=float)
    parser.add_argument('command', nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    subreaper = Subreaper(args.grace, args.alone)
    try:
        subreaper.start(args.command)
    except (OSError, subprocess.SubprocessError) as error:
        print('{}: {}'.format(args.command[0], error), file=sys.stderr)
        return 127
    return subreaper.run()


if __name__ == '__main__':
    sys.exit(main())
