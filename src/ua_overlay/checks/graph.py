"""Checks of the team graph: names, environment and master. Pure."""
from typing import Optional, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command, quoted
from ua_overlay.checks.facts import Facts, Holder
from ua_overlay.checks.finding import Verdicts, error, listed, ok, warn
from ua_overlay.rosenv.environment import MASTER_OFFLINE, NAME_UNRESOLVED, NO_OVERLAY, OK, SETTLING, RosEnvironment
from ua_overlay.rosenv.master import CALLER_ID
from ua_overlay.rosenv.team import dns_name

_START = 'ua-overlay exec --local roslaunch ua_overlay overlay.launch'


def names(facts: Facts) -> Verdicts:
    """This machine resolves its own overlay name and those of all peers that it can see."""
    report, desired = facts.names, facts.desired
    if report is None and desired is not None and (desired.state == NAME_UNRESOLVED or desired.state == OK
                                                   and not desired.names_ok):
        return error(desired.why, 'ROS nodes hand out names.', desired.next_command)
    if report is None or facts.network is None:
        return None
    if not report.ok:
        failing = report.unresolved[0] if report.unresolved else dns_name(facts.network.self_node)
        return error(report.why, 'ROS nodes hand out names: this machine cannot receive from a name that it does not '
                     'resolve.', command('sudo systemctl restart tailscaled ua-overlay-agent   # then: getent '
                                         'ahostsv4 {}', failing))
    if facts.preferences.addressing == defaults.ADDRESSES:
        return ok('The team uses addresses, and ours is on an interface.')
    return ok('The names of this robot and of {} peers resolve here.'.format(len(facts.network.peers)))


def environment(facts: Facts) -> Verdicts:
    """The team has one master, and the env file for shells and programs exists."""
    desired = facts.desired
    if facts.env_problem:
        return error(facts.env_problem, 'Shells and programs get no team environment.',
                     command('ls -la {}', defaults.RUN_DIR))
    if desired is None or desired.state == NO_OVERLAY:
        return None
    if desired.state == SETTLING:
        return ok(desired.why)
    if desired.state == NAME_UNRESOLVED:
        return None  # the check of the names reports it
    if desired.state not in (OK, MASTER_OFFLINE):
        return warn(desired.why, 'Without one master there is no team graph.', desired.next_command)
    if facts.actual == {}:
        if any(disk.directory == defaults.RUN_DIR and disk.free <= 0 for disk in facts.disks or ()):
            return None  # the check of the disk reports it
        held = _held(facts.local_holder)
        if held:
            return error('Shells and programs have no team environment: there is no env file.', held[0], held[1])
        return error('Shells and programs have no team environment: there is no env file.',
                     'The overlay node, which writes it, does not run here or has just started.', _START)
    if facts.actual is not None and facts.actual.get('ROS_MASTER_URI', desired.master_uri) != desired.master_uri:
        return warn('The env file names the master {}, and the team\'s is {}.'.format(
            facts.actual['ROS_MASTER_URI'], desired.master_uri),
            'A move takes some seconds to reach every robot; if it lasts longer, the overlay node is stuck.',
            _restart_node(facts))
    if desired.state == MASTER_OFFLINE:
        return warn(desired.why, 'Running nodes go on; new ones find no master.', desired.next_command)
    return ok(desired.why)


def master(facts: Facts) -> Verdicts:
    """The team's master answers over the overlay."""
    desired, graph = facts.desired, facts.graph
    if desired is None or not desired.usable or graph is None or desired.state == MASTER_OFFLINE:
        return None
    if graph.alive:
        return ok('The master {} answers.'.format(graph.uri))
    why = graph.why or 'The master {} does not answer.'.format(graph.uri)
    if desired.is_master:
        held = _held(facts.team_holder)
        if held:
            return error(why, held[0], held[1])
        return warn(why, 'This robot is the master: overlay.launch runs the roscore.', _START)
    return warn(why, 'On {} overlay.launch runs the roscore.'.format(desired.master),
                command('ua-overlay doctor   # on {}', desired.master))


def foreign_master(facts: Facts) -> Verdicts:
    """The team's master was started by a roscore, not by a roslaunch."""
    graph = facts.graph
    if graph is None or graph.launched is None or facts.desired is None:
        return None
    if not graph.launched:
        return ok('The master was started by a roscore.')
    return warn('The master at {} belongs to a roslaunch that also runs {}.'.format(
        graph.uri, listed(graph.launched)),
        'The team graph ends when that launch ends, and the overlay\'s own roscore cannot start beside it.',
        _replace_launch(facts.team_holder, facts.desired))

def _held(holder: Optional[Holder]) -> Optional[Tuple[str, str]]:
    """Return (why, next command) for a port that another program holds; None if nobody or a master of ROS does."""
    if holder is None or holder.ros:
        return None
    if not holder.pid:
        return ('Another program of {} listens on its port {}; only root sees which.'.format(holder.user, holder.port),
                'sudo ua-overlay doctor')
    who = '{} (process {} of {}{}) listens on its port {}.'.format(
        holder.command, holder.pid, holder.user, ', ' + holder.unit if holder.unit else '', holder.port)
    return who, (command('sudo systemctl stop {}', holder.unit) if holder.unit else command('sudo kill {}', holder.pid))


def _replace_launch(holder: Optional[Holder], desired: RosEnvironment) -> str:
    """Return the command line that starts the launch of the team's master again, without the master."""
    if not desired.is_master:
        return command('ua-overlay doctor   # on {}', desired.master)
    if holder is None or not holder.starter:
        return 'sudo ua-overlay doctor'
    # roslaunch takes seconds to end, and until then its master answers.
    return command('kill {0}; tail --pid={0} -f /dev/null; ua-overlay exec --wait ', holder.starter_pid) + ' '.join(
        quoted(word) for word in holder.starter)


def _restart_node(facts: Facts) -> str:
    """Return the command line that ends the overlay node, which overlay.launch starts again; it may be stopped, so it
    is killed."""
    node = next((process for process in facts.processes or () if process.name == CALLER_ID), None)
    return command('kill -9 {}   # overlay.launch starts it again', node.pid) if node is not None else _START
