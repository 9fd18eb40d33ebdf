"""`relay run` and `derp run`: one process on a remote host of a site, in the foreground, until a signal stops it."""
import signal
import time
from typing import Callable, Optional, Union

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, JsonObject, Locate, Say, WallClock
from ua_overlay.relays import derp_certificate
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.admission import ASK_TIMEOUT
from ua_overlay.relays.derp_process import DerpProcess, DerpSettings, DerpTrust
from ua_overlay.relays.relay import RelaySettings
from ua_overlay.relays.relay_process import RelayProcess
from ua_overlay.relays.remote_host import EnrolmentKeySource, RemoteHost
from ua_overlay.system import files, ownership
from ua_overlay.system.control_socket import ControlServer, NotRunning, ask
from ua_overlay.system.requests import Requests
from ua_overlay.system.staleness import Staleness
from ua_overlay.trust.verify import verify_node_key

#: Seconds within which a child must exit.
STOP_TIMEOUT = 5.0
#: Seconds without a look at the child after which the main thread hangs.
SILENT_AFTER = 120.0

#: A request to the main thread.
STOP = 'stop'


class RemoteServer:
    """Runs a remote host.

    :param remote_host: with an enrolment in it.
    :param locate: finds tailscale and tailscaled, or derper.
    :param say: prints one line to the terminal or the journal.
    :param started: called once everything is started.
    """

    def __init__(self, remote_host: RemoteHost, locate: Locate, say: Say, clock: Clock = time.monotonic,
                 started: Callable[[], None] = lambda: None, now: WallClock = time.time) -> None:
        self._remote_host = remote_host
        self._enrolment = remote_host.load()
        self._locate = locate
        self._say = say
        self._clock = clock
        self._started = started
        self._now = now
        self._requests = Requests()
        self._process: Union[RelayProcess, DerpProcess, None] = None
        self._staleness = Staleness(SILENT_AFTER, clock)
        #: When its certificate expires, in Unix seconds; None without one.
        self._end = (derp_certificate.end_of(self._enrolment.certificate)
                     if remote_host.kind == enrolments.DERP else None)
        self._warned = ''

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return 0.

        :raises OverlayError: it is running already, or a program is missing.
        """
        with self._remote_host.held(), self._requests.from_signals({signal.SIGTERM: STOP, signal.SIGINT: STOP}):
            ownership.check(self._remote_host.directory, 'The directory {}'.format(self._remote_host.directory))
            self._remote_host.sweep()
            # Only if they differ: a full disk must not keep a relay from starting.
            files.write_changed(self._remote_host.path('ca.pem'), self._enrolment.ca_pem)
            control_server = None
            try:
                self._process = self._relay() if self._remote_host.kind == enrolments.RELAY else self._derp()
                self._process.start()
                control_server = ControlServer(self._remote_host.control_socket, self._answer)
                self._started()
                self._supervise(self._process)
            finally:
                if control_server is not None:
                    control_server.close()
                if self._process is not None:
                    self._process.stop()
            self._say('Stopped.')
            return 0

    def _relay(self) -> RelayProcess:
        enrolment, remote_host = self._enrolment, self._remote_host
        settings = RelaySettings(
            remote_host.path('state'), remote_host.path('run', 'tailscaled.sock'), remote_host.path('ca.pem'),
            enrolment.server_url, 'relay-' + enrolment.name, enrolment.port, (enrolment.address,))
        return RelayProcess(self._locate, settings, EnrolmentKeySource(remote_host),
                            remote_host.path('log', 'relay.log'), self._say, self._clock, STOP_TIMEOUT)

    def _derp(self) -> DerpProcess:
        enrolment, remote_host = self._enrolment, self._remote_host
        settings = DerpSettings(
            enrolment.name, remote_host.path('state'), remote_host.path('log', 'derper.log'), enrolment.host_name,
            enrolment.port, enrolment.stun_port, enrolment.memory)
        trust = DerpTrust(enrolment.certificate, enrolment.certificate_key, enrolment.ca_pem)
        return DerpProcess(
            self._locate, settings, lambda: trust,
            lambda key: verify_node_key(enrolment.server_url, enrolment.ca_pem, key, ASK_TIMEOUT),
            self._say, self._clock, STOP_TIMEOUT, self._now)

    def _supervise(self, process: Union[RelayProcess, DerpProcess]) -> None:
        while True:
            self._staleness.seen()
            request = self._requests.take(0.5)
            if request is not None and request.name == STOP:
                self._say('Stopping …')
                return
            process.step()
            self._warn()

    def _warning(self) -> Optional[OverlayError]:
        """Return the warning about its certificate, if one is due."""
        return None if self._end is None else derp_certificate.warning(self._enrolment.name, self._end, self._now())

    def _warn(self) -> None:
        """Warn that its certificate expires soon; once a day, because the sentence counts the days."""
        warning = self._warning()
        if warning is not None and warning.sentence != self._warned:
            self._say(str(warning))
            self._warned = warning.sentence

    def _answer(self, operation: str) -> JsonObject:
        if operation != 'status' or self._process is None:
            raise OverlayError('The {} does not know the operation "{}".'.format(self._remote_host.kind, operation))
        report = dict(self._staleness.judge(self._process.report(),
                                            'The main thread of `{} run`'.format(self._remote_host.kind)),
                      name=self._enrolment.name, kind=self._remote_host.kind)
        warning = ' '.join(filter(None, (str(self._warning() or ''), self._process.log_problem)))
        if warning or self._end is not None:
            report['warning'] = warning
        return report


def status(remote_host: RemoteHost, timeout: float = 15) -> JsonObject:
    """Return the report of the running process of a remote host.

    :param timeout: seconds.
    :raises NotRunning: it is not running.
    """
    try:
        report: JsonObject = ask(remote_host.control_socket, 'status', timeout)
        return report
    except NotRunning:
        raise NotRunning('The {} in {} is not running.'.format(remote_host.kind, remote_host.directory),
                         remote_host.command('run'))
