"""The team's roscore: runs on the master robot, on the team port, only while the overlay name works there."""
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import minder
from ua_overlay.rosenv.environment import OK
from ua_overlay.rosenv.launch import without_overlay

STOPPED = 'STOPPED'
RUNNING = 'RUNNING'
STOPPING = 'STOPPING'
WAITING = 'WAITING'

#: Seconds until the next try after a crash: doubled each time, forgotten after it ran for STEADY seconds.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STEADY = 30.0
#: roscore asks its children this long (SIGINT, then SIGTERM) before it kills them; its defaults are 15 s and 2 s.
SIGINT_TIMEOUT = 2
SIGTERM_TIMEOUT = 1
#: What the minder grants roscore before it ends all that is left: both of the above and some air.
GRACE = 6.0
#: roscore without children has nothing left to do; it takes 0.2 s from there to its end.
ALONE = 1.0


@dataclass(frozen=True)
class RoscoreSpec:
    """What to run: URI of the master, its port, and this robot's (variable, value) for ROS."""

    uri: str
    port: int
    name: tuple


def wanted_roscore(environment):
    """The roscore that this robot has to run under a RosEnvironment, as a :class:`RoscoreSpec`, or None."""
    if environment is None or environment.state != OK or not environment.usable or not environment.is_master:
        return None
    names = tuple((key, environment.variables()[key]) for key in ('ROS_HOSTNAME', 'ROS_IP')
                  if key in environment.variables())
    return RoscoreSpec(environment.master_uri, urlsplit(environment.master_uri).port, names[0])


def roscore_environ(spec, environ):
    """The process environment of a team roscore, made from ``environ``: nothing of another graph stays in it."""
    result = without_overlay(environ)
    result['ROS_MASTER_URI'] = spec.uri
    result[spec.name[0]] = spec.name[1]
    return result


def roscore_command(spec, which=shutil.which):
    """The command line of a team roscore.

    :raises OverlayError: NO_ROS when there is no roscore on the PATH.
    """
    roscore = which('roscore')
    if roscore is None:
        raise OverlayError('The team master cannot start: there is no roscore on the PATH.',
                           'source the setup.bash of your ROS workspace', code='NO_ROS')
    return [roscore, '-p', str(spec.port), '--sigint-timeout', str(SIGINT_TIMEOUT),
            '--sigterm-timeout', str(SIGTERM_TIMEOUT)]


class TeamRoscore:
    """Keeps the roscore that is wanted running, and no other. Not thread safe: one thread calls all of it.

    Each start is a fresh process: roslaunch caches the machine's addresses, and one that asked before the overlay was
    up would take its own name for another machine's (rosgraph.network.get_local_addresses). The child runs under
    :mod:`ua_overlay.rosenv.minder`, so it and its children go when this process goes, however that happens.

    :param log_path: file for the output of the current run, or None to share ours.
    :param environ: process environment to start from (default: ours).
    """

    def __init__(self, log_path=None, environ=None, popen=subprocess.Popen, clock=time.monotonic, which=shutil.which):
        self._log_path = log_path
        self._environ = os.environ if environ is None else environ
        self._popen = popen
        self._clock = clock
        self._which = which
        self._wanted = None
        self._running = None
        self._process = None
        self._started = 0.0
        self._pause = FIRST_PAUSE
        self._not_before = None
        self.state = STOPPED
        #: The last thing that went wrong, as a sentence; '' when nothing has.
        self.why = ''

    @property
    def pid(self):
        """Process id of the minder, or None."""
        return None if self._process is None else self._process.pid

    def follow(self, environment):
        """Take a new RosEnvironment (or None) as what is wanted, and :meth:`step`."""
        wanted = wanted_roscore(environment)
        if wanted != self._wanted:
            self._wanted = wanted
            self._pause, self._not_before, self.why = FIRST_PAUSE, None, ''
        self.step()

    def step(self):
        """Look after the process; returns the state. Never blocks: call it once a second and after each change."""
        if self._process is not None and self._process.poll() is not None:
            self._ended(self._process.returncode)
        if self._process is not None:
            if self._running != self._wanted:
                self._ask_to_stop()
            elif self._clock() - self._started >= STEADY:
                self._pause = FIRST_PAUSE
        elif self._wanted is None:
            self.state = STOPPED
        elif self._not_before is None or self._clock() >= self._not_before:
            self._start()
        return self.state

    def stop(self, timeout=GRACE + 6.0):
        """Stop it and wait. Stays stopped until :meth:`follow` says otherwise.

        :returns: whether it has ended within ``timeout`` seconds.
        """
        self._wanted = None
        if self._process is not None:
            self._ask_to_stop()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
        self.step()
        return True

    def _start(self):
        spec = self._wanted
        try:
            command = [sys.executable, '-I', minder.__file__, '--grace', str(GRACE), '--alone', str(ALONE)]
            command += roscore_command(spec, self._which)
            output = None if self._log_path is None else open(self._log_path, 'wb')
            try:
                # A pipe that only we hold open: Python's descriptors are not inherited by our other children.
                self._process = self._popen(command, stdin=subprocess.PIPE, stdout=output, start_new_session=True,
                                            stderr=None if output is None else subprocess.STDOUT,
                                            env=roscore_environ(spec, self._environ))
            finally:
                if output is not None:
                    output.close()
        except (OSError, OverlayError) as error:
            self._failed('The team master cannot start: {}.'.format(error.strerror or error)
                         if isinstance(error, OSError) else str(error))
            return
        self._running, self._started, self.state = spec, self._clock(), RUNNING

    def _ask_to_stop(self):
        if self.state != STOPPING:
            self.state = STOPPING
            self._process.stdin.close()

    def _ended(self, status):
        crashed = self.state != STOPPING and self._running == self._wanted
        self._process.stdin.close()
        self._process, self._running, self.state = None, None, STOPPED
        if crashed:
            self._failed('The roscore of the team on port {} ended with status {}{}'.format(
                self._wanted.port, status, self._last_words()))

    def _failed(self, why):
        self.why, self.state = why, WAITING
        self._not_before = self._clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _last_words(self):
        """The end of the sentence: the last line that roscore wrote, or where to look."""
        if self._log_path is None:
            return '.'
        with open(self._log_path, 'rb') as stream:
            lines = [line.strip() for line in stream.read().decode('utf-8', 'replace').split('\n')]
        errors = [line for line in lines if 'roscore cannot run as another' in line] or [line for line in lines if line]
        return ': {} ({})'.format(errors[-1], self._log_path) if errors else ' ({}).'.format(self._log_path)
