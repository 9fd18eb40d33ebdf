"""Run tailscaled as a child process, on robots without a system service for it (`manage_daemon`)."""
import logging
import os
import signal
import subprocess
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, Environ
from ua_overlay.system import process as processes
from ua_overlay.system.backoff import Backoff
from ua_overlay.system.thread import SupervisedThread
from ua_overlay.tailscale.localapi import DaemonMissing, LocalApi

_LOG = logging.getLogger(__name__)

#: Seconds before a daemon that ended is started again: the first pause, which doubles each time, and the longest.
#: After a run of STABLE_AFTER seconds, the next pause is the first one again.
BACKOFF = (0.5, 30.0)
STABLE_AFTER = 60.0
#: Bytes after which the log is started afresh.
LOG_LIMIT = 10000000


class DaemonRunning(OverlayError):
    """Another tailscaled already answers on the socket."""

    code = 'DAEMON_RUNNING'


def daemon_command(program: str, state_dir: str, socket_path: str, tun: str, port: int) -> List[str]:
    """Return the argv of a tailscaled that exits with its parent, however the parent dies.

    `setpriv` (util-linux) sets the parent-death signal without running Python between fork and exec, which is not safe
    in a process with threads. TERM lets tailscaled take down its interface and DNS settings.
    """
    return ['setpriv', '--pdeathsig', 'TERM', '--', program, '--statedir=' + state_dir,
            '--state=' + os.path.join(state_dir, 'tailscaled.state'), '--socket=' + socket_path, '--tun=' + tun,
            '--port={}'.format(port)]


def daemon_environment(base: Environ, ca_file: Optional[str]) -> Dict[str, str]:
    """Return the environment of tailscaled: it trusts the site's CA and uploads no logs."""
    environment = dict(base)
    if ca_file:
        environment['SSL_CERT_FILE'] = ca_file
    environment['TS_NO_LOGS_NO_SUPPORT'] = 'true'
    return environment


class Daemon:
    """Starts tailscaled, restarts it when it exits, and stops it.

    :param program: path of tailscaled (`toolchain.locate`).
    :param ca_file: PEM file of the site's CA, or None for the system's.
    :param tun: name of the interface, or 'userspace-networking' (no interface: for tests, not for ROS).
    :param port: UDP port, 0 for any.
    :param log_path: file for its output, truncated at :data:`LOG_LIMIT`; None for no log.
    :param before_start: called before each start; an OSError of it counts as a start that failed.
    """

    def __init__(self, program: str, ca_file: Optional[str] = None, state_dir: str = defaults.DAEMON_STATE_DIR,
                 socket_path: str = defaults.DAEMON_SOCKET, tun: str = defaults.INTERFACE, port: int = 0,
                 log_path: Optional[str] = None, environ: Optional[Environ] = None, popen: Any = subprocess.Popen,
                 clock: Clock = time.monotonic, before_start: Callable[[], None] = lambda: None) -> None:
        self.socket_path = socket_path
        self._before_start = before_start
        self.restarts = 0
        self._state_dir = state_dir
        self._command = daemon_command(program, state_dir, socket_path, tun, port)
        self._environment = daemon_environment(os.environ if environ is None else environ, ca_file)
        self._log_path = log_path
        self._popen = popen
        self._clock = clock
        self._stop = threading.Event()
        self._first = threading.Event()
        self._error: Optional[OSError] = None
        self._process: Any = None
        self._thread: Optional[SupervisedThread] = None

    @property
    def pid(self) -> Optional[int]:
        """Process id of the running tailscaled, None between two runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, timeout: float = 10.0) -> 'Daemon':
        """Start tailscaled and wait until it answers.

        :raises DaemonRunning: another tailscaled answers on the socket; two would compete for it.
        :raises OverlayError: it could not be started, or did not answer within ``timeout`` seconds and was stopped.
        """
        try:
            LocalApi(self.socket_path, timeout=2.0).status(peers=False)
        except DaemonMissing:
            pass  # expected: the socket is free
        else:
            raise DaemonRunning('A tailscaled already answers at {}.'.format(self.socket_path),
                                'systemctl status tailscaled')
        for directory in (self._state_dir, os.path.dirname(self.socket_path)):
            try:
                os.makedirs(directory, mode=0o755, exist_ok=True)
            except OSError as error:
                raise OverlayError('The directory {} of tailscaled cannot be created: {}.'.format(
                    directory, error.strerror), command('sudo mkdir -p {}', directory))
        # The parent-death signal comes when the thread that started the child ends, so one thread starts all of them.
        self._thread = SupervisedThread('tailscaled', self._supervise).start()
        self._first.wait(timeout)
        deadline = self._clock() + timeout
        why: Optional[Exception] = self._error
        while why is None and self._clock() < deadline:
            try:
                LocalApi(self.socket_path, timeout=2.0).status(peers=False)
                return self
            except OverlayError as error:
                if self._stop.wait(0.05):
                    why = error
        self.stop()
        if isinstance(why, OSError):
            raise OverlayError('tailscaled cannot be started: {} ({}).'.format(why.strerror, why.filename),
                               'ua-overlay tools install')
        raise OverlayError('tailscaled was started, but does not answer at {} after {:g} s.'.format(
            self.socket_path, timeout), command('tail {}', self._log_path) if self._log_path else '')

    def stop(self, timeout: float = 5.0) -> None:
        """Stop tailscaled: SIGTERM, then SIGKILL after ``timeout`` seconds. Do nothing if it is not running."""
        self._stop.set()
        if self._process is not None:
            processes.end(self._process, timeout)
        if self._thread is not None:
            self._thread.stop()
            self._thread.join()

    def restart(self, timeout: float = 10.0) -> None:
        """Restart the daemon and wait until it answers; it reads its CA file only at its start.

        :raises OverlayError: it does not answer within ``timeout`` seconds; it remains supervised.
        """
        old = self._process
        if old is not None and old.poll() is None:
            old.send_signal(signal.SIGTERM)
        deadline = self._clock() + timeout
        while self._clock() < deadline and not self._stop.wait(0.05):
            if self._process is old:
                continue
            try:
                LocalApi(self.socket_path, timeout=2.0).status(peers=False)
                return
            except OverlayError:
                continue  # it is starting
        raise OverlayError('tailscaled was restarted, but does not answer at {} after {:g} s.'.format(
            self.socket_path, timeout), command('tail {}', self._log_path) if self._log_path else '')

    def __enter__(self) -> 'Daemon':
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _supervise(self) -> None:
        backoff = Backoff(*BACKOFF)
        while not self._stop.is_set():
            began = self._clock()
            try:
                self._run_once()
                self._error = None
            except OSError as error:
                # Before the first start its caller gives up; later there may be memory, or the program, again.
                if str(error) != str(self._error):
                    _LOG.error('tailscaled cannot be started: %s. Trying again.', error)
                self._error = error
                self._first.set()
            if self._clock() - began >= STABLE_AFTER:
                backoff.reset()
            if not self._stop.wait(backoff.next()):
                self.restarts += 1

    def _run_once(self) -> None:
        self._before_start()
        output = self._open_log()
        try:
            self._process = self._popen(self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                        env=self._environment, start_new_session=True)
        finally:
            if output != subprocess.DEVNULL:
                os.close(output)
        self._first.set()
        if self._stop.is_set():  # stop() came between the last check and the start
            self._process.terminate()
        self._process.wait()

    def _open_log(self) -> int:
        """Return the log's file descriptor, or DEVNULL: logs may be dropped, processes may not."""
        if self._log_path is None:
            return subprocess.DEVNULL
        try:
            too_long = os.path.exists(self._log_path) and os.path.getsize(self._log_path) > LOG_LIMIT
            return os.open(self._log_path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if too_long else os.O_APPEND), 0o600)
        except OSError as error:
            _LOG.warning('tailscaled runs without its log %s: %s.', self._log_path, error.strerror)
            return subprocess.DEVNULL
