"""Run a child process that dies with its parent, and whose log file is bounded.

Use it in programs whose main thread only supervises (`server run`). A ROS node has many threads, so running
Python between fork and exec is unsafe there; tailscale.daemon starts its child differently. Do not use it either for a
child that must clean up when its parent dies: its output is a pipe, and SIGPIPE would kill it.
"""
import collections
import errno
import logging
import os
import signal
import stat
import subprocess
import threading
import time
from typing import IO, Callable, Deque, List, Mapping, Optional, Sequence

from ua_overlay.protocols import Argv
from ua_overlay.system import file_system, files
from ua_overlay.system import process as processes
from ua_overlay.system.thread import SupervisedThread

_LOG = logging.getLogger(__name__)

#: Longest line, in bytes; a longer one is several.
LONGEST_LINE = 16 * 1024


class BoundedLog:
    """A log file that is renamed to `<path>.1` when it reaches ``limit`` bytes, so it takes at most twice that.

    A log may lose lines, but whoever writes to it must go on: while the file cannot be written (its disk is full, a
    directory or a link stands in its place), lines are dropped and counted. The first line that fits again is preceded
    by one that says how many are missing. No method raises an OSError.

    :ivar problem: why lines are being dropped, as a sentence; '' while they are written.
    :ivar dropped: number of lines that were dropped since then.
    """

    def __init__(self, path: str, limit: int = 4 * 1024 * 1024) -> None:
        self._path = path
        self._limit = limit
        self._handle: Optional[int] = None
        self._size = 0
        #: A line was written in part; the next one must not continue it.
        self._torn = False
        self.problem = ''
        self.dropped = 0
        self._write(b'')

    def write(self, line: bytes) -> None:
        """Append ``line``, which ends with its newline, or drop it."""
        note = b''
        if self.dropped:
            note = '[ua_overlay: {} line(s) are missing here. {}]\n'.format(self.dropped, self.problem).encode(
                'utf-8', 'replace')
        if self._write(note + line):
            self.dropped, self.problem = 0, ''
        else:
            self.dropped += 1

    def close(self) -> None:
        """Close the file; the next line would open it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self, data: bytes) -> bool:
        """Return whether all of ``data`` was written."""
        try:
            handle = self._open() if self._handle is None else self._handle
            if self._size and self._size + len(data) > self._limit:
                os.replace(self._path, self._path + '.1')
                self.close()
                handle = self._open()
            if self._torn and data:
                data = b'\n' + data
            written = os.write(handle, data)
            self._size += written
            # The file system had room for a part of it; the rest counts as a dropped line.
            self._torn = written < len(data)
            if self._torn:
                # The next write names the reason.
                os.write(handle, data[written:])
        except OSError as error:
            file_system.named(error, self._path)
            self.problem = 'The log {} cannot be written: {}.'.format(self._path, error.strerror)
            self.close()
            return False
        return True

    def _open(self) -> int:
        handle = files.open_or_create(self._path, os.O_WRONLY | os.O_APPEND)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise FileExistsError(errno.EEXIST, 'it is not a regular file', self._path)
        self._handle, self._size = handle, status.st_size
        return handle


class Child:
    """One process. Start it from the main thread: the kernel kills it when the thread that started it ends.

    :param name: for messages.
    :param argv: program and arguments; no secrets.
    :param log_file: path; the last lines are kept in memory too.
    :param environment: variables on top of ours.
    :param ignore: returns whether to drop a line, which is then neither logged nor kept.
    """

    def __init__(self, name: str, argv: Argv, log_file: str, environment: Optional[Mapping[str, str]] = None,
                 ignore: Callable[[bytes], bool] = lambda line: False) -> None:
        self.name = name
        self._argv = list(argv)
        self._log_file = log_file
        self._ignore = ignore
        self._environment = dict(os.environ, **(environment or {}))
        self._lines: Deque[str] = collections.deque(maxlen=200)
        self._count = 0
        self._changed = threading.Condition()
        self._process: Optional['subprocess.Popen[bytes]'] = None
        self._pump: Optional[SupervisedThread] = None
        self._log: Optional[BoundedLog] = None

    def start(self) -> None:
        """Start the process.

        :raises OSError: the program cannot be started.
        """
        log = self._log = BoundedLog(self._log_file)
        parent = os.getpid()

        def in_child() -> None:
            processes.set_death_signal(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        try:
            # In its own session, Ctrl-C in the terminal does not reach it: the parent stops its children in order.
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=self._environment, preexec_fn=in_child, start_new_session=True)
        except OSError:
            log.close()
            raise
        stream = self._process.stdout
        assert stream is not None
        # Whatever happens, somebody has to read the pipe: a program that cannot write to it waits, or dies of SIGPIPE.
        self._pump = SupervisedThread('log of ' + self.name, lambda: self._read(stream, log)).start()

    def _read(self, stream: IO[bytes], log: BoundedLog) -> None:
        """Log the output until its end."""
        for line in iter(lambda: stream.readline(LONGEST_LINE), b''):
            if self._drop(line):
                continue
            log.write(line)
            with self._changed:
                self._lines.append(line.decode('utf-8', 'replace').rstrip())
                self._count += 1
                self._changed.notify_all()
        log.close()
        stream.close()
        with self._changed:
            self._changed.notify_all()

    def _drop(self, line: bytes) -> bool:
        try:
            return self._ignore(line)
        except Exception as error:  # of the reader of lines: it must not end the log
            _LOG.error('A line of %s was not understood.', self.name, exc_info=error)
            return False

    @property
    def log_problem(self) -> str:
        """Why lines of its log are being dropped, as a sentence; '' while they are written."""
        return '' if self._log is None else self._log.problem

    @property
    def pid(self) -> Optional[int]:
        """Process id, None before the start."""
        return None if self._process is None else self._process.pid

    def exit_code(self) -> Optional[int]:
        """The exit status; None while it runs, and before the start."""
        return None if self._process is None else self._process.poll()

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_lines(self, count: int = 3) -> List[str]:
        """Return the last lines of its output."""
        with self._changed:
            return list(self._lines)[-count:]

    def signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self._process is not None and self.running():
            self._process.send_signal(number)

    def mark(self) -> int:
        """Return the current position in the output, for :meth:`wait_for_line`."""
        with self._changed:
            return self._count

    def wait_for_line(self, texts: Sequence[str], mark: int, timeout: float) -> Optional[str]:
        """Wait for a line that contains one of ``texts``.

        :param mark: position in the output from which lines count.
        :param timeout: seconds.
        :returns: the first such line; None after ``timeout``, or when the process has ended without one.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                fresh = self._count - mark
                for line in (list(self._lines)[-fresh:] if fresh > 0 else []):
                    if any(text in line for text in texts):
                        return line
                left = deadline - time.monotonic()
                if left <= 0 or not self.running():
                    return None
                self._changed.wait(min(left, 0.5))

    def stop(self, timeout: float) -> None:
        """Stop it: SIGTERM, and SIGKILL after ``timeout`` seconds. Return when it has exited and its log is written."""
        if self._process is None or self._pump is None:
            return
        processes.end(self._process, timeout)
        self._pump.join(5)
