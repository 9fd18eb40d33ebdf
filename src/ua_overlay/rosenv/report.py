"""The report of the environment keeper after each step, as values. Pure."""
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from ua_overlay.rosenv.environment import OK, RosEnvironment
from ua_overlay.rosenv.graph import Graph

#: Environment state of a master that is online but whose roscore does not answer.
NO_ROSCORE = 'NO_ROSCORE'
#: Environment state while the env file cannot be written: shells and programs get nothing, whatever the team has.
NOT_WRITTEN = 'NOT_WRITTEN'

#: States of the team runner: no launch file is configured; it waits for overlay, name and master; it runs; it is being
#: stopped; it exited unexpectedly and will be restarted.
OFF, WAITING, RUNNING, STOPPING, FAILED = 'OFF', 'WAITING', 'RUNNING', 'STOPPING', 'FAILED'


@dataclass(frozen=True)
class RunnerReport:
    """The team runner.

    :ivar state: OFF, WAITING, RUNNING, STOPPING or FAILED.
    :ivar why: one sentence.
    :ivar launch: the words after `roslaunch`.
    :ivar graph: the graph that its nodes run in, or None.
    :ivar starts: how often the launch file was started.
    """

    state: str = OFF
    why: str = 'No team launch file was asked for.'
    launch: Tuple[str, ...] = ()
    graph: Optional[Graph] = None
    starts: int = 0


#: The report of a robot without a team launch file.
NO_RUNNER = RunnerReport()


@dataclass(frozen=True)
class Report:
    """The result of a step of the keeper.

    :ivar desired: the decision.
    :ivar actual: variables of the env file now, {} when there is none.
    :ivar env_file: its path, '' when there is no directory for one.
    :ivar master_alive: the team's master answered.
    :ivar problem: what prevented the keeper from doing its work, as a sentence; '' when nothing did.
    :ivar silent: the master has been silent for longer than a roscore takes to start.
    :ivar roscore: the problem with the roscore of this robot, as a sentence; '' without one.
    :ivar runner: the team runner.
    """

    desired: RosEnvironment = field(default_factory=RosEnvironment)
    actual: Dict[str, str] = field(default_factory=dict)
    env_file: str = ''
    master_alive: bool = False
    problem: str = ''
    silent: bool = False
    roscore: str = ''
    runner: RunnerReport = NO_RUNNER

    @property
    def state(self) -> str:
        """The environment's state word; NOT_WRITTEN without an env file that should be there, NO_ROSCORE when the only
        problem is a silent master."""
        if self.problem and self.desired.usable and not self.env_file:
            return NOT_WRITTEN
        return NO_ROSCORE if self.desired.state == OK and self.silent else self.desired.state

    @property
    def why(self) -> str:
        """One sentence for people."""
        if self.problem or self.state != NO_ROSCORE:
            return self.problem or self.desired.why
        return self.roscore or 'The master of team {}, {}, is online, but no roscore answers at {}.'.format(
            self.desired.team, self.desired.master, self.desired.master_uri)
