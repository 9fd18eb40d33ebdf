"""Keeps the env file and the team roscore in step with the overlay: the only writer of both."""
import os
import threading
from dataclasses import dataclass, field

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.environment import RosEnvironment, decide_environment, team_mates

#: Seconds between two looks when nothing changed: names and the master are asked again.
PERIOD = 5.0
#: The same while something is wrong, so that a repair is seen soon.
PERIOD_WRONG = 2.0
#: The same while our own roscore comes up.
PERIOD_STARTING = 0.5


@dataclass(frozen=True)
class Report:
    """What the keeper did and saw.

    :ivar wanted: the RosEnvironment decided on.
    :ivar actual: variables of the env file now, {} when there is none.
    :ivar env_file: its path, '' when there is no place for one.
    :ivar master_alive: the team's master answered.
    :ivar problem: what kept the keeper from doing its work, a sentence; '' when nothing did.
    """

    wanted: RosEnvironment = field(default_factory=RosEnvironment)
    actual: dict = field(default_factory=dict)
    env_file: str = ''
    master_alive: bool = False
    problem: str = ''


class EnvironmentKeeper:
    """Decides, writes, asks; one :meth:`step` at a time. :meth:`run` is the thread that calls it.

    :param wishes: () -> Wishes, asked at each step (settings change with a join).
    :param locate: () -> envfile.Location; may raise OverlayError.
    :param names: names.NameChecker.
    :param probe: master.MasterProbe.
    :param roscore: roscore.TeamRoscore, or None when this robot runs no team roscore.
    :param emit: called with a Report after each step.
    :param now: Unix time.
    """

    def __init__(self, wishes, locate, names, probe, roscore, emit, now):
        self._wishes = wishes
        self._locate = locate
        self._names = names
        self._probe = probe
        self._roscore = roscore
        self._emit = emit
        self._now = now
        self._wake = threading.Condition()
        self._snapshot = None
        self._fresh = False
        self._stopped = False
        self._written = None

    def remove_leftover(self):
        """Remove what a predecessor left (it was killed, or the robot went down): it may name a master that is gone."""
        try:
            envfile.remove(self._locate())
        except OverlayError as error:
            return str(error)
        return ''

    def offer(self, snapshot):
        """Hand over the newest state of the overlay (a tailscale.watch Snapshot); never blocks."""
        with self._wake:
            self._snapshot = snapshot
            self._fresh = True
            self._wake.notify()

    def stop(self):
        """End :meth:`run`, which then removes the env file and stops the roscore."""
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
                report = self.step(snapshot)
                healthy = report.wanted.state == 'OK' and report.wanted.names_ok and report.master_alive
                period = PERIOD if healthy or report.wanted.state == 'NO_OVERLAY' else PERIOD_WRONG
                if report.wanted.is_master and not report.master_alive:
                    period = PERIOD_STARTING
        finally:
            self.shut_down()

    def shut_down(self):
        """A clean stop: no environment that nobody minds."""
        if self._roscore is not None:
            self._roscore.stop()
        self.remove_leftover()

    def step(self, snapshot):
        """Bring everything in step with ``snapshot`` (None: tailscaled does not answer); return and emit the Report."""
        wishes = self._wishes()
        status = snapshot if snapshot is not None and snapshot.state == 'Running' else None
        names = None
        if status is not None and status.self_node.dns_name:
            names = self._names.check(status.self_node, team_mates(status, wishes), wishes.addressing)
        wanted = decide_environment(status, wishes, names, self._now())
        if self._roscore is not None:
            self._roscore.follow(wanted)
        path, problem = self._write(wanted)
        alive = bool(wanted.usable and self._probe(wanted.master_uri).alive)
        report = Report(wanted, dict(self._written[1]) if self._written else {}, path, alive, problem)
        self._emit(report)
        return report

    def _write(self, wanted):
        """Bring the env file in step; returns (its path, what hindered it as a sentence)."""
        variables = wanted.variables()
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
