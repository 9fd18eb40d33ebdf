"""Keeps the env file, the team roscore and the programs of the team graph in step with the overlay: the only writer."""
import os
import threading
import time
from dataclasses import dataclass, field

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile, mastership
from ua_overlay.rosenv.environment import OK, RosEnvironment, decide_environment, observe_master, team_mates
from ua_overlay.rosenv.graph import Decision, decide_graph
from ua_overlay.system import supervised

#: Seconds between two looks when nothing changed: names and the master are asked again.
PERIOD = 5.0
#: The same while something is wrong, so that a repair is seen soon.
PERIOD_WRONG = 2.0
#: The same while our own roscore comes up, or something of the team graph is about to change.
PERIOD_STARTING = 0.5
#: The same while programs run in the team graph: a roscore that was started anew must be noticed soon.
PERIOD_RUNNING = 1.0
#: Seconds for which a master may be silent before that is a state of its own: a roscore takes some to start.
SILENCE = 5.0

#: Environment state of a master that is online but whose roscore does not answer.
NO_ROSCORE = 'NO_ROSCORE'

#: States of the team runner: no launch file was asked for; waits for overlay, name and master; runs; is being stopped;
#: ended by itself and is tried again.
OFF, WAITING, RUNNING, STOPPING, FAILED = 'OFF', 'WAITING', 'RUNNING', 'STOPPING', 'FAILED'


@dataclass(frozen=True)
class RunnerReport:
    """The team runner, as OFF, WAITING, RUNNING, STOPPING or FAILED.

    :ivar why: one sentence.
    :ivar launch: the words after `roslaunch`.
    :ivar graph: the graph.Graph that its nodes run in, or None.
    :ivar starts: how often the launch file was started.
    """

    state: str = OFF
    why: str = 'No team launch file was asked for.'
    launch: tuple = ()
    graph: object = None
    starts: int = 0


@dataclass(frozen=True)
class Report:
    """What the keeper did and saw.

    :ivar desired: the RosEnvironment decided on.
    :ivar actual: variables of the env file now, {} when there is none.
    :ivar env_file: its path, '' when there is no place for one.
    :ivar master_alive: the team's master answered.
    :ivar problem: what kept the keeper from doing its work, a sentence; '' when nothing did.
    :ivar silent: the master has not answered for longer than a roscore takes to start.
    :ivar roscore: what went wrong with the roscore of this robot, a sentence; '' when nothing has.
    :ivar runner: the RunnerReport.
    """

    desired: RosEnvironment = field(default_factory=RosEnvironment)
    actual: dict = field(default_factory=dict)
    env_file: str = ''
    master_alive: bool = False
    problem: str = ''
    silent: bool = False
    roscore: str = ''
    runner: RunnerReport = field(default_factory=RunnerReport)

    @property
    def state(self):
        """The environment's state word; NO_ROSCORE when all is well but for the master's silence."""
        return NO_ROSCORE if self.desired.state == OK and self.silent else self.desired.state

    @property
    def why(self):
        """One sentence for people."""
        if self.problem or self.state != NO_ROSCORE:
            return self.problem or self.desired.why
        return self.roscore or 'The master of team {}, {}, is online, but no roscore answers at {}.'.format(
            self.desired.team, self.desired.master, self.desired.master_uri)


class EnvironmentKeeper:
    """Decides, writes, asks; one :meth:`step` at a time. :meth:`run` is the thread that calls it.

    :param preferences: () -> Preferences, asked at each step (settings change with a join).
    :param locate: () -> envfile.Location; may raise OverlayError.
    :param names: names.NameChecker.
    :param probe: master.MasterProbe.
    :param roscore: roscore.TeamRoscore, or None when this robot runs no team roscore.
    :param emit: called with a Report after each step.
    :param now: Unix time.
    :param runner: runner.TeamRunner, or None without a team launch file.
    :param mirror: mirror.TeamMirror, or None.
    :param leftovers: leftovers.Leftovers, which go before anything is started, or None.
    :param clock: monotonic seconds.
    :param no_runner: the RunnerReport when ``runner`` is None.
    """

    def __init__(self, preferences, locate, names, probe, roscore, emit, now, runner=None, mirror=None, leftovers=None,
                 clock=time.monotonic, no_runner=RunnerReport()):
        self._preferences = preferences
        self._locate = locate
        self._names = names
        self._probe = probe
        self._roscore = roscore
        self._emit = emit
        self._now = now
        self._runner = runner
        self._no_runner = no_runner
        self._children = [child for child in (runner, mirror) if child is not None]
        self._leftovers = leftovers
        self._clock = clock
        self._wake = threading.Condition()
        self._snapshot = None
        self._fresh = False
        self._stopped = False
        self._written = None
        self._master = None
        self._decision = Decision()
        self._named = (None, 0.0, None)
        self._heard = (None, 0.0)

    def remove_leftover(self):
        """Remove what a predecessor left (it was killed, or the robot went down): it may name a master that is gone."""
        try:
            envfile.remove(self._locate())
        except OverlayError as error:
            return str(error)
        return ''

    def offer(self, snapshot):
        """Hand over the newest state of the overlay (a tailscale.snapshot.Snapshot); never blocks."""
        with self._wake:
            self._snapshot = snapshot
            self._fresh = True
            self._wake.notify()

    def stop(self):
        """End :meth:`run`, which then removes the env file and stops everything of the team graph."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def run(self):
        """Work until :meth:`stop`."""
        period = 0.0
        try:
            while True:
                with self._wake:
                    if not self._fresh and not self._stopped:
                        self._wake.wait(period or None)
                    if self._stopped:
                        return
                    snapshot, self._fresh = self._snapshot, False
                period = self.period(self.step(snapshot))
        finally:
            self.shut_down()

    def period(self, report):
        """Seconds until the next look when nothing happens until then."""
        healthy = report.desired.state == OK and report.desired.names_ok and report.master_alive
        periods = [PERIOD if healthy or report.desired.state == 'NO_OVERLAY' else PERIOD_WRONG]
        busy = any(child.state in (supervised.STOPPING, supervised.WAITING) for child in self._children)
        clear = self._leftovers is None or self._leftovers.clear
        starting = report.desired.is_master and not report.master_alive
        if busy or starting or not clear or self._decision.pending is not None:
            periods.append(PERIOD_STARTING)
        if self._children and (report.desired.usable or self._decision.graph is not None):
            periods.append(PERIOD_RUNNING)
        left = mastership.wait_left(self._master, self._clock())
        if left is not None:
            periods.append(max(left, 0.1))
        return min(periods)

    def shut_down(self):
        """A clean stop: no environment that nobody updates, and nobody in it."""
        for child in self._children:
            child.set_desired(None)
        for child in self._children:
            child.stop()
        if self._roscore is not None:
            self._roscore.stop()
        self.remove_leftover()

    def step(self, snapshot):
        """Bring everything in step with ``snapshot`` (None: tailscaled does not answer); return and emit the Report."""
        preferences = self._preferences()
        self._master = observe_master(self._master, snapshot, preferences, self._clock())
        desired = decide_environment(snapshot, preferences, self._check_names(snapshot, preferences), self._now(),
                                     self._master)
        clear = self._leftovers is None or self._leftovers.step()
        if self._roscore is not None and clear:
            self._roscore.follow(desired)
        path, problem = self._write(desired)
        answer = self._probe(desired.master_uri) if desired.usable else None
        now = self._clock()
        self._decision = decide_graph(self._decision, desired, answer, now)
        for child in self._children if clear else ():
            child.follow(self._decision.graph)
        alive = answer is not None and answer.alive
        if alive or self._heard[0] != desired.master_uri:
            self._heard = (desired.master_uri, now)
        silent = not alive and now - self._heard[1] >= SILENCE
        report = Report(desired, dict(self._written[1]) if self._written else {}, path, alive, problem, silent,
                        '' if self._roscore is None else self._roscore.why, self._report_runner(clear))
        self._emit(report)
        return report

    def _report_runner(self, clear):
        runner = self._runner
        if runner is None:
            return self._no_runner
        running = runner.running
        state, why = runner.state, self._decision.why
        if state == supervised.WAITING:
            state, why = FAILED, runner.why
        elif not clear:
            state, why = WAITING, 'What an overlay node that was killed has left is being ended.'
        elif state == supervised.STOPPED:
            state = WAITING
        return RunnerReport(state, why, runner.words, None if running is None else running.graph, runner.starts)

    def _check_names(self, snapshot, preferences):
        """The NameReport for a snapshot; a good one is good for a PERIOD, as long as the names are the same."""
        if snapshot is None or snapshot.state != 'Running' or not snapshot.self_node.dns_name:
            return None
        mates = team_mates(snapshot, preferences)
        key = ([(node.name, node.dns_name, node.addresses) for node in (snapshot.self_node,) + mates],
               preferences.addressing)
        known, when, report = self._named
        if key != known or not report.ok or self._clock() - when >= PERIOD:
            report = self._names.check(snapshot.self_node, mates, preferences.addressing)
            self._named = (key, self._clock(), report)
        return report

    def _write(self, desired):
        """Bring the env file in step; returns (its path, what hindered it as a sentence)."""
        variables = desired.variables()
        try:
            location = self._locate()
            if self._written and self._written[0] != location:
                # `robot prepare` has just made the shared place: whoever still reads the old one must not find it.
                envfile.remove(self._written[0])
            if not variables:
                envfile.remove(location)
            elif self._written != (location, variables) or not os.path.exists(location.path):
                try:
                    envfile.write(location, variables)
                except (OverlayError, ValueError):
                    envfile.remove(location)  # what is there is not true any more
                    raise
            self._written = (location, variables)
            return location.path, ''
        except OverlayError as error:
            self._written = None
            return '', str(error)
        except ValueError as error:
            # A name from the server that no shell should see: no environment, but the robot goes on.
            self._written = None
            return '', 'The ROS environment of this robot is not usable: {}.'.format(error)
