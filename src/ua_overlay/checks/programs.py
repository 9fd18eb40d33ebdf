"""Checks of the master and the name with which shells and nodes were started. Pure."""
import socket
from typing import Dict, List, Mapping, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command, quoted
from ua_overlay.checks.facts import Facts, RosProcess
from ua_overlay.checks.finding import Verdict, Verdicts, error, listed, ok, warn
from ua_overlay.checks.hosts import full_names, host_of, is_loopback, is_overlay_host, overlay_nodes, short_names

#: `rosnode cleanup` asks before it removes nodes that do not answer.
CLEAN_UP = 'yes | ua-overlay exec rosnode cleanup'
LOCAL_CLEAN_UP = 'yes | ROS_MASTER_URI={} rosnode cleanup'.format(defaults.LOCAL_MASTER_URI)
#: Ends a reason. The unit's next start would export the same.
_EXPORTED = ' The unit, or the script that it runs, exports it.'
#: The team graph's environment for this shell.
_THIS_SHELL = 'unset ROS_MASTER_URI ROS_HOSTNAME ROS_IP; eval "$(ua-overlay env --shell)"'


def node_names(facts: Facts) -> Verdicts:
    """Every node that the master lists is registered under a name that all robots resolve."""
    if facts.network is None or facts.graph is None or not facts.graph.alive or facts.graph.nodes is None:
        return None
    robots = overlay_nodes(facts.network)
    good, short = full_names(robots), short_names(robots)
    bad: Dict[str, List[str]] = {}
    weak: Dict[str, List[str]] = {}
    for node, uri in facts.graph.nodes:
        host = host_of(uri)
        if host not in good:
            (weak if host in short else bad).setdefault(host or '(none)', []).append(node)
    verdicts = []
    for host, nodes in sorted(bad.items()):
        if is_loopback(host):
            why = 'That is each machine itself: the node was started with the local graph\'s name.'
        elif is_overlay_host(host, facts.network):
            why = 'No robot of the overlay has that name now: the robot left or was renamed, and the node is gone.'
            verdicts.append(error('{} registered as {}.'.format(listed(nodes), host), why, CLEAN_UP))
            continue
        else:
            why = 'That name or address is not the overlay\'s: other robots cannot connect to the node.'
        verdicts.append(error('{} registered as {}.'.format(listed(nodes), host), why, _restart_node(nodes[0], facts)))
    for host, nodes in sorted(weak.items()):
        verdicts.append(warn('{} registered under the short name {}.'.format(listed(nodes), host),
                             'It resolves only where the search domain of the overlay is set.',
                             _restart_node(nodes[0], facts)))
    return verdicts or ok('All {} nodes have names that every robot resolves.'.format(len(facts.graph.nodes)))


def half_connected(facts: Facts) -> Verdicts:
    """Neither this shell nor a running node mixes the overlay's master with another network's name, or the reverse."""
    if facts.shell is None and facts.processes is None:
        return None
    verdicts = []
    if facts.shell is not None:
        problem = _mixture(facts.shell, facts)
        if problem is not None:
            verdicts.append(error('In this shell {}.'.format(problem[0]),
                                  problem[1] + ' An export in ~/.bashrc or in a start script sets it anew each time.',
                                  _THIS_SHELL))
    for process in facts.processes or ():
        problem = _mixture(process.variables, facts)
        if problem is not None:
            verdicts.append(error('In {} {}.'.format(describe(process), problem[0]), problem[1] + _EXPORTED * bool(
                process.unit), _mend(process)))
    return verdicts or ok('Master and own name belong together, in this shell and in running nodes.')


def _mixture(variables: Mapping[str, str], facts: Facts) -> Optional[Tuple[str, str]]:
    """Return the problem with a set of ROS variables as (what, why), or None."""
    uri = variables.get('ROS_MASTER_URI', '')
    host = host_of(uri)
    hostname, address = variables.get('ROS_HOSTNAME', ''), variables.get('ROS_IP', '')
    # ROS_HOSTNAME wins over ROS_IP (rosgraph.network.get_address_override).
    key, name = ('ROS_HOSTNAME', hostname) if hostname else ('ROS_IP', address)
    if is_overlay_host(host, facts.status):
        own = full_names([facts.status.self_node]) if facts.status is not None else set()
        if name and (name.lower() in own or not own and _names_the_overlay(name, facts)):
            return None
        if not name:
            return ('the master {} is the overlay\'s, but neither ROS_HOSTNAME nor ROS_IP is set'.format(uri),
                    'ROS then calls itself by the machine\'s host name, which other robots do not resolve.')
        return ('the master {} is the overlay\'s, but {}={} is not this robot\'s overlay name'.format(uri, key, name),
                'rostopic list works then, and no message arrives: the others cannot connect back.')
    if host and not is_loopback(host) and name and _names_the_overlay(name, facts):
        return ('{}={} is the overlay\'s, but the master {} is not'.format(key, name, uri),
                'Machines of that network that are not in the overlay cannot connect back.')
    return None


def _names_the_overlay(name: str, facts: Facts) -> bool:
    return is_overlay_host(name.lower().rstrip('.'), facts.status)


def old_master(facts: Facts) -> Verdicts:
    """No running node still uses a former master of the team."""
    # Without one master there is none to move to: the check of the environment says so.
    if facts.processes is None or facts.desired is None or not facts.desired.master_uri:
        return None
    present = facts.desired.master_uri.rstrip('/')
    old: Dict[str, List[RosProcess]] = {}
    for process in facts.processes:
        uri = process.variables.get('ROS_MASTER_URI', '').rstrip('/')
        if uri != present and is_overlay_host(host_of(uri), facts.status):
            old.setdefault(uri, []).append(process)
    verdicts: List[Verdict] = [
        warn('{} was started for the master {}.'.format(listed(describe(process) for process in processes), uri),
             'The team\'s is {}: nodes do not follow a move.'.format(present), restart(*processes))
        for uri, processes in sorted(old.items())]
    return verdicts or ok('No node points to a former master.')


def other_graph(facts: Facts) -> Verdicts:
    """Every running node of this robot is in its local graph or in its team's, and no node changed from one to the
    other."""
    if facts.processes is None or facts.network is None or facts.desired is None:
        return None
    own = {address for _, address, _ in facts.interfaces or ()} | {socket.gethostname().lower()}
    elsewhere: Dict[str, List[RosProcess]] = {}
    for process in facts.processes:
        uri = process.variables.get('ROS_MASTER_URI', '').rstrip('/')
        host = host_of(uri)
        if host and not is_overlay_host(host, facts.status) and not is_loopback(host) and host not in own:
            elsewhere.setdefault(uri, []).append(process)
    verdicts: List[Verdict] = [
        warn('{} uses the master {}, which is neither this robot\'s own nor the team\'s.'.format(
            listed(describe(process) for process in processes), uri),
            'It was started for another network, and hears nothing of this robot\'s other nodes.' + _EXPORTED * any(
                process.unit for process in processes), _mend(*processes, waits=True))
        for uri, processes in sorted(elsewhere.items())]
    moved = facts.graph.moved if facts.graph is not None else ()
    if moved:
        verdicts.append(warn(
            '{} moved from the local graph to the team graph.'.format(listed(moved)),
            'It was started once by a script, and once from a terminal or with `ua-overlay exec`. Prefix the command '
            'of the script with `ua-overlay exec --wait`, or start it with the script only: then it is the same graph '
            'at every start.', LOCAL_CLEAN_UP))
    return verdicts or ok('Every node runs in the local graph or in the team graph.')


def offline_nodes(facts: Facts) -> Verdicts:
    """No node of a robot that is offline is still registered at the team's master."""
    if facts.network is None or facts.graph is None or not facts.graph.alive or facts.graph.nodes is None:
        return None
    gone = {host: peer.name for peer in facts.network.peers if not peer.online
            for host in full_names([peer]) | short_names([peer])}
    left: Dict[str, List[str]] = {}
    for node, uri in facts.graph.nodes:
        if host_of(uri) in gone:
            left.setdefault(gone[host_of(uri)], []).append(node)
    verdicts: List[Verdict] = [
        warn('{} is offline, and {} of it {} still registered at the master.'.format(
            name, listed(nodes), 'is' if len(nodes) == 1 else 'are'),
            'The master calls them for each new publisher and waits (ros_comm 1555), so a new node may stay unheard '
            'for minutes. They register again when the robot is back and starts them again.', CLEAN_UP)
        for name, nodes in sorted(left.items())]
    return verdicts or ok('Every robot with a registered node is online.')


def describe(process: RosProcess) -> str:
    """Return '/talker (process 12, of base.service)'."""
    unit = ', of {}'.format(process.unit) if process.unit else ''
    return '{} (process {}{})'.format(process.name, process.pid, unit)


def restart(*processes: RosProcess, waits: bool = False) -> str:
    """Return the command line that ends these processes and starts them again in the team graph, or restarts their
    unit.

    :param waits: a node may be waiting for a master that does not answer, and then ends on SIGKILL only (rospy).
    """
    units = sorted({process.unit for process in processes if process.unit})
    if units:
        return 'sudo systemctl restart ' + ' '.join(quoted(unit) for unit in units)
    first = processes[0]
    if not first.starter:
        return command('kill {}; ua-overlay exec COMMAND', first.pid)
    words = ' '.join(quoted(word) for word in first.starter)
    if waits and first.starter_pid == first.pid:
        return command('kill -9 {}; ua-overlay exec ', first.pid) + words
    return command('kill {}; ua-overlay exec ', first.starter_pid) + words


def _mend(*processes: RosProcess, waits: bool = False) -> str:
    """Return the command line for processes whose own variables are wrong; parameters as for :func:`restart`."""
    unit = next((process.unit for process in processes if process.unit), '')
    if not unit:
        return restart(*processes, waits=waits)
    return command('sudo systemctl cat {0}   # mend what it exports, or the script that it runs; then: sudo systemctl '
                   'daemon-reload; sudo systemctl restart {0}', unit)


def _restart_node(node: str, facts: Facts) -> str:
    """Return the command line that starts a registered node again: of the process, if it is one of this machine."""
    own = [process for process in facts.processes or () if process.name == node or process.name == node.lstrip('/')]
    return restart(own[0]) if own else command('ua-overlay exec rosnode kill {}; ua-overlay exec COMMAND', node)
