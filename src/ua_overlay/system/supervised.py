"""A program of the team graph under the subreaper: the desired one runs, no other, and a crash is answered with a
longer and longer pause."""
import os
import subprocess
import sys
import time

from ua_overlay.errors import OverlayError
from ua_overlay.system import subreaper

STOPPED = 'STOPPED'
RUNNING = 'RUNNING'
STOPPING = 'STOPPING'
WAITING = 'WAITING'

#: Seconds until the next try after a crash: doubled each time, forgotten after it ran for STABLE_AFTER seconds.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STABLE_AFTER = 30.0
#: A roslaunch asks its children this long (SIGINT, then SIGTERM) before it kills them; its defaults are 15 s and 2 s.
SIGINT_TIMEOUT = 2
SIGTERM_TIMEOUT = 1
#: What the subreaper grants before it ends all that is left: both of the above and some air.
GRACE = 6.0
#: A roslaunch without children has nothing left to do; it takes 0.2 s from there to its end.
ALONE = 1.0


class Supervised:
    """Keeps the program that is desired running, and no other. Not thread safe: one thread calls all of it.

    The child runs under :mod:`ua_overlay.system.subreaper`, so it and its children go when this process goes, however
    that happens. A subclass says what to run: :meth:`command`, :meth:`environ`, :meth:`refusal` and :meth:`obituary`.

    :param log_path: file for the output of the current run, or None to share ours.
    :param environ: process environment to start from (default: ours).
    """

    def __init__(self, log_path=None, environ=None, popen=subprocess.Popen, clock=time.monotonic):
        self._log_path = log_path
        self._environ = os.environ if environ is None else environ
        self._popen = popen
        self._clock = clock
        self._desired = None
        self._running = None
        self._process = None
        self._started = 0.0
        self._pause = FIRST_PAUSE
        self._not_before = None
        self.state = STOPPED
        #: How often it was started.
        self.starts = 0
        #: The last thing that went wrong, as a sentence; '' when nothing has.
        self.why = ''

    def command(self, spec):
        """The command line for ``spec``; raises OverlayError when there is no such program."""
        raise NotImplementedError

    def environ(self, spec, environ):
        """Its process environment, made from ``environ``."""
        raise NotImplementedError

    def refusal(self, detail):
        """The sentence for a program that cannot be started; ``detail`` is the system's word."""
        raise NotImplementedError

    def obituary(self, spec, status, last_words):
        """The sentence for one that ended by itself; ``last_words`` ends it, full stop included."""
        raise NotImplementedError

    @property
    def pid(self):
        """Process id of the subreaper, or None."""
        return None if self._process is None else self._process.pid

    @property
    def running(self):
        """The spec that runs (or stops) now, or None."""
        return self._running

    def set_desired(self, spec):
        """Take ``spec`` (compared by ==; None for nothing) as what is desired, and :meth:`step`."""
        if spec != self._desired:
            self._desired = spec
            self._pause, self._not_before, self.why = FIRST_PAUSE, None, ''
        self.step()

    def step(self):
        """Look after the process; returns the state. Never blocks: call it once a second and after each change."""
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process.returncode)
        if self._process is not None:
            if self._running != self._desired:
                self._ask_to_stop()
            elif self._clock() - self._started >= STABLE_AFTER:
                self._pause = FIRST_PAUSE
        elif self._desired is None:
            self.state = STOPPED
        elif self._not_before is None or self._clock() >= self._not_before:
            self._start()
        return self.state

    def stop(self, timeout=GRACE + 6.0):
        """Stop it and wait. Stays stopped until :meth:`set_desired` says otherwise.

        :returns: whether it has ended within ``timeout`` seconds.
        """
        self._desired = None
        if self._process is not None:
            self._ask_to_stop()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
        self.step()
        return True

    def _start(self):
        spec = self._desired
        try:
            command = [sys.executable, '-I', subreaper.__file__, '--grace', str(GRACE), '--alone', str(ALONE)]
            command += self.command(spec)
            output = None if self._log_path is None else open(self._log_path, 'wb')
            try:
                # A pipe that only we hold open: Python's descriptors are not inherited by our other children.
                self._process = self._popen(command, stdin=subprocess.PIPE, stdout=output, start_new_session=True,
                                            stderr=None if output is None else subprocess.STDOUT,
                                            env=self.environ(spec, self._environ))
            finally:
                if output is not None:
                    output.close()
        except (OSError, OverlayError) as error:
            self._failed(self.refusal(error.strerror or error) if isinstance(error, OSError) else str(error))
            return
        self._running, self._started, self.state = spec, self._clock(), RUNNING
        self.starts += 1

    def _ask_to_stop(self):
        if self.state != STOPPING:
            self.state = STOPPING
            self._process.stdin.close()

    def _ended(self, status):
        crashed = self.state != STOPPING and self._running == self._desired
        self._process.stdin.close()
        self._process, self._running, self.state = None, None, STOPPED
        if crashed:
            self._failed(self.obituary(self._desired, status, self._last_words()))

    def _failed(self, why):
        self.why, self.state = why, WAITING
        self._not_before = self._clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _last_words(self):
        """The end of the sentence: the last line that it wrote, or where to look."""
        if self._log_path is None:
            return '.'
        with open(self._log_path, 'rb') as stream:
            lines = [line.strip() for line in stream.read().decode('utf-8', 'replace').split('\n')]
        errors = [line for line in lines if 'roscore cannot run as another' in line] or [line for line in lines if line]
        return ': {} ({})'.format(errors[-1], self._log_path) if errors else ' ({}).'.format(self._log_path)
