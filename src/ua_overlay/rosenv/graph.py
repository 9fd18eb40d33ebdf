"""Decide when the programs of the team graph start, are replaced, and stop. Pure."""
from dataclasses import dataclass
from typing import Optional, Tuple, Union

from ua_overlay.rosenv.environment import OK, RosEnvironment
from ua_overlay.rosenv.master import MasterAnswer

#: Seconds for which another master (or the end of the membership) must be desired before running nodes are stopped.
STABLE = 2.0
#: What is desired when this robot has left its team.
LEFT = 'LEFT'

#: Sorted (variable, value) pairs of RosEnvironment.variables(): the master and this robot's name.
Variables = Tuple[Tuple[str, str], ...]


@dataclass(frozen=True)
class Graph:
    """A team graph from the point of view of its nodes.

    :ivar run_id: of the master when the programs were started; a new one means a new roscore.
    """

    variables: Variables
    run_id: str

    @property
    def uri(self) -> str:
        return dict(self.variables)['ROS_MASTER_URI']

    @property
    def robot(self) -> str:
        return dict(self.variables)['UA_OVERLAY_ROBOT']


@dataclass(frozen=True)
class Decision:
    """The result of :func:`decide_graph`, and its state for the next call.

    :ivar graph: the Graph in which programs must run, None for no programs.
    :ivar why: one sentence.
    :ivar pending: variables (or LEFT) that are desired instead and not stable yet.
    :ivar since: when ``pending`` was first desired.
    """

    graph: Optional[Graph] = None
    why: str = ''
    pending: Union[Variables, str, None] = None
    since: float = 0.0


def decide_graph(before: Decision, environment: RosEnvironment, answer: Optional[MasterAnswer],
                 now: float) -> Decision:
    """Decide in which graph the robot's team nodes run.

    Running nodes are replaced only when another master (or another name of this robot) has been desired for
    :data:`STABLE` seconds, or when their master answered with another run_id. A slow or missing master, a master
    without a run_id, a failing resolver and a stopped tailscaled are no reason: restarting the nodes would not help.

    :param before: the previous Decision; ``Decision()`` at the start.
    :param environment: the environment that is desired now.
    :param answer: of the master at ``environment.master_uri``, None if it was not probed.
    :param now: monotonic seconds.
    """
    variables: Optional[Variables] = tuple(sorted(environment.variables().items())) or None
    desired: Union[Variables, str, None] = LEFT if environment.left else variables
    running = before.graph
    if running is not None:
        if desired == running.variables and answer is not None and answer.run_id not in ('', running.run_id):
            return Decision(Graph(running.variables, answer.run_id),
                            'The roscore at {} was started anew.'.format(running.uri))
        if desired is None or desired == running.variables:
            return Decision(running, before.why if before.pending is None else 'The team graph is the same as before.')
        since = before.since if before.pending == desired else now
        if now - since < STABLE:
            return Decision(running, before.why, desired, since)
    if environment.left or variables is None or environment.state != OK:
        return Decision(why=environment.why)
    if answer is None or not answer.alive:
        return Decision(why='The master {} does not answer yet.'.format(environment.master_uri))
    if not answer.run_id:
        return Decision(why='The master {} has no /run_id, so no roscore has started it.'.format(
            environment.master_uri))
    return Decision(Graph(variables, answer.run_id), 'The master {} answers.'.format(environment.master_uri))
