"""The overlay node: brings this robot into its team's overlay and shows what happens there, in the local graph.

Every source has a thread that asks, all of them write into one queue, and one thread publishes. Decisions are made
below (tailscale, rosenv, membership); this module wires them to topics, services and parameters.
"""
import os
import queue
import threading
import time
from dataclasses import replace

import rospy

from ua_overlay import defaults, srv
from ua_overlay.checks.observe.server import endpoints_of, key_in_use
from ua_overlay.errors import OverlayError
from ua_overlay.membership import settings
from ua_overlay.membership.join import Join
from ua_overlay.membership.leave import leave
from ua_overlay.membership.outcome import Outcome, outcome_of
from ua_overlay.membership.settings import read_settings
from ua_overlay.nodes import diagnostics, interface, messages, team
from ua_overlay.nodes.sources import ServerProbe
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.keeper import EnvironmentKeeper
from ua_overlay.rosenv.master import MasterProbe
from ua_overlay.rosenv.mirror import TeamMirror
from ua_overlay.rosenv.names import NameChecker
from ua_overlay.rosenv.preferences import follow_map, preferences_of
from ua_overlay.rosenv.report import Report, RunnerReport
from ua_overlay.rosenv.roscore import TeamRoscore
from ua_overlay.rosenv.runner import TeamRunner, find_launch
from ua_overlay.system.files import write_atomic
from ua_overlay.system.leftovers import OWNER, Leftovers, owner_of
from ua_overlay.system.netmon import InterfaceWatcher
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.ping import ping_peer
from ua_overlay.tailscale.watcher import Watcher

#: Seconds between two /diagnostics; rqt_robot_monitor calls a status stale after 5 s.
DIAGNOSTICS_PERIOD = 2.0


class OverlayNode:
    """The local interface. Parameters are documented in launch/overlay.launch."""

    def __init__(self):
        self.socket = rospy.get_param('~socket', defaults.DAEMON_SOCKET)
        self.ca_file = rospy.get_param('~ca_file', defaults.CA_FILE)
        self.state_dir = rospy.get_param('~state_dir', defaults.STATE_DIR)
        self.heartbeat = rospy.get_param('~heartbeat', 10.0)
        self.preferred_master = rospy.get_param('~master', '')
        self.preferred_port = rospy.get_param('~team_port', 0)
        self.events = queue.Queue()
        self.membership = threading.Lock()
        self.interface_watcher = InterfaceWatcher(assume=True)
        self.snapshot = None
        self.server = ('UNKNOWN', '')
        self.server_since = 0.0
        self.server_url = ''
        self.report = Report()
        self.round_trips = {}
        self.published = {}
        self.stopping = False

        self.allow_remote = rospy.get_param('~allow_remote_control', False)
        self.topics = interface.advertise()
        self.mirror = interface.MirrorServer(self.handle_remote) if rospy.get_param('~team_face', True) else None

        self.daemon = None
        if rospy.get_param('~manage_daemon', False):
            from ua_overlay.tailscale.daemon import Daemon
            from ua_overlay.toolchain import locate
            self.daemon = Daemon(locate('tailscaled'), socket_path=self.socket, ca_file=self.ca_file,
                                 log_path=os.path.join(defaults.DAEMON_STATE_DIR, 'tailscaled.log'))
        self.watcher = Watcher(lambda: LocalApi(self.socket), lambda *seen: self.events.put(('snapshot', seen)))
        self.probe = ServerProbe(self.find_server_url, self.ca_file, lambda seen: self.events.put(('server', seen)),
                                 rospy.get_param('~server_period', 10.0), node_key=self.node_key,
                                 endpoints=lambda: endpoints_of(LocalApi(self.socket)))
        # What we start carries us in its environment, so that a successor finds it should we be killed.
        environ = dict(os.environ, **{OWNER: owner_of()})
        words, no_runner = (), RunnerReport()
        try:
            words = find_launch(rospy.get_param('~team_launch', ''), rospy.get_param('~config', defaults.ROBOT_FILE))
        except OverlayError as error:
            rospy.logerr(str(error))
            no_runner = RunnerReport('FAILED', str(error))
        self.keeper = EnvironmentKeeper(
            self.preferences, envfile.locate, NameChecker(), MasterProbe(),
            TeamRoscore(environ=environ) if rospy.get_param('~team_roscore', True) else None,
            lambda report: self.events.put(('environment', report)), time.time,
            TeamRunner(words, environ=environ) if words else None,
            TeamMirror(self.mirror.address, environ=environ) if self.mirror is not None else None, Leftovers(),
            no_runner=no_runner)

    # --- life ---

    def run(self):
        """Work until ROS shuts down; returns the exit status."""
        problem = self.keeper.remove_leftover()
        if problem:
            rospy.logwarn(problem)
        if self.daemon is not None:
            # What `robot prepare` makes where tailscaled is a service of the system.
            for directory in (defaults.RUN_DIR, self.state_dir):
                make_directory(directory)
            self.daemon.start()
        threads = [threading.Thread(target=target, name=name, daemon=True) for name, target in (
            ('server probe', self.probe.run), ('environment', self.keeper.run))]
        for thread in threads:
            thread.start()
        self.watcher.start()
        interface.serve(lambda name, request: getattr(self, 'handle_' + name)(request))
        rospy.on_shutdown(lambda: self.events.put(('stop', None)))
        invitation = rospy.get_param('~invitation', '')
        if invitation:
            threading.Thread(target=self.join_at_start, args=(invitation,), name='join', daemon=True).start()
        try:
            self.write()
        finally:
            self.watcher.stop()
            self.probe.stop()
            self.keeper.stop()
            for thread in threads:
                thread.join(15.0)
            # A join that is under way sees that the node ends, and puts back what it began.
            self.membership.acquire(timeout=5.0)
            if self.daemon is not None:
                self.daemon.stop()
        return 0

    def write(self):
        """The one writer: takes what the sources saw and publishes what changed."""
        next_heartbeat = next_diagnostics = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= next_heartbeat:
                next_heartbeat = now + self.heartbeat
                self.publish(force=True)
            if now >= next_diagnostics:
                next_diagnostics = now + DIAGNOSTICS_PERIOD
                self.publish_diagnostics()
            try:
                kind, value = self.events.get(timeout=max(0.0, min(next_heartbeat, next_diagnostics) - now))
            except queue.Empty:
                continue
            if kind == 'stop':
                return
            getattr(self, 'take_' + kind)(value)
            self.publish()

    # --- what the sources saw ---

    def take_snapshot(self, update):
        snapshot, changes = update
        self.snapshot = snapshot
        for change in changes.link_changes:
            self.send('link_events', messages.link_event(change, snapshot))
        if changes.self_node and snapshot.status.running:
            self.keep_settings(snapshot)
        if changes.daemon or changes.state or changes.self_node or changes.peers:
            self.keeper.offer(None if snapshot.daemon_error else snapshot.status)
            self.probe.poke()

    def take_server(self, seen):
        if seen[0] != self.server[0]:
            self.server_since = time.time()
            log = rospy.loginfo if seen[0] in ('OK', 'UNKNOWN') else rospy.logwarn
            log('server %s: %s%s', self.server_url or 'of the site', seen[0], ': ' + seen[1] if seen[1] else '')
        self.server = seen

    def take_environment(self, report):
        if (report.desired, report.why) != (self.report.desired, self.report.why):
            rospy.loginfo('ROS environment: %s', report.why)
        if report.runner != self.report.runner:
            rospy.loginfo('team runner: %s. %s', report.runner.state, report.runner.why)
        self.report = report

    # --- what goes out ---

    def publish(self, force=False):
        """Publish each latched topic whose content changed, or all of them."""
        if self.snapshot is None:
            return
        for name, message, key in (
                ('state', self.state_message(), None),
                ('peers', messages.peer_array(self.snapshot), None),
                ('links', messages.link_array(self.snapshot, self.round_trips), links_key),
                ('ros_environment', messages.ros_environment(self.report), None),
                ('team_runner', team.runner_message(self.report), None)):
            content = key(message) if key else without_stamp(message)
            if force or self.published.get(name) != content:
                self.published[name] = content
                self.send(name, message)

    def send(self, name, message):
        """Publish in the local graph and, through the mirror, in the team's."""
        self.topics[name].publish(message)
        if self.mirror is not None:
            self.mirror.publish(name, message)

    def state_message(self):
        removed = self.probe.latest.key_known is False and self.snapshot.status.running
        return messages.overlay_state(self.snapshot, removed, self.server_url, self.server, self.server_since)

    def publish_diagnostics(self):
        if self.snapshot is None:
            return
        now, server = time.time(), self.probe.latest
        checks = diagnostics.checks_of(diagnostics.facts_of(self.snapshot, server, self.report, now))
        for group, values in diagnostics.details(self.snapshot, server, self.report).items():
            checks[group][2].update(values)
        checks['runner'] = team.runner_check(self.report)
        self.send('diagnostics', diagnostics.diagnostic_array(
            self.snapshot.status.self_node.name or os.uname().nodename, checks, now))

    # --- services ---

    def join_at_start(self, path):
        outcome = self.change_membership(lambda: self.make_join()(path))
        (rospy.loginfo if outcome.ok else rospy.logerr)(outcome.message)

    def make_join(self):
        return Join(LocalApi(self.socket), self.ca_file, self.state_dir, cancelled=rospy.is_shutdown,
                    unstable=self.interface_watcher.wait_left, trust=None if self.daemon is None else self.trust)

    def trust(self, ca_pem):
        """Give the tailscaled of our own the CA of a site; it reads such a file once, so it is started anew.

        :raises OverlayError: it cannot be written, or the daemon does not come back.
        """
        make_directory(os.path.dirname(self.ca_file))
        try:
            write_atomic(self.ca_file, ca_pem)
        except OSError as error:
            raise OverlayError('The CA of the site cannot be written to {}: {}.'.format(self.ca_file, error.strerror),
                               'ls -ld {}'.format(os.path.dirname(self.ca_file)), code='NOT_PREPARED')
        self.daemon.restart()

    def change_membership(self, action):
        """Run join or leave, one at a time."""
        if not self.membership.acquire(False):
            return Outcome('BUSY', 'Another join or leave is under way. Next: rostopic echo -n 1 /ua_overlay/state')
        try:
            return action()
        finally:
            self.membership.release()

    def handle_join(self, request):
        outcome = self.change_membership(lambda: self.make_join()(request.invitation))
        rospy.loginfo('join: %s', outcome.message)
        return srv.JoinResponse(code=getattr(srv.JoinResponse, outcome.code, srv.JoinResponse.FAILED),
                                message=outcome.message, dns_name=outcome.dns_name, addresses=list(outcome.addresses))

    def handle_leave(self, request):
        outcome = self.change_membership(lambda: leave(LocalApi(self.socket), request.forget, self.state_dir))
        rospy.loginfo('leave: %s', outcome.message)
        return srv.LeaveResponse(code=getattr(srv.LeaveResponse, outcome.code, srv.LeaveResponse.FAILED),
                                 message=outcome.message)

    def handle_remote(self, name, request):
        """A call from the team graph: whoever is in it must not take this robot out of the team unless allowed."""
        if name != 'probe' and not self.allow_remote:
            return team.refusal(name, interface.SERVICES[name]._response_class, self.snapshot.status.self_node.name)
        return getattr(self, 'handle_' + name)(request)

    def handle_probe(self, request):
        answer = srv.ProbeResponse
        snapshot = self.snapshot
        if snapshot is None or not snapshot.status.running:
            return answer(code=answer.NOT_JOINED, message='This robot is not in the overlay. Next: ua-overlay status')
        target = request.peer.rstrip('.')
        peer = next((item for item in snapshot.status.peers
                     if target in (item.name, item.dns_name) or target in item.addresses), None)
        if peer is None or not peer.addresses:
            return answer(code=answer.UNKNOWN_PEER, message='There is no peer {}; known are: {}.'.format(
                target or "''", ', '.join(sorted(item.name for item in snapshot.status.peers)) or 'none'))
        try:
            ping = ping_peer(LocalApi(self.socket), peer.addresses[0], request.timeout or 5.0)
        except OverlayError as error:
            code = 'NO_ANSWER' if error.code == 'NO_ANSWER' else outcome_of(error).code
            return answer(code=getattr(answer, code, answer.FAILED), message=str(error))
        self.round_trips[peer.name] = (ping.type, ping.rtt)
        self.events.put(('probe', None))
        return answer(code=answer.OK, message='{} answers by {} in {:.1f} ms.'.format(
            peer.name, ping.type, ping.rtt * 1000), type=messages.LINK_TYPES[ping.type], rtt=ping.rtt,
            endpoint=ping.endpoint, relay=ping.relay)

    def take_probe(self, _):
        """A round trip was measured: the links are published with it because their content changed."""

    # --- what the decisions need ---

    def find_server_url(self):
        """The server of the network this robot is in, '' when it is in none."""
        snapshot = self.snapshot
        if snapshot is None or not snapshot.status.have_node_key:
            self.server_url = ''
        else:
            self.server_url = LocalApi(self.socket).prefs().get('ControlURL') or ''
        return self.server_url

    def node_key(self):
        """The public key that the server ought to know, '' when none is in use."""
        snapshot = self.snapshot
        return '' if snapshot is None else key_in_use(snapshot.status)

    def preferences(self):
        """What the network map says of the team wins over what was kept, and a launch argument over both."""
        snapshot = self.snapshot
        preferences = replace(preferences_of(read_settings(self.state_dir)), master=self.preferred_master)
        if snapshot is not None and snapshot.status.running:
            preferences = follow_map(preferences, snapshot.status.self_node)
        return replace(preferences, team_port=self.preferred_port) if self.preferred_port else preferences

    def keep_settings(self, snapshot):
        """Keep what the network map says of the team, for a start while the server is away."""
        kept = read_settings(self.state_dir)
        now = settings.follow(kept, snapshot.status.self_node)
        if now == kept:
            return
        rospy.loginfo('team %s: port %s, %s', now['team'], now.get('team_port'), now.get('addressing'))
        try:
            settings.write_settings(self.state_dir, now)
        except OSError as error:
            rospy.logwarn('The settings of the team cannot be kept in %s: %s', self.state_dir, error.strerror)


def make_directory(path):
    """:raises OverlayError: when it is not there and cannot be made: `manage_daemon` needs root."""
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise OverlayError('The directory {} cannot be made: {}.'.format(path, error.strerror),
                           'sudo mkdir -p {}'.format(path), code='NOT_PREPARED')


def without_stamp(message):
    """A message's content for comparison: everything but when it was seen."""
    return [getattr(message, name) for name in message.__slots__ if name != 'header']


def links_key(message):
    """What makes links worth publishing at once; byte counters go with the heartbeat."""
    return [(link.peer, link.type, link.endpoint, link.relay, link.rtt) for link in message.links]


def main():
    rospy.init_node('ua_overlay')
    try:
        return OverlayNode().run()
    except OverlayError as error:
        rospy.logfatal(str(error))
        return error.exit_status
