"""Run a child process that dies with its parent, and whose log file is bounded.

It is for programs with a main thread that only supervises (`server run`). A ROS node has many threads, so running
Python between fork and exec is unsafe there; tailscale.daemon starts its child differently. Do not use it either for a
child that must clean up when its parent dies: its output is a pipe, and SIGPIPE would kill it.
"""
import collections
import os
import signal
import subprocess
import threading
import time
from typing import IO, Callable, Deque, List, Mapping, Optional, Sequence

from ua_overlay.protocols import Argv
from ua_overlay.system import process as processes


class BoundedLog:
    """A log file that is renamed to `<path>.1` when it reaches ``limit`` bytes, so it takes at most twice that."""

    def __init__(self, path: str, limit: int = 4 * 1024 * 1024) -> None:
        self._path = path
        self._limit = limit
        self._open()

    def _open(self) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stream = os.fdopen(handle, 'ab', buffering=0)
        self._size = os.fstat(handle).st_size

    def write(self, line: bytes) -> None:
        """Append ``line``, which ends with its newline."""
        if self._size + len(line) > self._limit:
            self._stream.close()
            os.replace(self._path, self._path + '.1')
            self._open()
        self._stream.write(line)
        self._size += len(line)

    def close(self) -> None:
        self._stream.close()


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
        self._pump: Optional[threading.Thread] = None

    def start(self) -> None:
        """Start the process.

        :raises OSError: the program or the log file cannot be opened.
        """
        log = BoundedLog(self._log_file)
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
        self._pump = threading.Thread(target=self._read, args=(self._process.stdout, log), daemon=True,
                                      name='log of ' + self.name)
        self._pump.start()

    def _read(self, stream: IO[bytes], log: BoundedLog) -> None:
        try:
            for line in stream:
                if self._ignore(line):
                    continue
                log.write(line)
                with self._changed:
                    self._lines.append(line.decode('utf-8', 'replace').rstrip())
                    self._count += 1
                    self._changed.notify_all()
        finally:
            log.close()
            stream.close()
            with self._changed:
                self._changed.notify_all()

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
