"""`server run`: Headscale, and the site's peer relay unless that runs apart, in the foreground, until a signal."""
import collections
import contextlib
import dataclasses
import signal
import threading
import time
from typing import Callable, Deque, List, Optional, Protocol, Union

from ua_overlay.advice import command as command_line
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import access
from ua_overlay.headscale.api import HeadscaleApi
from ua_overlay.headscale.rest import RestClient, RestError
from ua_overlay.headscale.rules import Rules
from ua_overlay.headscale.sessions import SessionWatcher
from ua_overlay.protocols import Clock, JsonObject, Locate, Say, UtcClock
from ua_overlay.relays.derp_watcher import DerpWatcher
from ua_overlay.server import disk, reserve
from ua_overlay.server.apart_relays import ApartRelays
from ua_overlay.server.own_relays import OwnRelays
from ua_overlay.server.ports import StartError, check_ports, control_ports, relay_ports
from ua_overlay.site import last_good
from ua_overlay.site.invitation_log import InvitationLog
from ua_overlay.site.lost_invitations import LostInvitations
from ua_overlay.site.policy_applier import IN_FORCE, STARTING, PolicyApplier
from ua_overlay.site.site import RelayRuns, Site
from ua_overlay.system import control_socket, file_system, ownership
from ua_overlay.system.child import Child
from ua_overlay.system.requests import Request, Requests
from ua_overlay.system.restart import Restarter
from ua_overlay.system.staleness import Staleness
from ua_overlay.system.thread import SupervisedThread

#: On SIGTERM, Headscale waits up to 45 s for its clients' connections. Its SQLite journal survives SIGKILL.
STOP_TIMEOUT = 5.0
#: Allows for the first start, at which Headscale creates its database.
HEALTH_TIMEOUT = 30.0
#: Seconds between two checks of the certificate.
RENEW_PERIOD = 12 * 3600.0
#: Seconds between two queries for robots that have joined or left. Each takes 50 ms (Headscale checks the API key with
#: bcrypt).
POLICY_PERIOD = 10.0
#: The same while the rules in force are not known.
UNKNOWN_PERIOD = 1.0

#: Seconds without a look at the processes after which the main thread hangs. A restart of Headscale takes 40.
SILENT_AFTER = 120.0

#: Seconds between two tries to keep room for the next start.
RESERVE_PERIOD = 600.0

#: What may hang, and what a person types then.
MAIN_THREAD = 'The main thread of the server'
RESTART_SERVER = 'sudo systemctl restart ' + control_socket.SERVICE

#: Requests to the main thread.
STOP, RELOAD_POLICY, RESTART_HEADSCALE = 'stop', 'reload policy', 'restart headscale'


class StartGuard(Protocol):
    """Decides before each start of Headscale whether it is allowed; site.upgrade.UpgradeGuard implements it."""

    def before_start(self) -> str:
        """Prepare a start.

        :raises OverlayError: Headscale must not start.
        """
        ...

    def after_start(self) -> None:
        """Note that Headscale is healthy."""
        ...


class SiteServer:
    """The processes of one site.

    :param locate: finds headscale, tailscale, tailscaled and derper.
    :param renew: renews the server's certificate if that is due; returns whether it did.
    :param say: prints one line to the terminal or the journal.
    :param stop_timeout: seconds within which a child must exit.
    :param started: called once everything is started and Headscale answers.
    :param relay: whether to run the relay, unless `server relay run` does so already.
    """

    def __init__(self, site: Site, locate: Locate, renew: Callable[[], bool], now: UtcClock, say: Say,
                 guard: StartGuard, stop_timeout: float = STOP_TIMEOUT, clock: Clock = time.monotonic,
                 started: Callable[[], None] = lambda: None, relay: bool = True) -> None:
        self._site = site
        self._locate = locate
        self._renew = renew
        self._now = now
        self._say = say
        self._guard = guard
        self._stop_timeout = stop_timeout
        self._clock = clock
        self._started = started
        self._relay = relay
        self._staleness: Optional[Staleness] = None
        #: Why the certificate was not renewed when that was due; None if it was.
        self._renewal_problem: Optional[OverlayError] = None
        self._requests = Requests()
        self._stopping = threading.Event()
        self._sessions = SessionWatcher(clock)
        self._policy = PolicyApplier(site, self._connect, self._headscale_child,
                                     remember=self._remember_rules)
        #: The last problem of the policy thread, which has been reported; '' for none.
        self._policy_problem = ''
        self._policy_thread = SupervisedThread('policy', self._keep_policy, self._policy_failed)
        #: The last reload after a SIGHUP.
        self._reload: Optional[SupervisedThread] = None
        #: Requests that arrived while the main thread waited for Headscale; it handles them next.
        self._deferred: Deque[Request] = collections.deque()
        self._invitation_log = InvitationLog(site.invitation_log_file, now)
        self._lost_invitations = LostInvitations(self._invitation_log, self._connect, now,
                                                 lambda text: site.command(text))
        self._headscale: Optional[Restarter[Child]] = None
        self._relays: Union[OwnRelays, ApartRelays] = ApartRelays(site)
        self._derp = DerpWatcher(site, say)

    # ---- the main thread

    def run(self) -> int:
        """Start everything and run until SIGTERM or SIGINT; return 0. SIGHUP applies the rules of site.yaml.

        :raises OverlayError: the site is running already, a port is taken, or Headscale does not start.
        :raises ownership.Unsafe: another user could put another site in its place.
        """
        ownership.check(self._site.directory, 'The site {}'.format(self._site.directory))
        signals = {signal.SIGTERM: STOP, signal.SIGINT: STOP, signal.SIGHUP: RELOAD_POLICY}
        with self._site.held(), contextlib.ExitStack() as stack, self._requests.from_signals(signals):
            control_server = None
            try:
                self._site.sweep()
                own = self._hold_relay(stack)
                check_ports(control_ports(self._site.settings) + (relay_ports(self._site.settings) if own else []))
                if own:
                    self._relays = OwnRelays(self._site, self._locate, self._connect, self._now, self._say,
                                             self._clock, self._stop_timeout)
                self._prepare()
                self._start_headscale()
                self._remember()
                control_server = control_socket.ControlServer(self._site.control_socket, self._answer)
                self._relays.start_relay()
                self._derp.start()
                self._policy_thread.start()
                self._started()
                self._supervise()
            finally:
                self._stopping.set()
                self._policy_thread.stop()
                self._relays.retire()
                self._derp.stop()
                if control_server is not None:
                    control_server.close()
                # Stop the relay last: links over it move to DERP 6.5 s later, and after a restart of the server the
                # next Headscale should be up by then.
                if self._headscale is not None:
                    self._headscale.child.stop(self._stop_timeout)
                self._relays.stop()
            self._say('Stopped.')
            return 0

    def _hold_relay(self, stack: contextlib.ExitStack) -> bool:
        """Return whether this process runs the relay; hold its lock until ``stack`` ends if so."""
        if not self._relay:
            return False
        try:
            stack.enter_context(self._site.relay_held())
        except RelayRuns:
            self._say('The relay runs in a process of its own.')
            return False
        return True

    def _prepare(self) -> None:
        self._guard.before_start()
        self._renew_certificate()
        self._write_generated()
        self._relays.start_derp()
        self._derp.prepare()
        if reserve.release(self._site):
            self._say('The disk of {} is full; the server starts with the room that it has kept.'.format(
                self._site.directory))

    def _write_generated(self) -> None:
        """Write Headscale's files; on a full disk, go on with those that are there if they say the same.

        :raises StartError: they cannot be written, and say something else.
        """
        try:
            self._site.write_generated()
        except OSError as error:
            file_system.named(error, self._site.directory)
            sentence = '{} cannot be written: {}.'.format(error.filename, error.strerror)
            if not self._site.is_generated():
                raise StartError(sentence, file_system.next_command(error, self._site.command('server status')))
            self._say(sentence + ' The server starts with the present file, which says the same.')

    def _renew_certificate(self) -> bool:
        """Renew the certificate if that is due, and report it; return whether there is a new one.

        A server that cannot renew it (its CA is kept elsewhere, or the disk is full) continues with the old one, which
        is valid for weeks.
        """
        try:
            renewed = self._renew()
        except (OverlayError, OSError) as error:
            known = file_system.as_error(error, 'the certificate') if isinstance(error, OSError) else error
            self._renewal_problem = OverlayError('The certificate of {} was not renewed: {}'.format(
                self._site.settings.name, known.sentence), known.next_command)
            self._say(str(self._renewal_problem))
            return False
        self._renewal_problem = None
        if renewed:
            self._say('The certificate of {} was renewed.'.format(self._site.settings.name))
        return renewed

    def _start_headscale(self) -> None:
        child = Child('headscale', [self._locate('headscale'), '--config', self._site.config_file, 'serve'],
                      self._site.path('log', 'headscale.log'), ignore=self._sessions.take)
        self._headscale = Restarter(child, on_start=self._headscale_started)
        begin = self._clock()
        self._headscale.start(begin)
        self._wait_for_health()
        settings = self._site.settings
        self._say('Headscale answers after {:.1f} s: {} (TCP {}, STUN on UDP {}).'.format(
            self._clock() - begin, settings.url, settings.port, settings.stun_port))
        self._guard.after_start()
        # Try the API key now, and create another if Headscale refuses it: later commands need only the REST interface.
        self._connect().nodes()

    def _headscale_child(self) -> Child:
        """Return Headscale's process, which exists before any thread that calls this."""
        assert self._headscale is not None
        return self._headscale.child

    def _remember(self) -> None:
        """Save the settings and rules in force, for a start with an invalid site.yaml."""
        try:
            last_good.save(self._site)
        except OSError as error:
            self._say('{} was not written: {}.'.format(last_good.LAST_GOOD_FILE, error.strerror or error))

    def _remember_rules(self, rules: Rules) -> None:
        self._site.rules = rules
        settings = self._site.settings
        if rules.memory != settings.admission_seconds:
            self._site.settings = dataclasses.replace(settings, admission_memory='{}s'.format(rules.memory))
        self._remember()

    def _headscale_started(self) -> None:
        self._sessions.clear()
        self._policy.started()

    def _wait_for_health(self) -> None:
        child = self._headscale_child()
        client = RestClient(self._site.settings.name, self._site.settings.port, self._site.ca_file, timeout=2)
        read_log = 'less {}'.format(self._site.path('log', 'headscale.log'))
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
                full = disk.problems(self._site)
                raise StartError('headscale ended at its start: {}{}'.format(
                    last[0] if last else 'it wrote nothing.', ' ' + full[0].sentence if full else ''),
                    full[0].next_command if full else read_log)
            if self._clock() > deadline:
                raise StartError('headscale is not healthy after {:.0f} s: {}'.format(HEALTH_TIMEOUT, reason),
                                 read_log)
            request = self._requests.take(0.1)
            if request is None:
                continue
            # Whatever was asked for meanwhile is done afterwards: a SIGHUP, for instance, after an edit of the rules.
            if request.name == STOP:
                self._deferred.appendleft(request)
                raise StartError('Stopped before headscale was up.', self._site.command('server run'))
            self._deferred.append(request)

    def _connect(self) -> HeadscaleApi:
        return access.connect(self._site, lambda: self._locate('headscale'))

    def _supervise(self) -> None:
        renew_at = self._clock() + RENEW_PERIOD
        reserve_at = 0.0
        staleness = self._staleness = Staleness(SILENT_AFTER)
        while True:
            staleness.seen()
            request = self._deferred.popleft() if self._deferred else self._requests.take(0.5)
            if request is not None and request.name == STOP:
                self._say('Stopping …')
                return
            if request is not None:
                self._do(request)
            now = self._clock()
            if now >= reserve_at:
                reserve_at = now + RESERVE_PERIOD
                reserve.keep(self._site)
            self._relays.step()
            sentence = None if self._headscale is None else self._headscale.step(now)
            if sentence:
                self._say(sentence)
                # It has ended, perhaps because its disk is full, and starts again in a second or more.
                reserve.release(self._site)
            if now >= renew_at:
                renew_at = now + RENEW_PERIOD
                if self._renew_certificate():
                    self._restart_headscale()

    def _do(self, request: Request) -> None:
        if request.name == RESTART_HEADSCALE:
            request.finish(self._restart_headscale())
        elif request.name == RELOAD_POLICY:
            # In a thread of its own: a Headscale that does not answer takes its time, and this one restarts it.
            self._reload = SupervisedThread('policy reload', self._reload_by_signal, self._policy_failed,
                                            restart=False).start()

    def _restart_headscale(self) -> bool:
        """Restart Headscale, which reads its certificate only when it starts; links between robots stay up meanwhile.

        :returns: whether it is healthy again.
        """
        assert self._headscale is not None
        try:
            self._guard.before_start()
        except OverlayError as error:
            self._say('Headscale keeps running without a restart: {}'.format(error))
            return False
        self._say('Headscale restarts …')
        self._headscale.child.stop(self._stop_timeout)
        self._headscale.start(self._clock())
        try:
            self._wait_for_health()
        except StartError as error:
            self._say(str(error))
            return False
        self._guard.after_start()
        self._say('Headscale answers.')
        return True

    def _reload_by_signal(self) -> None:
        try:
            site, _ = self._policy.apply()
        except OverlayError as error:
            self._say('The policy of site.yaml was not applied: {}'.format(error))
        else:
            self._say('The policy was reloaded: {} team(s).'.format(len(site.teams)))

    # ---- other threads

    def _keep_policy(self) -> None:
        """Whenever a robot has joined or left, test the policy again and log which invitation was used.

        Report each problem once.
        """
        while not self._stopping.wait(POLICY_PERIOD if self._policy.state.kind == IN_FORCE else UNKNOWN_PERIOD):
            try:
                self._invitation_log.note_used(self._policy.refresh())
                revoked = self._lost_invitations.step()
                if revoked:
                    self._say('Invitations that were never handed out are revoked: {}.'.format(', '.join(revoked)))
                self._policy_problem = ''
            except (OverlayError, OSError) as error:
                self._note_policy(getattr(error, 'sentence', str(error)))

    def _note_policy(self, problem: str) -> None:
        if problem != self._policy_problem and self._headscale_child().running():
            self._say('The policy: {}'.format(problem))
        self._policy_problem = problem

    def _policy_failed(self, sentence: str) -> None:
        """Say that nobody asks Headscale any more which rules it enforces, until the thread runs again."""
        self._policy.lost(sentence)
        self._note_policy(sentence)

    def _policy_report(self) -> JsonObject:
        state = self._policy.state
        text = state.kind if state.kind == STARTING else state.sentence or self._policy_problem or state.kind
        return {'state': text, 'kind': state.kind}

    def _answer(self, operation: str) -> JsonObject:
        if operation == 'ping':
            return {'ok': True}
        if operation == 'reload':
            return {'ok': True, 'changed': self._policy.apply()[1]}
        if operation == 'reconfigure':
            return {'ok': True, 'restarted': self._reconfigure()}
        if operation == 'restart relay':
            self._relays.restart_relay()
            return {'ok': True}
        if operation == 'restart':
            return {'ok': self._ask_restart()}
        if operation == 'status':
            return self._status()
        raise OverlayError('The server does not know the operation "{}".'.format(operation))

    def _problems(self) -> List[JsonObject]:
        """Return what is wrong with this server itself, beside its processes."""
        hangs = '' if self._staleness is None else self._staleness.sentence(MAIN_THREAD)
        found = []
        if hangs:
            found.append(OverlayError(hangs + ' No process of the site is started again when it ends.', RESTART_SERVER))
        found += [self._renewal_problem] if self._renewal_problem is not None else []
        return [{'sentence': each.sentence, 'next': each.next_command} for each in found]

    def _status(self) -> JsonObject:
        headscale = self._headscale_child()
        relays = self._relays.report()
        derp = relays['own_derp']
        if derp is not None and not relays['relay']['apart'] and self._staleness is not None:
            derp = self._staleness.judge(derp, MAIN_THREAD)
        return {'headscale': {'pid': headscale.pid, 'running': headscale.running(),
                              'restarts': self._headscale.restarts if self._headscale else 0,
                              'sessions': self._sessions.report()},
                'relay': relays['relay'], 'own_derp': derp,
                'derp': self._derp.report(), 'derp_ends': self._derp.ends(), 'policy': self._policy_report(),
                'problems': self._problems(),
                'log_problems': [problem for problem in (headscale.log_problem, *relays['log_problems']) if problem]}

    def _ask_restart(self) -> bool:
        """Request a restart of Headscale and wait; return whether it is healthy again.

        Only the main thread may start children (see Child).
        """
        return self._requests.add(RESTART_HEADSCALE).wait(HEALTH_TIMEOUT + 2 * self._stop_timeout)

    def _reconfigure(self) -> bool:
        """Apply the remote relays and regions of site.yaml; restart Headscale if its configuration changed.

        :returns: whether it was restarted.
        """
        fresh = type(self._site).load(self._site.directory).settings
        self._site.settings = dataclasses.replace(self._site.settings, relays=fresh.relays, derp=fresh.derp)
        self._remember()
        self._derp.step()
        if not self._site.write_config():
            return False
        if not self._ask_restart():
            raise StartError('headscale does not answer after its restart.',
                             command_line('less {}', self._site.path('log', 'headscale.log')))
        return True
