"""The overlay node: brings this robot into its team's overlay and publishes its state in the local graph.

Every source has a thread that observes it; all of them write into one queue, and one thread publishes. The rooms below
(tailscale, rosenv, membership) decide; this module connects them to topics, services and parameters.
"""
import os
import queue
import sys
import threading
import time
import traceback
from dataclasses import replace
from functools import partial
from typing import AbstractSet, Any, Callable, Dict, Optional, Tuple

import rospy

from ua_overlay import defaults
from ua_overlay.checks.observe.server import endpoints_of, key_in_use
from ua_overlay.errors import OverlayError
from ua_overlay.membership import settings
from ua_overlay.nodes import arguments, diagnostics, interface, messages, state
from ua_overlay.nodes.registration import Registration
from ua_overlay.nodes.server_probe import OK, UNKNOWN, ServerProbe, ServerView
from ua_overlay.nodes.services import Services, make_directory
from ua_overlay.nodes.state import NodeState
from ua_overlay.nodes.team_clock import TeamClock
from ua_overlay.nodes.watchdog import Watchdog
from ua_overlay.protocols import Environ
from ua_overlay.rosenv import envfile, hosted
from ua_overlay.rosenv.environment import RosEnvironment
from ua_overlay.rosenv.keeper import EnvironmentKeeper
from ua_overlay.rosenv.master import MasterProbe
from ua_overlay.rosenv.mirror_process import TeamMirror
from ua_overlay.rosenv.names import NameChecker
from ua_overlay.rosenv.preferences import Preferences, follow_map, preferences_of
from ua_overlay.rosenv.report import FAILED, NO_RUNNER, Report, RunnerReport
from ua_overlay.rosenv.roscore import TeamRoscore
from ua_overlay.rosenv.runner import TeamRunner, Words, find_launch
from ua_overlay.system.leftovers import OWNER, Leftovers, owner_of
from ua_overlay.system.thread import OnFailure, SupervisedThread
from ua_overlay.tags import memory_of
from ua_overlay.tailscale import link_log, map_stamp
from ua_overlay.tailscale.daemon import Daemon
from ua_overlay.tailscale.link_history import LinkHistory, LinkRecord
from ua_overlay.tailscale.link_log import LinkLog
from ua_overlay.tailscale.links import classify_ping
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import PingResult, Status, parse_prefs
from ua_overlay.tailscale.path_keeper import Intervention, PathKeeper
from ua_overlay.tailscale.ping import PingSummary
from ua_overlay.tailscale.snapshot import Changes, Snapshot
from ua_overlay.tailscale.watcher import Watcher

#: Seconds between two /diagnostics; rqt_robot_monitor calls a status stale after 5 s.
DIAGNOSTICS_PERIOD = 2.0
#: The observers, by the name of their thread -> seconds without a report after which one hangs. Each step of theirs has
#: a deadline of a few seconds; the probe's period comes on top.
_TAILSCALED, _SERVER, _ENVIRONMENT = 'tailscale-status', 'server probe', 'environment'
_SILENT_AFTER = {_TAILSCALED: 30.0, _SERVER: 60.0, _ENVIRONMENT: 60.0}
#: Seconds within which a thread, and a running join, must end when the node ends.
_THREAD_PATIENCE, _JOIN_PATIENCE = 15.0, 5.0


class OverlayNode:
    """The local interface. Its parameters are documented in launch/overlay.launch."""

    def __init__(self) -> None:
        self._ca_file: str = rospy.get_param('~ca_file', defaults.CA_FILE)
        self._state_dir: str = rospy.get_param('~state_dir', defaults.STATE_DIR)
        self._socket: str = rospy.get_param('~socket', defaults.DAEMON_SOCKET)
        self._heartbeat: float = rospy.get_param('~heartbeat', 10.0)
        self._master: str = rospy.get_param('~master', '')
        self._team_port: int = rospy.get_param('~team_port', 0)
        #: Functions for the thread that publishes; None ends it.
        self._events: 'queue.Queue[Optional[Callable[[], AbstractSet[str]]]]' = queue.Queue()
        self._links_kept = True
        self._map_renewed = float('-inf')
        #: The state of the team that this robot remembers; '' while the server is there.
        self._memory = ''
        self._state = NodeState(self._read_history())
        self._state.stamp = map_stamp.read(self._state_dir)
        self._daemon = self._make_daemon()
        self._services = Services(self._connect, self._ca_file, self._state_dir, lambda: self._state.snapshot,
                                  self._on_probe, self._daemon, rospy.get_param('~allow_remote_control', False))
        self._topics = interface.advertise()
        self._mirror: Optional[interface.MirrorServer] = None
        if rospy.get_param('~team_face', True):
            self._mirror = interface.MirrorServer(self._services.handle_remote)
        self._paths = PathKeeper(self._connect, self._on_intervention, self._on_measurement,
                                 rospy.get_param('~heal_links', True), rospy.logerr)
        self._watcher = Watcher(self._connect, self._on_snapshot, on_status=self._paths.offer,
                                on_unexplained=self._paths.note_unexplained)
        server_period: float = rospy.get_param('~server_period', 10.0)
        self._clock = TeamClock(self._find_team)
        self._probe = ServerProbe(
            self._find_server_url, self._ca_file, self._on_server, server_period,
            node_key=self._node_key, endpoints=lambda: endpoints_of(self._connect()))
        self._keeper = self._make_keeper()
        #: Name of an observer -> makes unknown what it observed; takes the reason.
        self._forget: Dict[str, OnFailure] = {
            _TAILSCALED: self._watcher.lose_sight, _SERVER: self._forget_server,
            _ENVIRONMENT: self._forget_environment}
        self._watchdog = Watchdog(dict(_SILENT_AFTER, **{_SERVER: _SILENT_AFTER[_SERVER] + server_period}),
                                  time.monotonic())

    def _connect(self) -> LocalApi:
        return LocalApi(self._socket)

    def _make_daemon(self) -> Optional[Daemon]:
        """Return the tailscaled that this node runs itself, or None."""
        if not rospy.get_param('~manage_daemon', False):
            return None
        from ua_overlay.toolchain import locate
        return Daemon(locate('tailscaled'), socket_path=self._socket, ca_file=self._ca_file,
                      log_path=os.path.join(defaults.DAEMON_STATE_DIR, 'tailscaled.log'),
                      before_start=lambda: map_stamp.remove_expired(
                          self._state_dir, defaults.DAEMON_STATE_DIR, time.time()))

    def _make_keeper(self) -> EnvironmentKeeper:
        # Our children carry our id in their environment, so that a successor finds them if we are killed.
        environ = dict(arguments.without(os.environ), **{OWNER: owner_of()})
        words: Tuple[str, ...] = ()
        no_runner = NO_RUNNER
        try:
            words = find_launch(rospy.get_param('~team_launch', ''), rospy.get_param('~config', defaults.ROBOT_FILE))
        except OverlayError as error:
            rospy.logerr(str(error))
            no_runner = RunnerReport(FAILED, str(error))
        return EnvironmentKeeper(
            self._preferences, envfile.locate, NameChecker(), MasterProbe(),
            TeamRoscore(environ=environ) if rospy.get_param('~team_roscore', True) else None,
            self._on_report, time.time,
            self._make_runner(words, environ) if words else None,
            None if self._mirror is None else TeamMirror(self._mirror.address, environ=environ), Leftovers(),
            no_runner=no_runner)

    @staticmethod
    def _make_runner(words: Words, environ: Environ) -> TeamRunner:
        """Return the team runner; the boot service has another unit for the team's nodes, outside its sandbox."""
        host = os.environ.get(hosted.SOCKET)
        if not host:
            return TeamRunner(words, environ=environ)
        return TeamRunner(words, environ=environ, popen=hosted.popen_in(host))

    # --- life ---

    def run(self) -> int:
        """Run until ROS shuts down; return the exit status."""
        problem = self._keeper.remove_leftover()
        if problem:
            rospy.logwarn(problem)
        if self._daemon is not None:
            # `robot prepare` creates these if tailscaled is a system service.
            for directory in (defaults.RUN_DIR, self._state_dir):
                make_directory(directory)
            self._daemon.start()
        probe = SupervisedThread(_SERVER, self._probe.run, self._forget[_SERVER]).start()
        keeper = SupervisedThread(_ENVIRONMENT, self._keeper.run, self._forget[_ENVIRONMENT]).start()
        SupervisedThread('team clock', self._clock.run, self._clock.fail).start()
        self._paths.start()
        self._watcher.start()
        interface.serve(self._services.handle)
        ended = threading.Event()
        SupervisedThread('registration', partial(Registration().run, ended), rospy.logerr).start()
        rospy.on_shutdown(lambda: self._events.put(None))
        invitation = rospy.get_param('~invitation', '')
        if invitation:
            SupervisedThread('join', lambda: self._join_at_start(invitation), rospy.logerr, restart=False).start()
        try:
            self._publish_events()
        finally:
            ended.set()
            self._watcher.stop()
            self._paths.stop()
            self._clock.stop()
            self._probe.stop()
            self._keeper.stop()
            for thread in (probe, keeper):
                thread.stop()
            probe.join(_THREAD_PATIENCE)
            if keeper.join(_THREAD_PATIENCE):
                self._keeper.shut_down()  # for a thread that ended between a failure and its next try
            # A running join notices that the node ends, and undoes its changes.
            self._services.wait(_JOIN_PATIENCE)
            if self._daemon is not None:
                self._daemon.stop()
        return 0

    def _join_at_start(self, path: str) -> None:
        outcome = self._services.join(path)
        (rospy.loginfo if outcome.ok else rospy.logerr)(outcome.message)

    def _publish_events(self) -> None:
        """Publish the topics that change with each observation; the only thread that publishes."""
        next_heartbeat = next_diagnostics = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= next_heartbeat:
                next_heartbeat = now + self._heartbeat
                self._publish(state.LATCHED)
                self._keep_links(lambda directory: link_log.write_round_trips(directory, self._state.round_trips))
                self._renew_map(now)
            if now >= next_diagnostics:
                next_diagnostics = now + DIAGNOSTICS_PERIOD
                self._notice_hangs(now)
                self._notice_memory(time.time())
                self._publish_diagnostics()
            try:
                event = self._events.get(timeout=max(0.0, min(next_heartbeat, next_diagnostics) - now))
            except queue.Empty:
                continue
            if event is None:
                return
            self._publish(event())

    # --- observations: called in the threads of the sources, processed in the publisher's ---

    def _on_snapshot(self, snapshot: Snapshot, changes: Changes) -> None:
        self._watchdog.hear(_TAILSCALED, time.monotonic())
        self._events.put(lambda: self._take_snapshot(snapshot, changes))

    def _on_server(self, view: ServerView) -> None:
        self._watchdog.hear(_SERVER, time.monotonic())
        self._events.put(lambda: self._take_server(view))

    def _on_report(self, report: Report) -> None:
        self._watchdog.hear(_ENVIRONMENT, time.monotonic())
        self._events.put(lambda: self._take_report(report))

    def _on_probe(self, peer: str, ping: PingSummary) -> None:
        self._events.put(lambda: self._state.take_round_trip(peer, ping.type, ping.rtt))

    def _on_intervention(self, intervention: Intervention) -> None:
        self._events.put(lambda: self._take_intervention(intervention))

    def _on_measurement(self, peer: str, answer: PingResult) -> None:
        self._events.put(lambda: self._state.take_measurement(peer, classify_ping(answer), answer.latency))

    # --- an observer that failed, or hangs ---

    def _notice_hangs(self, now: float) -> None:
        """Make unknown what a thread feeds that has been silent for too long; the log says where it hangs."""
        for silence in self._watchdog.check(now):
            rospy.logerr('%s It hangs here:\n%s', silence.sentence(), stack_of(silence.name))
            self._forget[silence.name](silence.sentence())

    def _forget_server(self, sentence: str) -> None:
        rospy.logerr(sentence)
        self._probe.fail(sentence)

    def _forget_environment(self, sentence: str) -> None:
        rospy.logerr(sentence)
        self._keeper.fail(sentence)

    def _take_snapshot(self, snapshot: Snapshot, changes: Changes) -> AbstractSet[str]:
        before = self._state.snapshot
        if before is not None and is_connected(before) and not is_connected(snapshot):
            self._stamp_map(before, before.stamp)
        records = self._state.record_changes(snapshot, changes)
        changed = self._state.take_snapshot(snapshot, changes)
        if changes.daemon and snapshot.daemon_error is not None:
            rospy.logwarn(str(snapshot.daemon_error))
        for record in records:
            self._report_link(record)
        if changes.self_node and snapshot.status.running:
            self._keep_settings(snapshot)
        if changes.daemon or changes.state or changes.self_node or changes.peers:
            self._keeper.offer(None if snapshot.daemon_error else snapshot.status)
            self._probe.poke()
        return changed

    def _take_intervention(self, intervention: Intervention) -> AbstractSet[str]:
        self._report_link(self._state.record_intervention(intervention, time.time()))
        return state.NOTHING

    def _report_link(self, record: LinkRecord) -> None:
        """Publish what a link did, and keep it for `ua-overlay links`."""
        self._send('link_events', messages.link_event(record, self._state.snapshot))
        self._keep_links(lambda directory: LinkLog(directory).append(record))

    def _keep_links(self, write: Callable[[str], None]) -> None:
        """Write to the record of the links; the log says once that it cannot be written, and once that it can again."""
        try:
            write(envfile.locate().directory)
        except (OSError, OverlayError) as error:
            if self._links_kept:
                rospy.logwarn('What the links do is not recorded: %s', error)
            self._links_kept = False
        else:
            if not self._links_kept:
                rospy.loginfo('What the links do is recorded again.')
            self._links_kept = True

    def _renew_map(self, now: float) -> None:
        """Allow tailscaled to start with the network map that it keeps, for as long as the site says from now on."""
        snapshot = self._state.snapshot
        if snapshot is None or not is_connected(snapshot) or now - self._map_renewed < map_stamp.PERIOD:
            return
        self._map_renewed = now
        self._stamp_map(snapshot, time.time())

    def _stamp_map(self, snapshot: Snapshot, seen: float) -> None:
        """
        :param snapshot: one of a robot that the server saw at ``seen`` (Unix seconds).
        """
        try:
            map_stamp.renew(self._state_dir, seen, memory_of(snapshot.status.self_node.attributes))
        except OSError as error:
            rospy.logwarn('A reboot without the server will lose the network map: %s', error)
        self._state.stamp = map_stamp.read(self._state_dir)

    def _notice_memory(self, now: float) -> None:
        """Log that the server is away and how long the remembered team lasts, once for each of its states.

        :param now: Unix seconds.
        """
        team, snapshot = self._state.remembered_team, self._state.snapshot
        if team is not None:
            if team.state(now) != self._memory:
                rospy.logwarn('%s', team.sentences(now))
            self._memory = team.state(now)
        elif self._memory and snapshot is not None and is_connected(snapshot):
            # It answers some seconds before tailscaled is connected to it again.
            rospy.loginfo('The server is back; the team is the one that it sends.')
            self._memory = ''

    def _read_history(self) -> LinkHistory:
        """Return the record of the links that an earlier node left."""
        try:
            return LinkHistory(link_log.read(envfile.locate().directory))
        except (OSError, OverlayError) as error:
            rospy.logwarn('The record of the links cannot be read: %s', error)
            return LinkHistory()

    def _take_server(self, view: ServerView) -> AbstractSet[str]:
        if view.state != self._state.server.state:
            log = rospy.loginfo if view.state in (OK, UNKNOWN) else rospy.logwarn
            log('server %s: %s%s', view.url or 'of the site', view.state, ': ' + view.text if view.text else '')
        return self._state.take_server(view, time.time())

    def _take_report(self, report: Report) -> AbstractSet[str]:
        before = self._state.report
        if (report.desired, report.why) != (before.desired, before.why):
            rospy.loginfo('ROS environment: %s', report.why)
        if report.runner != before.runner:
            rospy.loginfo('team runner: %s. %s', report.runner.state, report.runner.why)
        return self._state.take_report(report)

    # --- output ---

    def _publish(self, topics: AbstractSet[str]) -> None:
        """Publish these latched topics; do nothing before the first snapshot."""
        snapshot, now = self._state.snapshot, self._state
        if snapshot is None:
            return
        if state.STATE in topics:
            self._send(state.STATE, messages.overlay_state(
                snapshot, now.removed, now.server, now.server_since, now.remembered_team))
        if state.PEERS in topics:
            self._send(state.PEERS, messages.peer_array(snapshot))
        if state.LINKS in topics:
            self._send(state.LINKS, messages.link_array(snapshot, now.round_trips, now.history))
        if state.ROS_ENVIRONMENT in topics:
            self._send(state.ROS_ENVIRONMENT, messages.ros_environment(now.report))
        if state.TEAM_RUNNER in topics:
            self._send(state.TEAM_RUNNER, messages.team_runner(now.report))

    def _publish_diagnostics(self) -> None:
        snapshot = self._state.snapshot
        if snapshot is None:
            return
        now = time.time()
        groups = diagnostics.statuses(snapshot, self._state.server.facts, self._state.report, now, self._clock.clocks,
                                      self._state.stamp)
        groups['links'].values.update({
            'dead paths abandoned': str(self._state.rebinds),
            **{'path keeper: ' + what: str(count) for what, count in self._paths.counts().items()}})
        self._send('diagnostics', diagnostics.diagnostic_array(
            snapshot.status.self_node.name or os.uname().nodename, groups, now))

    def _send(self, name: str, message: Any) -> None:
        """Publish in the local graph and, through the mirror, in the team's."""
        self._topics[name].publish(message)
        if self._mirror is not None:
            self._mirror.publish(name, message)

    # --- input of the decisions ---

    def _find_team(self) -> Tuple[RosEnvironment, Optional[Status]]:
        snapshot = self._state.snapshot
        return self._state.report.desired, None if snapshot is None or snapshot.daemon_error else snapshot.status

    def _find_server_url(self) -> str:
        """Return the URL of the server of this robot's network, '' without a network.

        :raises OverlayError: tailscaled does not answer.
        """
        snapshot = self._state.snapshot
        if snapshot is None or not snapshot.status.have_node_key:
            return ''
        return parse_prefs(self._connect().prefs()).control_url

    def _node_key(self) -> str:
        """Return the public node key in use, which the server should know; '' without one."""
        snapshot = self._state.snapshot
        return '' if snapshot is None else key_in_use(snapshot.status)

    def _preferences(self) -> Preferences:
        """Return this robot's preferences: the network map overrides the kept settings, and launch arguments override
        both."""
        snapshot = self._state.snapshot
        preferences = replace(preferences_of(settings.read_settings(self._state_dir)), master=self._master)
        if snapshot is not None and snapshot.status.running:
            preferences = follow_map(preferences, snapshot.status.self_node)
        return replace(preferences, team_port=self._team_port) if self._team_port else preferences

    def _keep_settings(self, snapshot: Snapshot) -> None:
        """Keep the network map's settings of the team, for a start while the server is unreachable."""
        kept = settings.read_settings(self._state_dir)
        now = settings.follow(kept, snapshot.status.self_node)
        if now == kept:
            return
        rospy.loginfo('team %s: port %s, %s', now['team'], now.get('team_port'), now.get('addressing'))
        try:
            settings.write_settings(self._state_dir, now)
        except OSError as error:
            rospy.logwarn('The settings of the team cannot be kept in %s: %s', self._state_dir, error.strerror)


def is_connected(snapshot: Snapshot) -> bool:
    """Return whether tailscaled has a connection to its server."""
    return snapshot.status.running and snapshot.status.self_node.online


def stack_of(name: str) -> str:
    """Return where the threads called ``name`` are now, as a traceback shows it."""
    frames = sys._current_frames()
    return ''.join(line for thread in threading.enumerate() if thread.name == name and thread.ident in frames
                   for line in traceback.format_stack(frames[thread.ident]))
