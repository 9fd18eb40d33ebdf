"""A child process whose output goes to a log file that cannot grow without bound, and that dies with its parent."""
import collections
import ctypes
import os
import signal
import subprocess
import threading
import time

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec nothing may take the loader's lock.
_LIBC = ctypes.CDLL(None, use_errno=True)


class BoundedLog:
    """A log file that is renamed to `<path>.1` when it reaches ``limit`` bytes: at most twice that is kept."""

    def __init__(self, path, limit=4 * 1024 * 1024):
        self._path = path
        self._limit = limit
        self._open()

    def _open(self):
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stream = os.fdopen(handle, 'ab', buffering=0)
        self._size = os.fstat(handle).st_size

    def write(self, line):
        """Append ``line`` (bytes, with its newline)."""
        if self._size + len(line) > self._limit:
            self._stream.close()
            os.replace(self._path, self._path + '.1')
            self._open()
        self._stream.write(line)
        self._size += len(line)

    def close(self):
        self._stream.close()


class Child:
    """One process. Start it from the main thread: the kernel ends it when the thread that made it ends.

    :param name: for people.
    :param argv: program and arguments; no secrets.
    :param log_file: path; the last lines are kept in memory too.
    :param environment: variables on top of ours.
    :param aside: function(line: bytes) -> bool; what it says yes to is neither logged nor remembered.
    """

    def __init__(self, name, argv, log_file, environment=None, aside=lambda line: False):
        self.name = name
        self._argv = list(argv)
        self._log_file = log_file
        self._aside = aside
        self._environment = dict(os.environ, **(environment or {}))
        self._lines = collections.deque(maxlen=200)
        self._count = 0
        self._changed = threading.Condition()
        self._process = None
        self._pump = None

    def start(self):
        """Start the process.

        :raises OSError: when the program or the log file cannot be opened.
        """
        log = BoundedLog(self._log_file)
        parent = os.getpid()

        def in_child():
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        try:
            # A session of its own: Ctrl-C in the terminal reaches the parent alone, which stops its children in order.
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=self._environment, preexec_fn=in_child, start_new_session=True)
        except OSError:
            log.close()
            raise
        self._pump = threading.Thread(target=self._read, args=(self._process.stdout, log), daemon=True,
                                      name='log of ' + self.name)
        self._pump.start()

    def _read(self, stream, log):
        try:
            for line in stream:
                if self._aside(line):
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
    def pid(self):
        """Process id, or None before the start."""
        return None if self._process is None else self._process.pid

    def exit_code(self):
        """None while it runs or was never started."""
        return None if self._process is None else self._process.poll()

    def running(self):
        return self._process is not None and self._process.poll() is None

    def last_lines(self, count=3):
        """The end of its output, as a list of str."""
        with self._changed:
            return list(self._lines)[-count:]

    def signal(self, number):
        """Send a signal if it runs."""
        if self.running():
            self._process.send_signal(number)

    def mark(self):
        """A position in the output for :meth:`wait_for_line`."""
        with self._changed:
            return self._count

    def wait_for_line(self, texts, mark, timeout):
        """The first line after ``mark`` that contains one of ``texts``, or None after ``timeout`` s or its end."""
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

    def stop(self, timeout):
        """End it: SIGTERM, then after ``timeout`` seconds SIGKILL. Returns when it is gone and its log is written."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._pump.join(5)
