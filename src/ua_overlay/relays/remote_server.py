"""`relay run` and `derp run`: one process on a remote host of a site, in the foreground, until told to stop."""
import contextlib
import dataclasses
import fcntl
import os
import queue
import signal
import time

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.derp_map import derper_command
from ua_overlay.headscale.site_settings import check_directory
from ua_overlay.relays import derp_certificate
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.probe import Unreachable, probe_derp_page
from ua_overlay.relays.relay import RelayNode, RelaySettings, daemon_command
from ua_overlay.relays.relay_keeper import RelayKeeper
from ua_overlay.system import files
from ua_overlay.system.child import Child
from ua_overlay.system.control_socket import ControlServer, NotRunning, ask
from ua_overlay.system.restart import Restarter

ENROLMENT_FILE = 'enrolment.yaml'
STOP_TIMEOUT = 5.0
#: A derper that does not answer itself for this long is started anew.
MUTE_AFTER = 30.0


class RemoteHostError(OverlayError):
    """A remote host that cannot run."""

    code = 'REMOTE_HOST'


class RemoteHost:
    """A directory (0700) with an enrolment, and what runs from it.

    :param directory: absolute.
    :param kind: enrolment.RELAY or enrolment.DERP.
    """

    def __init__(self, directory, kind):
        self.directory = directory
        self.kind = kind

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    @property
    def control_socket(self):
        return self.path('run', 'control.sock')

    def command(self, text):
        return 'ua-overlay {} {} --dir {}'.format(self.kind, text, self.directory)

    def install(self, enrolment):
        """Take ``enrolment`` (Enrolment) into the directory, made if missing; one that is there is replaced.

        :returns: whether one was there that says something else. A relay's key is nothing else: it is read when it is
            needed.
        :raises RemoteHostError: the directory belongs to another remote host or to something else.
        """
        check_directory(self.directory)
        old = None
        try:
            if os.path.isdir(self.directory) and os.listdir(self.directory) and not os.path.exists(
                    self.path(ENROLMENT_FILE)):
                raise RemoteHostError('{} is not empty; a {} wants a directory of its own.'.format(
                    self.directory, self.kind), self.command('run --enrolment FILE').replace(self.directory, 'OTHER'))
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            os.chmod(self.directory, 0o700)
            if os.path.exists(self.path(ENROLMENT_FILE)):
                old = self.load()
                if (old.name, old.server_url) != (enrolment.name, enrolment.server_url):
                    raise RemoteHostError('{} holds the {} {} of {} already.'.format(
                        self.directory, self.kind, old.name, old.server_url), 'a directory of its own: --dir OTHER')
            for name in ('run', 'log', 'state'):
                os.makedirs(self.path(name), mode=0o700, exist_ok=True)
            files.write_secret(self.path(ENROLMENT_FILE), enrolments.dump(enrolment))
        except OSError as error:
            raise RemoteHostError('{} cannot be written: {}.'.format(self.directory, error.strerror or error),
                                  'another --dir, or sudo')
        return old is not None and dataclasses.replace(old, key='') != dataclasses.replace(enrolment, key='')

    def load(self):
        """The Enrolment in the directory. :raises EnrolmentError: there is none, or it is damaged."""
        return enrolments.read(self.path(ENROLMENT_FILE), self.kind)

    @contextlib.contextmanager
    def held(self):
        """:raises RemoteHostError: another process runs it."""
        with open(self.path('run', 'server.lock'), 'a', encoding='ascii') as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RemoteHostError('The {} in {} runs already.'.format(self.kind, self.directory),
                                      self.command('status'))
            yield


class EnrolmentKeySource:
    """The relay's key out of its enrolment, once (see relay.SiteKeySource)."""

    def __init__(self, remote_host):
        self._remote_host = remote_host

    def key(self):
        key = self._remote_host.load().key
        if not key:
            raise RemoteHostError('The relay in {} is not in the overlay and its key is used up.'.format(
                self._remote_host.directory), 'ua-overlay relay create NAME --address IP --again, on the server')
        return key

    def done(self):
        """Forget the key: it is worth nothing any more."""
        enrolment = self._remote_host.load()
        files.write_secret(self._remote_host.path(ENROLMENT_FILE),
                           enrolments.dump(enrolments.Enrolment(**dict(vars(enrolment), key=''))))

    def failed(self):
        """Keep the key: the control server may not have been reached."""


class RemoteServer:
    """Runs a remote host.

    :param remote_host: the RemoteHost, with an enrolment in it.
    :param locate: function(program) -> path.
    :param say: function(str): one line for the person or the journal.
    :param started: function(): called once everything is started.
    :param now: function() -> Unix seconds.
    """

    def __init__(self, remote_host, locate, say, clock=time.monotonic, started=lambda: None, now=time.time):
        self._remote_host = remote_host
        self._enrolment = remote_host.load()
        self._locate = locate
        self._say = say
        self._clock = clock
        self._started = started
        self._requests = queue.SimpleQueue()
        self._keeper = None
        self._restarter = None
        self._state = 'starting'
        self._heard = clock()
        self._now = now
        self._warned = ''

    def run(self):
        """Stay until SIGTERM or SIGINT. Returns 0.

        :raises OverlayError: it runs already, or a program is missing.
        """
        with self._remote_host.held():
            handlers = {number: signal.signal(number, lambda *_: self._requests.put('stop'))
                        for number in (signal.SIGTERM, signal.SIGINT)}
            files.write_atomic(self._remote_host.path('ca.pem'), self._enrolment.ca_pem)
            start = self._start_relay if self._remote_host.kind == enrolments.RELAY else self._start_derp
            answers = None
            try:
                start()
                answers = ControlServer(self._remote_host.control_socket, self._answer)
                self._started()
                self._supervise()
            finally:
                if self._keeper is not None:
                    self._keeper.stop()
                if answers is not None:
                    answers.close()
                if self._restarter is not None:
                    self._restarter.child.stop(STOP_TIMEOUT)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            self._say('Stopped.')
            return 0

    def _start_relay(self):
        enrolment, remote_host = self._enrolment, self._remote_host
        relay_settings = RelaySettings(
            remote_host.path('state'), remote_host.path('run', 'tailscaled.sock'), remote_host.path('ca.pem'),
            enrolment.server_url, 'relay-' + enrolment.name, enrolment.port, (enrolment.address,))
        argv, environment = daemon_command(self._locate('tailscaled'), relay_settings)
        child = Child('relay', argv, remote_host.path('log', 'relay.log'), environment)
        node = RelayNode(self._locate('tailscale'), relay_settings, EnrolmentKeySource(remote_host))
        self._keeper = RelayKeeper(node, lambda: child.pid if child.running() else None,
                                   lambda: self._requests.put('restart'), self._say)
        self._restarter = Restarter(child, on_start=self._keeper.wake)
        self._restarter.start(self._clock())
        self._keeper.start()

    def _start_derp(self):
        enrolment, remote_host = self._enrolment, self._remote_host
        files.write_atomic(remote_host.path('state', enrolment.host_name + '.crt'), enrolment.certificate)
        files.write_secret(remote_host.path('state', enrolment.host_name + '.key'), enrolment.certificate_key)
        files.write_atomic(remote_host.path('state', 'ca.pem'), enrolment.ca_pem)
        argv, environment = derper_command(self._locate('derper'), remote_host.path('state'), enrolment.host_name,
                                           enrolment.port, enrolment.stun_port, enrolment.server_url)
        self._restarter = Restarter(Child('derper', argv, remote_host.path('log', 'derper.log'), environment))
        self._restarter.start(self._clock())

    def _supervise(self):
        next_probe = self._clock()
        while True:
            try:
                request = self._requests.get(timeout=0.5)
            except queue.Empty:
                request = None
            now = self._clock()
            if request == 'stop':
                self._say('Stopping …')
                return
            if request == 'restart':
                self._restarter.child.stop(STOP_TIMEOUT)
                self._restarter.start(now)
            sentence = self._restarter.step(now)
            if sentence:
                self._say(sentence)
            if self._remote_host.kind == enrolments.DERP and now >= next_probe:
                next_probe = now + (10.0 if self._state == 'up' else 1.0)
                self._probe_derp(now)
                self._warn()

    def _probe_derp(self, now):
        try:
            probe_derp_page('127.0.0.1', self._enrolment.port, self._enrolment.host_name,
                            {'ca_pem': self._enrolment.ca_pem}, 3)
            state, self._heard = 'up', now
        except Unreachable as error:
            state = str(error)
        if state == 'up' and self._state != 'up':
            self._say('DERP {} answers (TCP {}, STUN on UDP {}).'.format(
                self._enrolment.name, self._enrolment.port, self._enrolment.stun_port))
        elif state != 'up' and now - self._heard > MUTE_AFTER and self._restarter.child.running():
            self._say('derper is mute ({}); it starts again.'.format(state))
            self._heard = now
            self._requests.put('restart')
        self._state = state

    def _warning(self):
        """What is to be said of its certificate, an OverlayError or None."""
        if self._remote_host.kind != enrolments.DERP:
            return None
        return derp_certificate.warning(self._enrolment.name, derp_certificate.end_of(self._enrolment.certificate),
                                        self._now())

    def _warn(self):
        """Say once a day that it ends soon."""
        found = self._warning()
        if found is not None and found.sentence != self._warned:
            self._say(str(found))
            self._warned = found.sentence

    def _answer(self, operation):
        if operation != 'status':
            raise OverlayError('The {} does not know the operation "{}".'.format(self._remote_host.kind, operation))
        report = self._keeper.report() if self._keeper else {
            'state': self._state, 'ok': self._state == 'up',
            'certificate_until': derp_certificate.when(derp_certificate.end_of(self._enrolment.certificate)),
            'warning': str(self._warning() or '')}
        return dict(report, name=self._enrolment.name, kind=self._remote_host.kind, pid=self._restarter.child.pid,
                    restarts=self._restarter.restarts)


def status(remote_host, timeout=15):
    """What the running remote host says of itself, as a dict.

    :raises NotRunning: it does not run.
    """
    try:
        return ask(remote_host.control_socket, 'status', timeout)
    except NotRunning:
        raise NotRunning('The {} in {} is not running.'.format(remote_host.kind, remote_host.directory),
                         remote_host.command('run'))
