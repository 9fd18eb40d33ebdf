"""Run one command and end all its descendants: on request, when the command exits, or when the parent dies.

``python3 -I subreaper.py [--grace SECONDS] [--alone SECONDS] [--last-lines FD] COMMAND…`` with a pipe as standard input
that the parent keeps open. End of file on that pipe means that the parent died, for whatever reason (SIGKILL included).
Then, and on SIGTERM, SIGINT or SIGHUP, the command gets SIGINT and, after the grace time, SIGTERM and SIGKILL. The exit
status is the command's (128 + signal).

--alone shortens the grace time when all children of the command have exited but the command itself has not: roslaunch
handles only the first SIGINT, and a SIGINT during its start ends its children but leaves roslaunch waiting for them.

--last-lines copies the command's output to ours, and in the end writes its last lines to the descriptor FD, for the
parent's report. Here and not in the parent, whose death must not take away the output of nodes that are shutting down.

Why a separate process: roslaunch and roscore put each child into its own session, so neither a process group nor
PR_SET_PDEATHSIG on them alone reaches rosmaster and rosout when roscore itself is killed. As a subreaper (prctl(2))
this process inherits them and ends them. If the subreaper is killed, PR_SET_PDEATHSIG makes the command shut down in
order.
"""
import argparse
import os
import select
import signal
import subprocess
import sys
import time
from typing import Callable, Iterable, List, Mapping, Optional, Sequence, Set

if __name__ == '__main__':
    # Run as a file, under -I, so the package is not on the import path.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from ua_overlay.system import process  # noqa: E402

#: Seconds that a subreaper gives a roslaunch before it ends all remaining processes: supervised.SIGINT_TIMEOUT and
#: supervised.SIGTERM_TIMEOUT, and a margin.
GRACE = 6.0
#: Seconds between SIGTERM and SIGKILL for the remaining processes.
TERM_GRACE = 1.0
#: Bytes of the last lines: less than a pipe holds (pipe(7)), so that writing them never blocks.
LAST_BYTES = 4000


def parents(pids: Iterable[int], read_stat: Callable[[int], process.Stat] = process.read_stat) -> Mapping[int, int]:
    """Return process id -> parent's id for those ``pids`` that still run.

    :param read_stat: raises OSError if the process has ended.
    """
    found = {}
    for pid in pids:
        try:
            stat = read_stat(pid)
        except OSError:
            continue
        if stat.state not in 'ZX':
            found[pid] = stat.parent
    return found


def descendants(root: int, parent_of: Mapping[int, int]) -> List[int]:
    """Return all descendants of ``root``, sorted.

    :param parent_of: of :func:`parents`.
    """
    found: Set[int] = set()
    front = {root}
    while front:
        front = {pid for pid, parent in parent_of.items() if parent in front} - found
        found |= front
    return sorted(found)


def _alive() -> List[int]:
    return descendants(os.getpid(), parents(process.list_pids()))


class Subreaper:
    """One command and its descendants.

    :param grace: seconds between SIGINT and SIGTERM.
    :param alone: seconds that the command may run without children after SIGINT.
    :param last_lines: descriptor for its last lines, or None.
    """

    def __init__(self, grace: float, alone: Optional[float] = None, last_lines: Optional[int] = None) -> None:
        self.grace = grace
        self.alone = grace if alone is None else alone
        self.status: Optional[int] = None
        self._last_lines = last_lines
        #: Our end of the command's output, or None.
        self._output: Optional[int] = None
        self._last = b''
        self._wake, wake_write = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def start(self, command: Sequence[str]) -> None:
        """Start ``command`` in its own session, so that a Ctrl-C meant for the parent does not reach it.

        :raises OSError: it cannot be started.
        """
        subreaper = os.getpid()

        def in_child() -> None:
            process.set_death_signal(signal.SIGTERM)
            if os.getppid() != subreaper:
                os._exit(1)  # the subreaper died before the line above

        process.become_subreaper()
        output = None
        if self._last_lines is not None:
            self._output, output = os.pipe()
            os.set_blocking(self._output, False)
        try:
            # Keep the object: its finalizer would reap the command and lose its status.
            self._command = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, stdout=output,
                                             stderr=None if output is None else subprocess.STDOUT,
                                             preexec_fn=in_child)
        finally:
            if output is not None:
                os.close(output)
        self.pid = self._command.pid

    def run(self, stdin: int = 0) -> int:
        """Wait until the command has ended or an end is requested, then end all descendants; return the exit status."""
        asked = False
        while self.status is None and not asked:
            asked = self._wait([stdin], None)
        if self.status is None:
            os.kill(self.pid, signal.SIGINT)
            self._until(self._ended_or_alone(), self.grace)
        self._sweep()
        self._tell()
        return 1 if self.status is None else self.status

    def _ended_or_alone(self) -> Callable[[], bool]:
        """Return the condition that the command has ended, or has had no children for ``alone`` seconds."""
        since = time.monotonic()

        def condition() -> bool:
            nonlocal since
            if _alive() != [self.pid]:
                since = time.monotonic()
            return self.status is not None or time.monotonic() - since >= self.alone

        return condition

    def _sweep(self) -> None:
        for number, seconds in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, 5.0)):
            for pid in _alive():
                self._signal(pid, number)
            if self._until(lambda: not _alive(), seconds):
                return

    def _copy(self) -> bool:
        """Copy a part of the command's output; return whether there was one."""
        assert self._output is not None
        try:
            part = os.read(self._output, 65536)
        except BlockingIOError:
            return False
        if not part:  # nobody has the other end any more
            os.close(self._output)
            self._output = None
            return False
        self._last = (self._last + part)[-LAST_BYTES:]
        try:
            while part:
                part = part[os.write(1, part):]
        except OSError:  # a full disk, a reader that ended: output may be lost, the command goes on
            return True
        return True

    def _tell(self) -> None:
        while self._output is not None and self._copy():
            pass
        if self._last_lines is not None:
            try:
                os.write(self._last_lines, self._last)
            except OSError:
                return  # the parent has ended

    def _signal(self, pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            return  # it ended meanwhile, or is set-uid and cannot be signalled

    def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for ``condition``, checked when a child dies and ten times a second; return whether it holds."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            # The death of a grandchild sends no SIGCHLD until it is our child.
            self._wait([], min(left, 0.1))
        return True

    def _wait(self, inputs: List[int], seconds: Optional[float]) -> bool:
        """Sleep until an event or the timeout, and reap children; return whether the end was requested."""
        outputs = [] if self._output is None else [self._output]
        ready = select.select(inputs + outputs + [self._wake], [], [], seconds)[0]
        if self._output in ready:
            self._copy()
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


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n', 1)[0])
    parser.add_argument('--grace', type=float, default=6.0)
    parser.add_argument('--alone', type=float)
    parser.add_argument('--last-lines', type=int, metavar='FD')
    parser.add_argument('command', nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    subreaper = Subreaper(args.grace, args.alone, args.last_lines)
    try:
        subreaper.start(args.command)
    except (OSError, subprocess.SubprocessError) as error:
        sentence = '{}: {}'.format(args.command[0], error)
        print(sentence, file=sys.stderr)
        if args.last_lines is not None:
            os.write(args.last_lines, os.fsencode(sentence))
        return 127
    return subreaper.run()


if __name__ == '__main__':
    sys.exit(main())
