"""Keep the env file, the team roscore and the programs of the team graph in step with the overlay."""
import threading
import time
from typing import Callable, List, Optional, Protocol, Sequence, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, WallClock
from ua_overlay.rosenv import envfile, mastership
from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.envfile import Location, Variables
from ua_overlay.rosenv.environment import NO_OVERLAY, OK, RosEnvironment, decide_environment, observe_master
from ua_overlay.rosenv.graph import Decision, Graph, decide_graph
from ua_overlay.rosenv.master import MasterAnswer
from ua_overlay.rosenv.mastership import Mastership
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.rosenv.report import FAILED, NO_RUNNER, WAITING, Report, RunnerReport
from ua_overlay.rosenv.runner import LaunchSpec, Words
from ua_overlay.rosenv.team import Node, visible_nodes
from ua_overlay.system import supervised
from ua_overlay.tailscale.model import Status

#: Seconds between two steps when nothing changed: each checks names and master again.
PERIOD = 5.0
#: The same while something is wrong, so that a repair takes effect soon.
PERIOD_WRONG = 2.0
#: The same while our roscore starts, or a change of the team graph is pending.
PERIOD_STARTING = 0.5
#: The same while programs run in the team graph: a restarted roscore must be noticed soon.
PERIOD_RUNNING = 1.0
#: Seconds of silence of a master before NO_ROSCORE is reported: a roscore takes some time to start, and on a link that
#: loses 5 % of its packets at both ends a new TCP connection fails for 8 s every few minutes (TCP repeats a SYN after 1
#: and 3 s, and tailscaled changes its path after three lost pings).
SILENCE = 15.0


class Names(Protocol):
    """names.NameChecker."""

    def check(self, me: Node, mates: Sequence[Node], addressing: str) -> NameReport:
        ...


class Roscore(Protocol):
    """roscore.TeamRoscore."""

    why: str

    def follow(self, environment: Optional[RosEnvironment]) -> None:
        ...

    def stop(self) -> object:
        ...


class GraphProgram(Protocol):
    """A program that runs in the team graph: runner.TeamRunner, mirror.TeamMirror."""

    state: str

    def follow(self, graph: Optional[Graph]) -> None:
        ...

    def stop(self) -> object:
        ...


class Runner(GraphProgram, Protocol):
    """runner.TeamRunner."""

    words: Words
    why: str
    starts: int

    @property
    def running(self) -> Optional[LaunchSpec]:
        ...


class Leftovers(Protocol):
    """leftovers.Leftovers."""

    clear: bool

    def step(self) -> bool:
        ...


class EnvironmentKeeper:
    """Reconciles the robot's ROS environment with the overlay: once with :meth:`step`, or continuously in a thread with
    :meth:`run`.

    :param preferences: returns the Preferences; called at each step, because a join changes them.
    :param locate: returns the run directory; may raise OverlayError.
    :param probe: probes the master at a URI.
    :param roscore: None when this robot runs no team roscore.
    :param emit: called with a Report after each step.
    :param runner: None without a team launch file.
    :param mirror: None when the overlay's topics stay in the local graph.
    :param leftovers: ends the programs of a predecessor before anything is started; None if there are none.
    :param no_runner: the RunnerReport when ``runner`` is None.
    """

    def __init__(self, preferences: Callable[[], Preferences], locate: Callable[[], Location], names: Names,
                 probe: Callable[[str], MasterAnswer], roscore: Optional[Roscore], emit: Callable[[Report], object],
                 now: WallClock, runner: Optional[Runner] = None, mirror: Optional[GraphProgram] = None,
                 leftovers: Optional[Leftovers] = None, clock: Clock = time.monotonic,
                 no_runner: RunnerReport = NO_RUNNER) -> None:
        self._preferences = preferences
        self._locate = locate
        self._names = names
        self._probe = probe
        self._roscore = roscore
        self._emit = emit
        self._now = now
        self._runner = runner
        self._no_runner = no_runner
        self._programs: List[GraphProgram] = [program for program in (runner, mirror) if program is not None]
        self._leftovers = leftovers
        self._clock = clock
        self._wake = threading.Condition()
        self._status: Optional[Status] = None
        self._fresh = False
        self._stopped = False
        self._written: Optional[Tuple[Location, Variables]] = None
        self._master: Optional[Mastership] = None
        self._decision = Decision()
        #: Key and time of the last check of the names, and its report.
        self._checked: Tuple[object, float, Optional[NameReport]] = (None, 0.0, None)
        #: URI of the last master, and when it answered or was new.
        self._heard: Tuple[str, float] = ('', 0.0)

    def remove_leftover(self) -> str:
        """Remove the files of a predecessor that was killed: they may name a master that no longer exists. Return why
        that failed, as a sentence, or ''."""
        try:
            location = self._locate()
            preferences_file.remove(location)
            envfile.remove(location)
        except OverlayError as error:
            return str(error)
        return ''

    def offer(self, status: Optional[Status]) -> None:
        """Hand over the latest Status, None when tailscaled does not answer; never blocks."""
        with self._wake:
            self._status = status
            self._fresh = True
            self._wake.notify()

    def stop(self) -> None:
        """End :meth:`run`, which then removes the env file and stops everything in the team graph."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def run(self) -> None:
        """Run until :meth:`stop`. An unexpected failure stops no program: see :meth:`fail`."""
        period = 0.0
        while True:
            with self._wake:
                if not self._fresh and not self._stopped:
                    self._wake.wait(period or None)
                if self._stopped:
                    break
                status, self._fresh = self._status, False
            try:
                period = self.period(self.step(status))
            except BaseException:
                self._fresh = True  # the next run begins with this status
                raise
        self.shut_down()

    def fail(self, sentence: str) -> None:
        """Report that nobody keeps the environment, and remove the files: they would name an old master for ever.

        The programs of the team graph go on. They may be right, and the next step decides that.

        :param sentence: why.
        """
        problem = '{} Nobody keeps the ROS environment of this robot.'.format(sentence)
        left = self.remove_leftover()
        self._written = None
        self._emit(Report(problem=' '.join(filter(None, (problem, left)))))

    def period(self, report: Report) -> float:
        """Return the seconds until the next step if nothing changes earlier."""
        healthy = report.state == OK and report.desired.names_ok and report.master_alive and not report.problem
        periods = [PERIOD if healthy or report.desired.state == NO_OVERLAY else PERIOD_WRONG]
        busy = any(program.state in (supervised.STOPPING, supervised.WAITING) for program in self._programs)
        clear = self._leftovers is None or self._leftovers.clear
        starting = report.desired.is_master and not report.master_alive
        if busy or starting or not clear or self._decision.pending is not None:
            periods.append(PERIOD_STARTING)
        if self._programs and (report.desired.usable or self._decision.graph is not None):
            periods.append(PERIOD_RUNNING)
        left = mastership.wait_left(self._master, self._clock())
        if left is not None:
            periods.append(max(left, 0.1))
        return min(periods)

    def shut_down(self) -> None:
        """Stop cleanly: end all programs in the team graph, and remove the files that would become stale. For the
        thread of :meth:`run`, or for another one after it has ended. May be repeated."""
        for program in self._programs:  # signal all of them first, then wait for each
            program.follow(None)
        for program in self._programs:
            program.stop()
        if self._roscore is not None:
            self._roscore.stop()
        self.remove_leftover()

    def step(self, status: Optional[Status]) -> Report:
        """Reconcile everything with ``status`` (None: tailscaled does not answer); return and emit the Report."""
        preferences = self._preferences()
        self._master = observe_master(self._master, status, preferences, self._clock())
        desired = decide_environment(status, preferences, self._check_names(status, preferences), self._now(),
                                     self._master)
        clear = self._leftovers is None or self._leftovers.step()
        if self._roscore is not None and clear:
            self._roscore.follow(desired)
        in_overlay = status is not None and status.running
        path, problem = self._write(desired, preferences if in_overlay else None)
        answer = self._probe(desired.master_uri) if desired.usable else None
        now = self._clock()
        self._decision = decide_graph(self._decision, desired, answer, now)
        for program in self._programs if clear else ():
            program.follow(self._decision.graph)
        alive = answer is not None and answer.alive
        if alive or self._heard[0] != desired.master_uri:
            self._heard = (desired.master_uri, now)
        silent = not alive and now - self._heard[1] >= SILENCE
        report = Report(desired, self._read_back(), path, alive, problem, silent,
                        '' if self._roscore is None else self._roscore.why, self._report_runner(clear))
        self._emit(report)
        return report

    def _report_runner(self, clear: bool) -> RunnerReport:
        runner = self._runner
        if runner is None:
            return self._no_runner
        running = runner.running
        state, why = runner.state, self._decision.why
        if state == supervised.WAITING:
            state, why = FAILED, runner.why
        elif not clear:
            state, why = WAITING, 'The programs of an overlay node that was killed are being ended.'
        elif state == supervised.STOPPED:
            state = WAITING
        return RunnerReport(state, why, runner.words, None if running is None else running.graph, runner.starts)

    def _check_names(self, status: Optional[Status], preferences: Preferences) -> Optional[NameReport]:
        """Return the NameReport for ``status``; one without problems is reused for a PERIOD while the names are
        unchanged."""
        if status is None or not status.running or not status.self_node.dns_name:
            return None
        mates = visible_nodes(status)
        nodes: Tuple[Node, ...] = (status.self_node,) + mates
        key = ([(node.name, node.dns_name, node.addresses) for node in nodes], preferences.addressing)
        last_key, when, report = self._checked
        if report is None or key != last_key or not report.ok or self._clock() - when >= PERIOD:
            report = self._names.check(status.self_node, mates, preferences.addressing)
            self._checked = (key, self._clock(), report)
        return report

    def _write(self, desired: RosEnvironment, preferences: Optional[Preferences]) -> Tuple[str, str]:
        """Update the files; return (path of the env file, why that failed as a sentence).

        :param preferences: None while this robot is not in the overlay.
        """
        variables = desired.variables()
        try:
            location = self._locate()
            if self._written and self._written[0] != location:
                # `robot prepare` has just created the shared directory: no shell may find the files in the old one.
                preferences_file.remove(self._written[0])
                envfile.remove(self._written[0])
            if not variables:
                envfile.remove(location)
            else:
                try:
                    if not envfile.holds(location, envfile.FILE_NAME, envfile.dump(variables)):
                        envfile.write(location, variables)
                except (OverlayError, ValueError):
                    envfile.remove(location)  # it is out of date
                    raise
            self._written = (location, variables)
        except OverlayError as error:
            self._written = None
            return '', str(error)
        except ValueError as error:
            # The server sent a name that is unsafe in a shell: write no environment, but keep running.
            self._written = None
            return '', 'The ROS environment of this robot cannot be used: {}.'.format(error)
        try:
            self._leave_preferences(location, preferences)
        except OverlayError as error:
            return location.path, str(error)
        return location.path, ''

    def _read_back(self) -> Variables:
        """Return the variables that a shell gets now: what is in the file, not what was written."""
        if self._written is None or not self._written[1]:
            return {}
        try:
            return envfile.read(self._written[0])
        except OverlayError:
            return {}  # removed or damaged since; the next step writes it again

    def _leave_preferences(self, location: Location, preferences: Optional[Preferences]) -> None:
        """Write the preferences for the `ua-overlay` command, or remove them.

        :raises OverlayError: they cannot be written.
        """
        if preferences is None:
            preferences_file.remove(location)
        elif not envfile.holds(location, preferences_file.FILE_NAME, preferences_file.dump(preferences)):
            preferences_file.write(location, preferences)
