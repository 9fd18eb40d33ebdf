"""`relay run` and `derp run`: one process on a remote host of a site, in the foreground, until a signal stops it."""
import signal
import time
from typing import Callable, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.derp_map import derper_command
from ua_overlay.protocols import Clock, JsonObject, Locate, Say, WallClock
from ua_overlay.relays import derp_certificate
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.admission import Admission
from ua_overlay.relays.admission_keeper import AdmissionKeeper
from ua_overlay.relays.probe import Unreachable, probe_derp_page
from ua_overlay.relays.relay import RelayNode, RelaySettings, daemon_command
from ua_overlay.relays.relay_keeper import RelayKeeper
from ua_overlay.relays.remote_host import EnrolmentKeySource, RemoteHost
from ua_overlay.system import files, ownership
from ua_overlay.system.child import Child
from ua_overlay.system.control_socket import ControlServer, NotRunning, ask
from ua_overlay.system.requests import Requests
from ua_overlay.system.restart import Restarter
from ua_overlay.system.staleness import Staleness
from ua_overlay.trust.verify import verify_node_key

#: Seconds within which a child must exit.
STOP_TIMEOUT = 5.0
#: Seconds for a question to Headscale about a client; derper waits 5 s.
ASK_TIMEOUT = 2.0
#: Seconds without an answer after which a derper is restarted.
MUTE_AFTER = 30.0
#: Seconds without a look at the child after which the main thread hangs.
SILENT_AFTER = 120.0

#: Requests to the main thread.
STOP, RESTART = 'stop', 'restart'


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
        self._keeper: Optional[RelayKeeper] = None
        self._admission: Optional[AdmissionKeeper] = None
        self._restarter: Optional[Restarter[Child]] = None
        self._state = 'starting'
        self._staleness = Staleness(SILENT_AFTER, clock)
        #: When the derper last answered.
        self._answered = clock()
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
                if self._remote_host.kind == enrolments.RELAY:
                    self._start_relay()
                else:
                    self._start_derp()
                control_server = ControlServer(self._remote_host.control_socket, self._answer)
                self._started()
                self._supervise()
            finally:
                if self._keeper is not None:
                    self._keeper.stop()
                if control_server is not None:
                    control_server.close()
                if self._restarter is not None:
                    self._restarter.child.stop(STOP_TIMEOUT)
                if self._admission is not None:
                    self._admission.stop()
            self._say('Stopped.')
            return 0

    def _start_relay(self) -> None:
        enrolment, remote_host = self._enrolment, self._remote_host
        relay_settings = RelaySettings(
            remote_host.path('state'), remote_host.path('run', 'tailscaled.sock'), remote_host.path('ca.pem'),
            enrolment.server_url, 'relay-' + enrolment.name, enrolment.port, (enrolment.address,))
        argv, environment = daemon_command(self._locate('tailscaled'), relay_settings)
        child = Child('relay', argv, remote_host.path('log', 'relay.log'), environment)
        node = RelayNode(self._locate('tailscale'), relay_settings, EnrolmentKeySource(remote_host))
        self._keeper = RelayKeeper(node, lambda: child.pid if child.running() else None, self._ask_restart, self._say)
        self._restarter = Restarter(child, on_start=self._keeper.wake)
        self._restarter.start(self._clock())
        self._keeper.start()

    def _start_derp(self) -> None:
        enrolment, remote_host = self._enrolment, self._remote_host
        files.write_changed(remote_host.path('state', enrolment.host_name + '.crt'), enrolment.certificate)
        files.write_changed(remote_host.path('state', enrolment.host_name + '.key'), enrolment.certificate_key, 0o600)
        files.write_changed(remote_host.path('state', 'ca.pem'), enrolment.ca_pem)
        self._admission = AdmissionKeeper(
            Admission(lambda key: verify_node_key(enrolment.server_url, enrolment.ca_pem, key, ASK_TIMEOUT),
                      self._clock, enrolment.memory),
            remote_host.path('state', 'admitted.json'), self._say, self._ask_restart, self._now)
        argv, environment = derper_command(self._locate('derper'), remote_host.path('state'), enrolment.host_name,
                                           enrolment.port, enrolment.stun_port, self._admission.start())
        self._restarter = Restarter(Child('derper', argv, remote_host.path('log', 'derper.log'), environment))
        self._restarter.start(self._clock())

    def _ask_restart(self) -> None:
        self._requests.add(RESTART)

    def _supervise(self) -> None:
        assert self._restarter is not None
        next_probe = self._clock()
        while True:
            self._staleness.seen()
            request = self._requests.take(0.5)
            now = self._clock()
            if request is not None and request.name == STOP:
                self._say('Stopping …')
                return
            if request is not None and request.name == RESTART:
                self._restarter.child.stop(STOP_TIMEOUT)
                self._restarter.start(now)
            sentence = self._restarter.step(now)
            if sentence:
                self._say(sentence)
            if self._remote_host.kind == enrolments.DERP and now >= next_probe:
                next_probe = now + (10.0 if self._state == 'up' else 1.0)
                self._probe_derp(now, self._restarter.child.running())
                self._warn()

    def _probe_derp(self, now: float, running: bool) -> None:
        """Probe the derper; request a restart if it is ``running`` but has not answered for too long."""
        try:
            probe_derp_page('127.0.0.1', self._enrolment.port, self._enrolment.host_name,
                            {'ca_pem': self._enrolment.ca_pem}, 3)
            state, self._answered = 'up', now
        except Unreachable as error:
            state = str(error)
        if state == 'up' and self._state != 'up':
            self._say('DERP {} answers (TCP {}, STUN on UDP {}).'.format(
                self._enrolment.name, self._enrolment.port, self._enrolment.stun_port))
        elif state != 'up' and now - self._answered > MUTE_AFTER and running:
            self._say('derper does not answer ({}); it restarts.'.format(state))
            self._answered = now
            self._ask_restart()
        self._state = state

    def _warning(self) -> Optional[OverlayError]:
        """Return the warning about its certificate, if one is due."""
        if self._remote_host.kind != enrolments.DERP:
            return None
        return derp_certificate.warning(self._enrolment.name, derp_certificate.end_of(self._enrolment.certificate),
                                        self._now())

    def _warn(self) -> None:
        """Warn that its certificate expires soon; once a day, because the sentence counts the days."""
        warning = self._warning()
        if warning is not None and warning.sentence != self._warned:
            self._say(str(warning))
            self._warned = warning.sentence

    def _answer(self, operation: str) -> JsonObject:
        if operation != 'status' or self._restarter is None:
            raise OverlayError('The {} does not know the operation "{}".'.format(self._remote_host.kind, operation))
        report = self._keeper.report() if self._keeper else {
            'state': self._state, 'ok': self._state == 'up',
            'certificate_until': derp_certificate.format_end(derp_certificate.end_of(self._enrolment.certificate)),
            'remembered': self._admission.remembered() if self._admission else 0,
            'warning': str(self._warning() or '')}
        hangs = self._staleness.sentence('The main thread of `{} run`'.format(self._remote_host.kind))
        if hangs:
            report = dict(report, ok=False, state='unknown: ' + hangs)
        if self._restarter.child.log_problem:
            report = dict(report, warning=' '.join(filter(None, (
                report.get('warning'), self._restarter.child.log_problem))))
        return dict(report, name=self._enrolment.name, kind=self._remote_host.kind, pid=self._restarter.child.pid,
                    restarts=self._restarter.restarts)


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
