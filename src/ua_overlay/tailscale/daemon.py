"""A tailscaled of our own, for robots where no system service runs one (`manage_daemon`)."""
import os
import signal
import subprocess
import threading
import time

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.localapi import DaemonMissing, LocalApi

#: Seconds before a daemon that ended is started again: doubled each time up to the last, back to the first when it
#: had run for STABLE_AFTER seconds.
BACKOFF = (0.5, 30.0)
STABLE_AFTER = 60.0


class DaemonRunning(OverlayError):
    """Another tailscaled answers on the socket already."""

    code = 'DAEMON_RUNNING'


def daemon_command(program, state_dir, socket_path, tun, port):
    """Return the argv of a tailscaled that ends with its parent, however that ends.

    `setpriv` (util-linux) sets the parent-death signal without running Python between fork and exec, which is not safe
    in a process with threads. TERM lets tailscaled take down its interface and DNS settings.
    """
    return ['setpriv', '--pdeathsig', 'TERM', '--', program, '--statedir=' + state_dir,
            '--state=' + os.path.join(state_dir, 'tailscaled.state'), '--socket=' + socket_path, '--tun=' + tun,
            '--port={}'.format(port)]


def daemon_environment(base, ca_file):
    """Return the environment of tailscaled: the site's CA is trusted by this process alone, and no logs leave."""
    environment = dict(base)
    if ca_file:
        environment['SSL_CERT_FILE'] = ca_file
    environment['TS_NO_LOGS_NO_SUPPORT'] = 'true'
    return environment


def next_wait(previous, lasted):
    """Seconds to wait after the daemon ran ``lasted`` seconds; ``previous``: the last wait, 0.0 at first."""
    if previous == 0.0 or lasted >= STABLE_AFTER:
        return BACKOFF[0]
    return min(2 * previous, BACKOFF[1])


class Daemon:
    """Starts tailscaled, starts it again when it ends, stops it.

    :param program: path of tailscaled (`toolchain.locate`).
    :param ca_file: PEM file of the site's CA, or None for the system's.
    :param log_path: where its output goes (started afresh at 10 MB), None: nowhere.
    :param tun: name of the interface, or 'userspace-networking' (no interface: for tests, not for ROS).
    """

    def __init__(self, program, ca_file=None, state_dir=defaults.DAEMON_STATE_DIR, socket_path=defaults.DAEMON_SOCKET,
                 tun=defaults.INTERFACE, port=0, log_path=None, environ=None, popen=subprocess.Popen,
                 clock=time.monotonic):
        self.socket_path = socket_path
        self.restarts = 0
        self._state_dir = state_dir
        self._command = daemon_command(program, state_dir, socket_path, tun, port)
        self._environment = daemon_environment(os.environ if environ is None else environ, ca_file)
        self._log_path = log_path
        self._popen = popen
        self._clock = clock
        self._stop = threading.Event()
        self._first = threading.Event()
        self._error = None
        self._process = None
        self._thread = None

    @property
    def pid(self):
        """Process id of the running tailscaled, None between two runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, timeout=10.0):
        """Start it and wait until it answers.

        :raises DaemonRunning: one answers already: two on one socket would fight.
        :raises OverlayError: it could not be started, or did not answer within ``timeout`` seconds; it is stopped then.
        """
        try:
            LocalApi(self.socket_path, timeout=2.0).status(peers=False)
        except DaemonMissing:
            pass  # as it should be
        else:
            raise DaemonRunning('A tailscaled answers at {} already.'.format(self.socket_path),
                                'systemctl status tailscaled')
        for directory in (self._state_dir, os.path.dirname(self.socket_path)):
            try:
                os.makedirs(directory, mode=0o755, exist_ok=True)
            except OSError as error:
                raise OverlayError('The directory {} of tailscaled cannot be made: {}.'.format(
                    directory, error.strerror), 'sudo mkdir -p {}'.format(directory))
        # The parent-death signal comes when the thread that started the child ends, so one thread does all of it.
        self._thread = threading.Thread(target=self._supervise, name='tailscaled', daemon=True)
        self._thread.start()
        self._first.wait(timeout)
        deadline = self._clock() + timeout
        why = self._error
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
            self.socket_path, timeout), 'tail {}'.format(self._log_path) if self._log_path else '')

    def stop(self, timeout=5.0):
        """End it: TERM, then KILL after ``timeout`` seconds. Does nothing when it does not run."""
        self._stop.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def restart(self, timeout=10.0):
        """End the daemon and wait until the next one answers: it reads its CA file once.

        :raises OverlayError: it does not answer within ``timeout`` seconds; it goes on being supervised.
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
        raise OverlayError('tailscaled was started anew, but does not answer at {} after {:g} s.'.format(
            self.socket_path, timeout), 'tail {}'.format(self._log_path) if self._log_path else '')

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc_info):
        self.stop()

    def _supervise(self):
        wait = 0.0
        while not self._stop.is_set():
            began = self._clock()
            try:
                self._run_once()
            except OSError as error:
                self._error = error
                self._first.set()
                return
            wait = next_wait(wait, self._clock() - began)
            if not self._stop.wait(wait):
                self.restarts += 1

    def _run_once(self):
        output = subprocess.DEVNULL
        if self._log_path is not None:
            too_long = os.path.exists(self._log_path) and os.path.getsize(self._log_path) > 10000000
            output = os.open(self._log_path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if too_long else os.O_APPEND),
                             0o600)
        try:
            self._process = self._popen(self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                        env=self._environment, start_new_session=True)
        finally:
            if self._log_path is not None:
                os.close(output)
        self._first.set()
        if self._stop.is_set():  # stop() came between the last look and the start
            self._process.terminate()
        self._process.wait()
