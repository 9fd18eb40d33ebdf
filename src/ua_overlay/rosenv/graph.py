"""In which graph the children of the team runner live: when they start, when they are replaced, when they go."""
from dataclasses import dataclass

from ua_overlay.rosenv.environment import OK

#: Seconds for which another master (or the end of the membership) must be desired before running nodes are stopped.
STABLE = 2.0
#: What is desired when this robot has left its team.
LEFT = 'LEFT'


@dataclass(frozen=True)
class Graph:
    """A team graph as its nodes know it.

    :ivar variables: sorted (variable, value) pairs of RosEnvironment.variables(): the master and this robot's name.
    :ivar run_id: of the master when the children were started; another one is another roscore.
    """

    variables: tuple
    run_id: str

    @property
    def uri(self):
        return dict(self.variables)['ROS_MASTER_URI']

    @property
    def robot(self):
        return dict(self.variables)['UA_OVERLAY_ROBOT']


@dataclass(frozen=True)
class Decision:
    """What :func:`decide_graph` says, and what it has to know the next time.

    :ivar graph: the Graph that children have to run in, None for no children.
    :ivar why: one sentence.
    :ivar pending: variables (or LEFT) that are desired instead and not stable yet.
    :ivar since: when ``pending`` was first desired.
    """

    graph: object = None
    why: str = ''
    pending: object = None
    since: float = 0.0


def decide_graph(before, environment, answer, now):
    """Decide in which graph the robot's team nodes run.

    Running nodes are replaced only when another master (or another name of this robot) has been desired for
    :data:`STABLE` seconds, or when their master answered with another run_id. A master that is slow, away or without a
    run_id, a resolver that fails and a tailscaled that is gone are no reason: the nodes would not come back better.

    :param before: the Decision before; ``Decision()`` at the start.
    :param environment: the RosEnvironment that is desired now.
    :param answer: MasterAnswer of the master at ``environment.master_uri``, None when it was not asked.
    :param now: monotonic seconds.
    :returns: the new Decision.
    """
    desired = LEFT if environment.left else tuple(sorted(environment.variables().items())) or None
    running = before.graph
    if running is not None:
        if desired == running.variables and answer is not None and answer.run_id not in ('', running.run_id):
            return Decision(Graph(desired, answer.run_id), 'The roscore at {} was started anew.'.format(running.uri))
        if desired is None or desired == running.variables:
            return Decision(running, before.why if before.pending is None else 'The team graph is the same as before.')
        since = before.since if before.pending == desired else now
        if now - since < STABLE:
            return Decision(running, before.why, desired, since)
    if desired is None or desired == LEFT or environment.state != OK:
        return Decision(why=environment.why)
    if answer is None or not answer.alive:
        return Decision(why='The master {} does not answer yet.'.format(environment.master_uri))
    if not answer.run_id:
        return Decision(why='The master {} has no /run_id: no roscore has started it.'.format(environment.master_uri))
    return Decision(Graph(desired, answer.run_id), 'The master {} answers.'.format(environment.master_uri))
