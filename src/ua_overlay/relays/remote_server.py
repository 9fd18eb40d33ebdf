"""`relay run` and `derp run`: one process on a further host of a site, in the foreground, minded until told to stop."""
import contextlib
import dataclasses
import fcntl
import os
import queue
import signal
import time

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.config import check_directory
from ua_overlay.headscale.derp_map import derper_command
from ua_overlay.relays import derp_certificate
from ua_overlay.relays import enrolment as bundles
from ua_overlay.relays.probe import Unreachable, look_at_derp_page
from ua_overlay.relays.relay import RelayNode, RelayPlace, daemon_command
from ua_overlay.relays.relay_keeper import RelayKeeper
from ua_overlay.system import control_socket as control
from ua_overlay.system import files
from ua_overlay.system.child import Child
from ua_overlay.system.restart import Minder

BUNDLE_FILE = 'outpost.yaml'
STOP_TIMEOUT = 5.0
#: A derper that does not answer itself for this long is started anew.
MUTE_AFTER = 30.0


class OutpostError(OverlayError):
    """A further host that cannot run."""

    code = 'OUTPOST'


class Outpost:
    """A directory (0700) with a bundle, and what runs from it.

    :param directory: absolute.
    :param kind: bundle.RELAY or bundle.DERP.
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

    def install(self, bundle):
        """Take ``bundle`` (Bundle) into the directory, made if missing; one that is there is replaced.

        :returns: whether one was there that says something else. A relay's key is nothing else: it is read when it is
            needed.
        :raises OutpostError: the directory belongs to another outpost or to something else.
        """
        check_directory(self.directory)
        old = None
        try:
            if os.path.isdir(self.directory) and os.listdir(self.directory) and not os.path.exists(
                    self.path(BUNDLE_FILE)):
                raise OutpostError('{} is not empty; a {} wants a directory of its own.'.format(
                    self.directory, self.kind), self.command('run --bundle FILE').replace(self.directory, 'OTHER'))
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            os.chmod(self.directory, 0o700)
            if os.path.exists(self.path(BUNDLE_FILE)):
                old = self.load()
                if (old.name, old.server_url) != (bundle.name, bundle.server_url):
                    raise OutpostError('{} holds the {} {} of {} already.'.format(
                        self.directory, self.kind, old.name, old.server_url), 'a directory of its own: --dir OTHER')
            for name in ('run', 'log', 'state'):
                os.makedirs(self.path(name), mode=0o700, exist_ok=True)
            files.write_secret(self.path(BUNDLE_FILE), bundles.dump(bundle))
        except OSError as error:
            raise OutpostError('{} cannot be written: {}.'.format(self.directory, error.strerror or error),
                               'another --dir, or sudo')
        return old is not None and dataclasses.replace(old, key='') != dataclasses.replace(bundle, key='')

    def load(self):
        """The Bundle in the directory. :raises BundleError: there is none, or it is damaged."""
        return bundles.read(self.path(BUNDLE_FILE), self.kind)

    @contextlib.contextmanager
    def held(self):
        """:raises OutpostError: another process runs it."""
        with open(self.path('run', 'server.lock'), 'a', encoding='ascii') as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutpostError('The {} in {} runs already.'.format(self.kind, self.directory),
                                   self.command('status'))
            yield


class BundleEnrolment:
    """The relay's key out of its bundle, once (see relay.SiteEnrolment)."""

    def __init__(self, outpost):
        self._outpost = outpost

    def key(self):
        key = self._outpost.load().key
        if not key:
            raise OutpostError('The relay in {} is not in the overlay and its key is used up.'.format(
                self._outpost.directory), 'ua-overlay relay create NAME --address IP --again, on the server')
        return key

    def done(self):
        """Forget the key: it is worth nothing any more."""
        bundle = self._outpost.load()
        files.write_secret(self._outpost.path(BUNDLE_FILE),
                           bundles.dump(bundles.Bundle(**dict(vars(bundle), key=''))))

    def failed(self):
        """Keep the key: the control server may not have been reached."""


class OutpostServer:
    """Runs an outpost.

    :param outpost: the Outpost, with a bundle in it.
    :param locate: function(program) -> path.
    :param say: function(str): one line for the person or the journal.
    :param started: function(): called once everything is started.
    :param now: function() -> Unix seconds.
    """

    def __init__(self, outpost, locate, say, clock=time.monotonic, started=lambda: None, now=time.time):
        self._outpost = outpost
        self._bundle = outpost.load()
        self._locate = locate
        self._say = say
        self._clock = clock
        self._started = started
        self._wishes = queue.SimpleQueue()
        self._keeper = None
        self._minder = None
        self._state = 'starting'
        self._heard = clock()
        self._now = now
        self._told = ''

    def run(self):
        """Stay until SIGTERM or SIGINT. Returns 0.

        :raises OverlayError: it runs already, or a program is missing.
        """
        with self._outpost.held():
            handlers = {number: signal.signal(number, lambda *_: self._wishes.put('stop'))
                        for number in (signal.SIGTERM, signal.SIGINT)}
            files.write_atomic(self._outpost.path('ca.pem'), self._bundle.ca_pem)
            start = self._start_relay if self._outpost.kind == bundles.RELAY else self._start_derp
            answers = None
            try:
                start()
                answers = control.ControlServer(self._outpost.control_socket, self._answer)
                self._started()
                self._mind()
            finally:
                if self._keeper is not None:
                    self._keeper.stop()
                if answers is not None:
                    answers.close()
                if self._minder is not None:
                    self._minder.child.stop(STOP_TIMEOUT)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            self._say('Stopped.')
            return 0

    def _start_relay(self):
        bundle, outpost = self._bundle, self._outpost
        place = RelayPlace(outpost.path('state'), outpost.path('run', 'tailscaled.sock'), outpost.path('ca.pem'),
                           bundle.server_url, 'relay-' + bundle.name, bundle.port, (bundle.address,))
        argv, environment = daemon_command(self._locate('tailscaled'), place)
        child = Child('relay', argv, outpost.path('log', 'relay.log'), environment)
        self._keeper = RelayKeeper(RelayNode(self._locate('tailscale'), place, BundleEnrolment(outpost)),
                                   lambda: child.pid if child.running() else None,
                                   lambda: self._wishes.put('restart'), self._say)
        self._minder = Minder(child, on_start=self._keeper.wake)
        self._minder.start(self._clock())
        self._keeper.start()

    def _start_derp(self):
        bundle, outpost = self._bundle, self._outpost
        files.write_atomic(outpost.path('state', bundle.host_name + '.crt'), bundle.certificate)
        files.write_secret(outpost.path('state', bundle.host_name + '.key'), bundle.certificate_key)
        files.write_atomic(outpost.path('state', 'ca.pem'), bundle.ca_pem)
        argv, environment = derper_command(self._locate('derper'), outpost.path('state'), bundle.host_name,
                                           bundle.port, bundle.stun_port, bundle.server_url)
        self._minder = Minder(Child('derper', argv, outpost.path('log', 'derper.log'), environment))
        self._minder.start(self._clock())

    def _mind(self):
        look_at = self._clock()
        while True:
            try:
                wish = self._wishes.get(timeout=0.5)
            except queue.Empty:
                wish = None
            now = self._clock()
            if wish == 'stop':
                self._say('Stopping …')
                return
            if wish == 'restart':
                self._minder.child.stop(STOP_TIMEOUT)
                self._minder.start(now)
            sentence = self._minder.step(now)
            if sentence:
                self._say(sentence)
            if self._outpost.kind == bundles.DERP and now >= look_at:
                look_at = now + (10.0 if self._state == 'up' else 1.0)
                self._look_at_derp(now)
                self._warn()

    def _look_at_derp(self, now):
        try:
            look_at_derp_page('127.0.0.1', self._bundle.port, self._bundle.host_name,
                              {'ca_pem': self._bundle.ca_pem}, 3)
            state, self._heard = 'up', now
        except Unreachable as error:
            state = str(error)
        if state == 'up' and self._state != 'up':
            self._say('DERP {} answers (TCP {}, STUN on UDP {}).'.format(
                self._bundle.name, self._bundle.port, self._bundle.stun_port))
        elif state != 'up' and now - self._heard > MUTE_AFTER and self._minder.child.running():
            self._say('derper is mute ({}); it starts again.'.format(state))
            self._heard = now
            self._wishes.put('restart')
        self._state = state

    def _warning(self):
        """What is to be said of its certificate, an OverlayError or None."""
        if self._outpost.kind != bundles.DERP:
            return None
        return derp_certificate.warning(self._bundle.name, derp_certificate.end_of(self._bundle.certificate),
                                        self._now())

    def _warn(self):
        """Say once a day that it ends soon."""
        found = self._warning()
        if found is not None and found.sentence != self._told:
            self._say(str(found))
            self._told = found.sentence

    def _answer(self, operation):
        if operation != 'status':
            raise OverlayError('The {} does not know the operation "{}".'.format(self._outpost.kind, operation))
        report = self._keeper.report() if self._keeper else {
            'state': self._state, 'ok': self._state == 'up',
            'certificate_until': derp_certificate.when(derp_certificate.end_of(self._bundle.certificate)),
            'warning': str(self._warning() or '')}
        return dict(report, name=self._bundle.name, kind=self._outpost.kind, pid=self._minder.child.pid,
                    restarts=self._minder.restarts)


def status(outpost, timeout=15):
    """What the running outpost says of itself, as a dict.

    :raises NotRunning: it does not run.
    """
    try:
        return control.ask(outpost.control_socket, 'status', timeout)
    except control.NotRunning:
        raise control.NotRunning('The {} in {} is not running.'.format(outpost.kind, outpost.directory),
                                 outpost.command('run'))
