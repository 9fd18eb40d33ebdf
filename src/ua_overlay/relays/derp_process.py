"""The process of a DERP region: derper with its certificate, and the admission beside it."""
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.derp_map import derper_command
from ua_overlay.protocols import Clock, JsonObject, Locate, Say, WallClock
from ua_overlay.relays import derp_certificate
from ua_overlay.relays.admission import Admission, AskServer
from ua_overlay.relays.admission_keeper import AdmissionKeeper
from ua_overlay.relays.probe import Unreachable, probe_derp_page
from ua_overlay.system import files
from ua_overlay.system.child import Child
from ua_overlay.system.daemon_child import DaemonChild

#: Seconds without an answer after which a derper is restarted.
MUTE_AFTER = 30.0
#: Seconds within which a derper usually answers after its start.
START = 3.0
#: Seconds between two looks at a derper that answers, and at one that does not.
PERIOD, SOON = 10.0, 1.0


@dataclass(frozen=True)
class DerpTrust:
    """The certificate of a derper.

    :param chain: PEM of the full chain.
    :param key: PEM (a secret).
    :param ca_pem: PEM of the certificates that derper itself and the probe trust.
    """

    chain: str
    key: str = field(repr=False)
    ca_pem: str


@dataclass(frozen=True)
class DerpSettings:
    """What a derper needs beside its certificate.

    :param name: of the region, for people.
    :param directory: of its certificate, its keys and the memory of its admission.
    :param log_file: path.
    :param host_name: the name in the certificate.
    :param port: TCP port.
    :param stun_port: UDP port.
    :param memory: seconds for which the admission remembers whom Headscale confirmed.
    """

    name: str
    directory: str
    log_file: str
    host_name: str
    port: int
    stun_port: int
    memory: int

    def path(self, name: str) -> str:
        """Return the path of a file in the directory."""
        return '{}/{}'.format(self.directory, name)


class DerpProcess:
    """Runs a derper. Only the main thread may start, step and stop it.

    :param locate: finds derper.
    :param trust: returns the certificate to use; asked again and again, and a new one restarts derper, which reads it
        only at its start. Raises OverlayError while there is none.
    :param ask: asks Headscale about a node key.
    :param say: prints one line.
    :param stop_timeout: seconds within which derper must exit.
    """

    def __init__(self, locate: Locate, settings: DerpSettings, trust: Callable[[], DerpTrust], ask: AskServer, say: Say,
                 clock: Clock, stop_timeout: float, now: WallClock = time.time) -> None:
        self._derper = locate('derper')
        self._settings = settings
        self._trust = trust
        self._say = say
        self._clock = clock
        self._stop_timeout = stop_timeout
        self._admission = AdmissionKeeper(Admission(ask, clock, settings.memory), settings.path('admitted.json'), say,
                                          self.ask_restart, now)
        self._daemon: Optional[DaemonChild] = None
        #: The certificate in use.
        self._used: Optional[DerpTrust] = None
        self._state = 'starting'
        #: When derper last answered, and when to look again.
        self._answered = self._next = clock()
        #: Why the certificate cannot be read, as last said.
        self._problem = ''

    @property
    def log_problem(self) -> str:
        """Why lines of its log are being dropped, as a sentence; '' while they are written."""
        return '' if self._daemon is None else self._daemon.log_problem

    def start(self) -> None:
        """Start the admission and derper.

        :raises OSError: derper cannot be started, or its files cannot be written.
        :raises OverlayError: there is no certificate.
        """
        self._use(self._trust())
        settings = self._settings
        argv, environment = derper_command(self._derper, settings.directory, settings.host_name, settings.port,
                                           settings.stun_port, self._admission.start())
        self._daemon = DaemonChild(Child('derper', argv, settings.log_file, environment), self._say, self._clock,
                                   self._stop_timeout)
        self._daemon.start()

    def wait(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until derper answers, for at most ``seconds``."""
        deadline = self._clock() + seconds
        while self._daemon is not None and self._state != 'up' and self._clock() < deadline:
            sleep(0.05)
            self._probe(self._clock(), self._daemon)

    def ask_restart(self) -> None:
        """Have the next :meth:`step` restart derper. Any thread may ask."""
        if self._daemon is not None:
            self._daemon.ask_restart()

    def step(self) -> None:
        """Restart derper if that is due: it ended, does not answer, or has a new certificate."""
        if self._daemon is None:
            return
        self._daemon.step()
        now = self._clock()
        if now < self._next:
            return
        if self._changed():
            self._say('The certificate of DERP {} is a new one; derper restarts with it.'.format(self._settings.name))
            self._daemon.restart()
        self._probe(now, self._daemon)
        self._next = now + (PERIOD if self._state == 'up' else SOON)

    def stop(self) -> None:
        """Stop derper and the admission."""
        if self._daemon is not None:
            self._daemon.stop()
        self._admission.stop()

    def report(self) -> JsonObject:
        """Return the values that a status shows."""
        return dict({'pid': None, 'restarts': 0} if self._daemon is None else self._daemon.report(),
                    state=self._state, ok=self._state == 'up', remembered=self._admission.remembered(),
                    certificate_until=self._used and derp_certificate.format_end(
                        derp_certificate.end_of(self._used.chain)))

    def _use(self, trust: DerpTrust) -> None:
        # Only if they differ: a full disk must not keep a DERP from starting.
        path, host_name = self._settings.path, self._settings.host_name
        files.write_changed(path(host_name + '.crt'), trust.chain)
        files.write_changed(path(host_name + '.key'), trust.key, 0o600)
        files.write_changed(path('ca.pem'), trust.ca_pem)
        self._used = trust

    def _changed(self) -> bool:
        """Write a new certificate; return whether there is one."""
        try:
            trust = self._trust()
            if trust == self._used:
                self._problem = ''
                return False
            self._use(trust)
        except (OverlayError, OSError) as error:
            problem = getattr(error, 'sentence', None) or str(error)
            if problem != self._problem:
                self._say('DERP {} keeps its certificate: {}'.format(self._settings.name, problem))
            self._problem = problem
            return False
        return True

    def _probe(self, now: float, daemon: DaemonChild) -> None:
        """Ask derper for an answer; restart it if it runs but has not answered for too long."""
        settings = self._settings
        ca_pem = self._used.ca_pem if self._used else ''
        try:
            probe_derp_page('127.0.0.1', settings.port, settings.host_name, {'ca_pem': ca_pem}, 3)
            state, self._answered = 'up', now
        except Unreachable as error:
            state = str(error)
        if state == 'up' and self._state != 'up':
            self._say('DERP {} answers (TCP {}, STUN on UDP {}).'.format(
                settings.name, settings.port, settings.stun_port))
        elif state != 'up' and now - self._answered > MUTE_AFTER and daemon.pid is not None:
            self._say('derper does not answer ({}); it restarts.'.format(state))
            self._answered = now
            daemon.ask_restart()
        self._state = state
