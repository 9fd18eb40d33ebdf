"""Keep the desired program of the team graph running under the subreaper, and restart it after a crash."""
import os
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Generic, List, Optional, TypeVar

from ua_overlay.errors import OverlayError
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

    :param log_path: file for the output of the current run, None to inherit ours.
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
            command += self.command(spec)
            self._run = new_run()
            output = None if self._log_path is None else open(self._log_path, 'wb')
            try:
                # Only this process holds the pipe open: our other children do not inherit Python's descriptors.
                self._process = self._popen(command, stdin=subprocess.PIPE, stdout=output, start_new_session=True,
                                            stderr=None if output is None else subprocess.STDOUT,
                                            env=dict(self.environ(spec, self._environ), **{RUN: self._run}))
            finally:
                if output is not None:
                    output.close()
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
        if crashed is not None:
            self._failed(self.obituary(crashed, status, self._last_words()))

    def _failed(self, why: str) -> None:
        self.why, self.state = why, WAITING
        self._not_before = self._clock() + self._backoff.next()

    def _last_words(self) -> str:
        """Return the end of a sentence: the last line that the program wrote, or the path of its log."""
        if self._log_path is None:
            return '.'
        with open(self._log_path, 'rb') as stream:
            lines = [line.strip() for line in stream.read().decode('utf-8', 'replace').split('\n')]
        errors = [line for line in lines if 'roscore cannot run as another' in line] or [line for line in lines if line]
        return ': {} ({})'.format(errors[-1], self._log_path) if errors else ' ({}).'.format(self._log_path)
