"""`server run`: Headscale and the site's peer relay, in the foreground, supervised until told to stop."""
import dataclasses
import queue
import signal
import threading
import time

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import access
from ua_overlay.headscale.rest import RestClient, RestError
from ua_overlay.headscale.sessions import SessionWatcher
from ua_overlay.relays.derp_watcher import DerpWatcher
from ua_overlay.relays.relay import RelayNode, SiteKeySource, daemon_command, settings_of_site
from ua_overlay.relays.relay_keeper import RelayKeeper
from ua_overlay.server.ports import ServerError, check_ports
from ua_overlay.site import last_good
from ua_overlay.site.invitation_log import InvitationLog
from ua_overlay.site.policy_applier import PolicyApplier
from ua_overlay.system import control_socket
from ua_overlay.system.child import Child
from ua_overlay.system.restart import Restarter

#: Headscale waits up to 45 s for its clients' connections on SIGTERM; its SQLite journal survives a kill.
STOP_TIMEOUT = 5.0
#: Headscale builds its database at the first start.
HEALTH_TIMEOUT = 30.0
#: How often the certificate is looked at.
RENEW_PERIOD = 12 * 3600.0
#: How often it is looked at who has joined and left: a question of 50 ms (Headscale checks the API key by bcrypt).
POLICY_PERIOD = 10.0


class _Restart:
    """A request for a restart, and its answer."""

    def __init__(self):
        self._done = threading.Event()
        self._healthy = False

    def finish(self, healthy):
        self._healthy = healthy
        self._done.set()

    def wait(self, timeout):
        return self._done.wait(timeout) and self._healthy


class SiteServer:
    """The processes of one site.

    :param site: the Site.
    :param locate: function(program) -> path.
    :param renew: function() -> bool: renews the server's certificate when it is time, says whether it did.
    :param now: function() -> aware UTC datetime.
    :param say: function(str): one line for the person or the journal.
    :param guard: upgrade.UpgradeGuard, asked before Headscale starts.
    :param started: function(): called once everything is started and Headscale answers.
    """

    def __init__(self, site, locate, renew, now, say, guard, stop_timeout=STOP_TIMEOUT, clock=time.monotonic,
                 started=lambda: None):
        self._site = site
        self._locate = locate
        self._renew = renew
        self._now = now
        self._say = say
        self._guard = guard
        self._stop_timeout = stop_timeout
        self._clock = clock
        self._started = started
        self._requests = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._policy = PolicyApplier(site, self._connect, lambda: self._headscale.child,
                                     remember=self._remember_rules)
        self._policy_text = 'starting'
        self._invitation_log = InvitationLog(site.invitation_log_file, now)
        self._sessions = SessionWatcher(clock)
        self._headscale = None
        self._relay = None
        self._keeper = None
        self._derp = DerpWatcher(site, say)

    # ---- the main thread

    def run(self):
        """Bring everything up and stay until SIGTERM or SIGINT; SIGHUP puts site.yaml's rules in force. Returns 0.

        :raises OverlayError: the site runs already, a port is taken, Headscale does not come up.
        """
        with self._site.held():
            handlers = {number: signal.signal(number, self._on_signal)
                        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
            control_server = None
            try:
                self._prepare()
                self._start_headscale()
                self._remember()
                control_server = control_socket.ControlServer(self._site.control_socket, self._answer)
                self._start_relay()
                self._derp.start()
                threading.Thread(target=self._keep_policy, daemon=True, name='policy').start()
                self._started()
                self._supervise()
            finally:
                self._stopping.set()
                for watcher in (self._keeper, self._derp):
                    if watcher is not None:
                        watcher.stop()
                if control_server is not None:
                    control_server.close()
                # The relay last: a link over it goes to DERP 6.5 s after its end, and at a restart the next Headscale
                # should be there by then.
                for restarter in (self._headscale, self._relay):
                    if restarter is not None:
                        restarter.child.stop(self._stop_timeout)
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            self._say('Stopped.')
            return 0

    def _on_signal(self, number, _frame):
        self._requests.put('reload' if number == signal.SIGHUP else 'stop')

    def _prepare(self):
        check_ports(self._site.settings)
        self._guard.before_start()
        self._renew_certificate()
        self._site.write_generated()
        self._derp.prepare()

    def _renew_certificate(self):
        """Renew when it is time and say so. A server that cannot (a CA kept elsewhere, a full disk) goes on with what
        it has, for weeks yet.

        :returns: whether there is a new one.
        """
        try:
            renewed = self._renew()
        except (OverlayError, OSError) as error:
            self._say('The certificate of {} was not renewed: {}'.format(self._site.settings.name, error))
            return False
        if renewed:
            self._say('The certificate of {} was renewed.'.format(self._site.settings.name))
        return renewed

    def _start_headscale(self):
        child = Child('headscale', [self._locate('headscale'), '--config', self._site.config_file, 'serve'],
                      self._site.path('log', 'headscale.log'), aside=self._sessions.take)
        self._headscale = Restarter(child, on_start=self._headscale_started)
        begin = self._clock()
        self._headscale.start(begin)
        self._wait_for_health(child)
        settings = self._site.settings
        self._say('Headscale answers after {:.1f} s: {} (TCP {}, STUN on UDP {}).'.format(
            self._clock() - begin, settings.url, settings.port, settings.stun_port))
        self._guard.after_start()
        # Made now, so that the commands that follow need nothing but the REST interface.
        self._connect()

    def _remember(self):
        """Keep what is in force, for a start with a site.yaml that makes no sense."""
        try:
            last_good.save(self._site)
        except OSError as error:
            self._say('{} was not written: {}.'.format(last_good.LAST_GOOD_FILE, error.strerror or error))

    def _remember_rules(self, rules):
        self._site.rules = rules
        self._remember()

    def _headscale_started(self):
        self._sessions.clear()
        self._policy.started()

    def _wait_for_health(self, child):
        client = RestClient(self._site.settings.name, self._site.settings.port, self._site.ca_file, timeout=2)
        log = self._site.path('log', 'headscale.log')
        deadline = self._clock() + HEALTH_TIMEOUT
        while True:
            try:
                if client.health():
                    return
                reason = 'its database does not work'
            except RestError as error:
                reason = error.sentence
            if not child.running():
                last = child.last_lines(1)
                raise ServerError('headscale ended at its start: {}'.format(last[0] if last else 'without a word.'),
                                  'less {}'.format(log))
            if self._clock() > deadline:
                raise ServerError('headscale is not healthy after {:.0f} s: {}'.format(HEALTH_TIMEOUT, reason),
                                  'less {}'.format(log))
            if self._next_request(0.1) == 'stop':
                raise ServerError('Stopped before headscale was up.', self._site.command('server run'))

    def _next_request(self, timeout):
        try:
            return self._requests.get(timeout=timeout)
        except queue.Empty:
            return None

    def _start_relay(self):
        relay_settings = settings_of_site(self._site)
        argv, environment = daemon_command(self._locate('tailscaled'), relay_settings)
        child = Child('relay', argv, self._site.path('log', 'relay.log'), environment)
        node = RelayNode(self._locate('tailscale'), relay_settings, SiteKeySource(self._connect, self._now))
        self._keeper = RelayKeeper(node, lambda: child.pid if child.running() else None,
                                   lambda: self._requests.put('relay'), self._say)
        self._relay = Restarter(child, on_start=self._keeper.wake)
        self._relay.start(self._clock())
        self._keeper.start()

    def _connect(self):
        return access.connect(self._site, lambda: self._locate('headscale'))

    def _supervise(self):
        renew_at = self._clock() + RENEW_PERIOD
        while True:
            request = self._next_request(0.5)
            if request == 'stop':
                self._say('Stopping …')
                return
            if isinstance(request, _Restart):
                request.finish(self._restart_headscale())
            if request == 'reload':
                self._reload_by_signal()
            if request == 'relay':
                self._relay.child.stop(self._stop_timeout)
                self._relay.start(self._clock())
            now = self._clock()
            for restarter in (self._headscale, self._relay):
                sentence = restarter.step(now)
                if sentence:
                    self._say(sentence)
            if now >= renew_at:
                renew_at = now + RENEW_PERIOD
                if self._renew_certificate():
                    self._restart_headscale()

    def _restart_headscale(self):
        """Headscale reads its certificate only when it starts; links between robots go on meanwhile.

        :returns: whether it is healthy again.
        """
        try:
            self._guard.before_start()
        except OverlayError as error:
            self._say('Headscale goes on as it is: {}'.format(error))
            return False
        self._say('Headscale starts again …')
        self._headscale.child.stop(self._stop_timeout)
        self._headscale.start(self._clock())
        try:
            self._wait_for_health(self._headscale.child)
        except ServerError as error:
            self._say(str(error))
            return False
        self._guard.after_start()
        self._say('Headscale answers.')
        return True

    def _reload_by_signal(self):
        try:
            site, _ = self._policy.apply()
        except OverlayError as error:
            self._say('The policy stays as it was: {}'.format(error))
        else:
            self._say('The policy was reloaded: {} team(s).'.format(len(site.teams)))

    # ---- other threads

    def _keep_policy(self):
        """Whenever a robot has joined or gone, test the policy again and write down what invitation was used; say what
        is wrong once."""
        while not self._stopping.wait(1.0 if self._policy_text == 'starting' else POLICY_PERIOD):
            try:
                self._invitation_log.note_used(self._policy.refresh())
                text = 'in force'
            except (OverlayError, OSError) as error:
                text = getattr(error, 'sentence', str(error))
                if text != self._policy_text and self._headscale.child.running():
                    self._say('The policy: {}'.format(text))
            self._policy_text = text

    def _answer(self, operation):
        if operation == 'ping':
            return {'ok': True}
        if operation == 'reload':
            return {'ok': True, 'changed': self._policy.apply()[1]}
        if operation == 'reconfigure':
            return {'ok': True, 'restarted': self._reconfigure()}
        if operation == 'restart relay':
            self._requests.put('relay')
            return {'ok': True}
        if operation == 'restart':
            # Children are started by the main thread alone (see Child), so it is asked and waited for.
            return {'ok': self._ask_restart()}
        if operation == 'status':
            return {'headscale': {'pid': self._headscale.child.pid, 'running': self._headscale.child.running(),
                                  'restarts': self._headscale.restarts, 'sessions': self._sessions.report()},
                    'relay': dict(self._keeper.report() if self._keeper else {'state': 'starting'},
                                  pid=self._relay.child.pid if self._relay else None,
                                  restarts=self._relay.restarts if self._relay else 0),
                    'derp': self._derp.report(), 'derp_ends': self._derp.ends(), 'policy': {'state': self._policy_text}}
        raise OverlayError('The server does not know the operation "{}".'.format(operation))

    def _ask_restart(self):
        request = _Restart()
        self._requests.put(request)
        return request.wait(HEALTH_TIMEOUT + 2 * self._stop_timeout)

    def _reconfigure(self):
        """Take site.yaml's remote relays and regions. Headscale starts again when its own configuration changed.

        :returns: whether it did.
        """
        fresh = type(self._site).load(self._site.directory).settings
        self._site.settings = dataclasses.replace(self._site.settings, relays=fresh.relays, derp=fresh.derp)
        self._remember()
        self._derp.step()
        if not self._site.write_config():
            return False
        if not self._ask_restart():
            raise ServerError('headscale does not answer after its restart.',
                              'less {}'.format(self._site.path('log', 'headscale.log')))
        return True
