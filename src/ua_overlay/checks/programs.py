"""Checks of the master and the name with which shells and nodes were started. Pure."""
from typing import Dict, List, Mapping, Optional, Tuple

from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdict, Verdicts, error, listed, ok, warn
from ua_overlay.checks.hosts import full_names, host_of, is_loopback, is_overlay_host, overlay_nodes, short_names


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
        else:
            why = 'That name or address is not the overlay\'s: other robots cannot connect to the node.'
        verdicts.append(error('{} registered as {}.'.format(listed(nodes), host), why,
                              'start it again with: ua-overlay exec roslaunch …'))
    for host, nodes in sorted(weak.items()):
        verdicts.append(warn('{} registered under the short name {}.'.format(listed(nodes), host),
                             'It resolves only where the search domain of the overlay is set.',
                             'start it again with: ua-overlay exec roslaunch …'))
    return verdicts or ok('All {} nodes have names that every robot resolves.'.format(len(facts.graph.nodes)))


def half_connected(facts: Facts) -> Verdicts:
    """Neither this shell nor a running node mixes the overlay's master with another network's name, or the reverse."""
    if facts.shell is None and facts.processes is None:
        return None
    verdicts = []
    if facts.shell is not None:
        problem = _mixture(facts.shell, facts)
        if problem is not None:
            verdicts.append(error('In this shell {}.'.format(problem[0]), problem[1],
                                  'unset ROS_HOSTNAME ROS_IP ROS_MASTER_URI, then source setup.bash again; or prefix '
                                  'the command: ua-overlay exec COMMAND'))
    for process in facts.processes or ():
        problem = _mixture(process.variables, facts)
        if problem is not None:
            verdicts.append(error('In {} (process {}) {}.'.format(process.name, process.pid, problem[0]), problem[1],
                                  'start it again with: ua-overlay exec COMMAND'))
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
    """No manually started node still uses a former master of the team."""
    if facts.processes is None or facts.desired is None:
        return None
    present = facts.desired.master_uri.rstrip('/')
    old: Dict[str, List[str]] = {}
    for process in facts.processes:
        uri = process.variables.get('ROS_MASTER_URI', '').rstrip('/')
        if uri != present and is_overlay_host(host_of(uri), facts.status):
            old.setdefault(uri, []).append('{} (process {})'.format(process.name, process.pid))
    verdicts: List[Verdict] = [
        warn('{} was started for the master {}.'.format(listed(names), uri),
             'The team\'s is {}: nodes do not follow a move.'.format(present or 'none now'),
             'stop it and start it again with: ua-overlay exec COMMAND')
        for uri, names in sorted(old.items())]
    return verdicts or ok('No node points to a former master.')
