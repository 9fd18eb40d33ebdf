"""Keep the desired program of the team graph running under the subreaper, and restart it after a crash."""
import os
import re
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Generic, List, Optional, TypeVar

from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.protocols import Clock, Environ
from ua_overlay.system import subreaper
from ua_overlay.system.backoff import Backoff
from ua_overlay.system.leftovers import RUN, Leftovers, new_run, remains_of
from ua_overlay.system.subreaper import GRACE

STOPPED = 'STOPPED'
RUNNING = 'RUNNING'
STOPPING = 'STOPPING'
WAITING = 'WAITING'

#: Seconds before a restart after a crash: the first pause, which doubles each time, and the longest. After a run of
#: STABLE_AFTER seconds, the next pause is the first one again.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STABLE_AFTER = 30.0
#: How long a roslaunch waits for its children after SIGINT and after SIGTERM; its defaults are 15 s and 2 s.
SIGINT_TIMEOUT = 2
SIGTERM_TIMEOUT = 1
#: How many of its last lines the obituary of a program has; lines that name an error come first, and some of roslaunch
#: say nothing.
LAST_LINES = 3
_ERRORS = re.compile(r'ERROR|FATAL|[A-Za-z]*(Error|Exception)\b|has died|cannot run as another')
_NOISE = re.compile(r'The traceback for the exception was written to the log file|\.\.\. logging to |Press Ctrl-C to|'
                    r'(Done c|C)hecking log (directory|file)|(\.\.\. )?shutting down processing monitor|done$|'
                    r'No processes to monitor$|ROS path \[|\[\S+\] killing on exit')
#: Colours and the window's title, as roslaunch writes them.
_ESCAPES = re.compile(r'\x1b(\[[0-9;]*[A-Za-z]|\][^\x07]*\x07)')
#: A roslaunch without children has nothing left to do, and exits within 0.2 s.
ALONE = 1.0

#: Specification of a program: any value that :meth:`Supervised.command` understands, compared by ==.
Spec = TypeVar('Spec')


class Supervised(Generic[Spec]):
    """Keeps the desired program running, and no other. Not thread safe: one thread calls all of it.

    The child runs under :mod:`ua_overlay.system.subreaper`, so it and its children end when this process ends, for
    whatever reason. A killed subreaper leaves children behind: they are ended before the next start, and at the end, so
    that no program ever runs twice. A subclass defines the program: :meth:`command`, :meth:`environ`, :meth:`refusal`
    and :meth:`obituary`.

    :param log_path: file for the output of the current run; None for our own output.
    :param environ: process environment to start from (default: ours).
    :param popen: as subprocess.Popen.
    :param remains: as leftovers.remains_of.
    """

    def __init__(self, log_path: Optional[str] = None, environ: Optional[Environ] = None,
                 popen: Callable[..., Any] = subprocess.Popen, clock: Clock = time.monotonic,
                 remains: Callable[[str], Leftovers] = remains_of) -> None:
        self._log_path = log_path
        self._environ = os.environ if environ is None else environ
        self._popen = popen
        self._clock = clock
        self._remains = remains
        #: What the last start left, while it is being ended.
        self._left: Optional[Leftovers] = None
        self._run = ''
        self._desired: Optional[Spec] = None
        self._running: Optional[Spec] = None
        self._process: Any = None
        #: The end of a pipe with the last lines of the process, or None.
        self._tail: Optional[int] = None
        self._started = 0.0
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._not_before: Optional[float] = None
        self.state = STOPPED
        #: Number of starts.
        self.starts = 0
        #: The last problem, as a sentence; '' without one.
        self.why = ''

    def command(self, spec: Spec) -> List[str]:
        """Return the command line for ``spec``.

        :raises OverlayError: there is no such program.
        """
        raise NotImplementedError

    def environ(self, spec: Spec, environ: Environ) -> Dict[str, str]:
        """Return its process environment, made from ``environ``."""
        raise NotImplementedError

    def refusal(self, detail: str) -> str:
        """Return the sentence for a program that cannot be started; ``detail`` is the operating system's reason."""
        raise NotImplementedError

    def obituary(self, spec: Spec, status: int, last_words: str) -> str:
        """Return the sentence for a program that exited unexpectedly; ``last_words`` is its end, with the full stop."""
        raise NotImplementedError

    @property
    def pid(self) -> Optional[int]:
        """Process id of the subreaper, or None."""
        return None if self._process is None else int(self._process.pid)

    @property
    def running(self) -> Optional[Spec]:
        """The spec that runs (or stops) now, or None."""
        return self._running

    def set_desired(self, spec: Optional[Spec]) -> None:
        """Make ``spec`` the desired program, None for no program, and :meth:`step`."""
        if spec != self._desired:
            self._desired = spec
            self._backoff.reset()
            self._not_before, self.why = None, ''
        self.step()

    def step(self) -> str:
        """Start or stop the process if that is due, without blocking; return the state.

        Call it once a second and after each change.
        """
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process.returncode)
        if self._process is not None:
            if self._running != self._desired:
                self._request_stop()
            elif self._clock() - self._started >= STABLE_AFTER:
                self._backoff.reset()
        elif not self._is_clear():
            self.state = WAITING if self.why else STOPPING
        elif self._desired is None:
            self.state = STOPPED
        elif self._not_before is None or self._clock() >= self._not_before:
            self._start(self._desired)
        return self.state

    def stop(self, timeout: float = GRACE + 6.0) -> bool:
        """Stop the program and wait. It stays stopped until :meth:`set_desired`.

        :returns: whether it has ended within ``timeout`` seconds.
        """
        self._desired = None
        end = time.monotonic() + timeout
        if self._process is not None:
            self._request_stop()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
        while self.step() != STOPPED:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def _is_clear(self) -> bool:
        """End what the last start left behind, without blocking; return whether nothing is left."""
        if self._left is not None and self._left.step():
            self._left = None
        return self._left is None

    def _start(self, spec: Spec) -> None:
        try:
            command = [sys.executable, '-I', subreaper.__file__, '--grace', str(GRACE), '--alone', str(ALONE)]
            program = self.command(spec)
            self._run = new_run()
            environ = dict(self.environ(spec, self._environ), **{RUN: self._run})
            # Only this process holds the pipe open: our other children do not inherit Python's descriptors.
            options: Dict[str, Any] = {'stdin': subprocess.PIPE, 'start_new_session': True, 'env': environ}
            if self._log_path is not None:
                with open(self._log_path, 'wb') as output:
                    self._process = self._popen(command + program, stdout=output, stderr=subprocess.STDOUT, **options)
            else:
                self._tail, end = os.pipe()
                try:
                    self._process = self._popen(command + ['--last-lines', str(end)] + program, pass_fds=(end,),
                                                **options)
                except BaseException:
                    os.close(self._tail)
                    self._tail = None
                    raise
                finally:
                    os.close(end)
        except OSError as error:
            self._failed(self.refusal(error.strerror or str(error)))
        except OverlayError as error:
            self._failed(str(error))
        else:
            self._running, self._started, self.state = spec, self._clock(), RUNNING
            self.starts += 1

    def _request_stop(self) -> None:
        if self.state != STOPPING:
            self.state = STOPPING
            self._process.stdin.close()

    def _ended(self, status: int) -> None:
        crashed = self._running if self.state != STOPPING and self._running == self._desired else None
        self._process.stdin.close()
        self._process, self._running, self.state = None, None, STOPPED
        self._left = self._remains(self._run)
        lines = self._read_last_lines()
        if crashed is not None:
            self._failed(self.obituary(crashed, status, _last_words(lines, self._log_path)))

    def _failed(self, why: str) -> None:
        self.why, self.state = why, WAITING
        self._not_before = self._clock() + self._backoff.next()

    def _read_last_lines(self) -> str:
        if self._log_path is not None:
            with open(self._log_path, 'rb') as stream:
                return stream.read()[-subreaper.LAST_BYTES:].decode('utf-8', 'replace')
        if self._tail is None:
            return ''
        os.set_blocking(self._tail, False)
        try:
            return os.read(self._tail, subreaper.LAST_BYTES).decode('utf-8', 'replace')
        except BlockingIOError:
            return ''  # the subreaper was killed, and somebody still has its end
        finally:
            os.close(self._tail)
            self._tail = None


def _last_words(output: str, log_path: Optional[str]) -> str:
    """Return the end of a sentence: the last lines that the program wrote, and the path of its log. Pure."""
    log = '' if log_path is None else ' ({})'.format(log_path)
    lines = [printable(_ESCAPES.sub('', line).strip()) for line in output.split('\n')]
    telling = [line for line in lines if line and not _NOISE.match(line)]
    errors = [line for line in telling if _ERRORS.search(line)]
    words = ' / '.join((errors or telling)[-LAST_LINES:])
    return ': {}{}'.format(words.rstrip('.') + '.' if not log else words, log) if words else log + '.'
