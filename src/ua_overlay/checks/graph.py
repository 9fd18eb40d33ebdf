"""Checks of the team graph: names, master, what nodes call themselves, who may reach whom. Pure."""
from ua_overlay import defaults
from ua_overlay.checks import facts as fact_types
from ua_overlay.checks.finding import error, ok, unknown, warn
from ua_overlay.checks.hosts import full_names, host_of, is_loopback, is_overlay_host, overlay_nodes, short_names
from ua_overlay.rosenv.environment import (
    MASTER_OFFLINE,
    NAME_UNRESOLVED,
    NO_OVERLAY,
    OK,
    SETTLING,
)
from ua_overlay.rosenv.team import dns_name, ipv4, team_mates

SHOWN = 4
_START = 'ua-overlay exec --local roslaunch ua_overlay overlay.launch'


def listed(items):
    """'a, b, c, d and 3 more'."""
    items = list(items)
    rest = len(items) - SHOWN
    return ', '.join(items[:SHOWN]) + (' and {} more'.format(rest) if rest > 0 else '')


def names(facts):
    """This machine resolves its own overlay name and those of its team mates."""
    report, desired = facts.names, facts.desired
    if report is None and desired is not None and (desired.state == NAME_UNRESOLVED or desired.state == OK
                                                   and not desired.names_ok):
        return error(desired.why, 'ROS nodes hand out names.', desired.next_command)
    if report is None or not facts.running:
        return None
    if not report.ok:
        failing = report.unresolved[0] if report.unresolved else dns_name(facts.status.self_node)
        return error(report.why, 'ROS nodes hand out names: what this machine does not resolve it cannot receive from.',
                     'resolvectl status; getent ahostsv4 ' + failing)
    if facts.preferences.addressing == defaults.ADDRESSES:
        return ok('The team uses addresses, and ours is on an interface.')
    return ok('The names of this robot and of {} team mates resolve here.'.format(
        len(team_mates(facts.status, facts.preferences.team))))


def environment(facts):
    """The team has one master, and the env file for shells and programs is there."""
    desired = facts.desired
    if facts.env_problem:
        return error(facts.env_problem, 'Shells and programs get no team environment.',
                     'ls -la /run/ua_overlay')
    if desired is None or desired.state == NO_OVERLAY:
        return None
    if desired.state == SETTLING:
        return ok(desired.why)
    if desired.state == NAME_UNRESOLVED:
        return None  # the check of the names says it
    if desired.state not in (OK, MASTER_OFFLINE):
        return warn(desired.why, 'Without one master there is no team graph.', desired.next_command)
    if facts.actual == {}:
        return error('Shells and programs have no team environment: there is no env file.',
                     'The overlay node, which writes it, does not run here or has just begun.', _START)
    if facts.actual is not None and facts.actual.get('ROS_MASTER_URI', desired.master_uri) != desired.master_uri:
        return warn('The env file names the master {}, and the team\'s is {}.'.format(
            facts.actual['ROS_MASTER_URI'], desired.master_uri),
            'A move takes some seconds to reach every robot; else the overlay node hangs.', 'ua-overlay env --json')
    if desired.state == MASTER_OFFLINE:
        return warn(desired.why, 'Nodes that run go on; new ones find no master.', desired.next_command)
    return ok(desired.why)


def master(facts):
    """The team's master answers over the overlay."""
    desired, graph = facts.desired, facts.graph
    if desired is None or not desired.usable or graph is None or desired.state == MASTER_OFFLINE:
        return None
    if graph.alive:
        return ok('The master {} answers.'.format(graph.uri))
    why = graph.why or 'The master {} does not answer.'.format(graph.uri)
    if desired.is_master:
        return warn(why, 'This robot is the master: overlay.launch runs the roscore.', _START)
    return warn(why, 'On {} overlay.launch runs the roscore.'.format(desired.master),
                'ua-overlay doctor   # on {}'.format(desired.master))


def foreign_master(facts):
    """The team's master was started by a roscore, and not by somebody's roslaunch."""
    graph = facts.graph
    if graph is None or graph.launched is None or facts.desired is None:
        return None
    if not graph.launched:
        return ok('The master was started by a roscore.')
    return warn('The master at {} belongs to a roslaunch that also runs {}.'.format(
        graph.uri, listed(graph.launched)),
        'The team graph goes when that launch ends, and the overlay\'s own roscore cannot start beside it.',
        'end that roslaunch on {}, and start it again with: ua-overlay exec --wait roslaunch …'.format(
            facts.desired.master))


def ports_out(facts):
    """The team port and an ephemeral port of every team mate that is online take a connection of ours."""
    if not facts.attempts:
        return None
    blocked = [item for item in facts.attempts if item.result == fact_types.DROPPED]
    if not blocked:
        bad = [item for item in facts.attempts if item.result == fact_types.NO_ROUTE]
        if bad:
            return error('There is no route to {}.'.format(listed(sorted({item.peer for item in bad}))),
                         'The overlay\'s routes are missing on this machine.', 'ip rule; ip route show table 52')
        return ok('{} can be reached on {}.'.format(
            listed(sorted({item.peer for item in facts.attempts})),
            ' and '.join(sorted({item.kind for item in facts.attempts}))))
    verdicts = []
    silent = sorted({item.peer for item in blocked if item.ping is False})
    if silent:
        verdicts.append(error('{} does not answer at all, though the server calls it online.'.format(listed(silent)),
                              'It was switched off or lost its network a moment ago, or UDP and TCP to the server are '
                              'both cut.', 'ua-overlay status'))
    for peer in sorted({item.peer for item in blocked if item.ping is not False}):
        ports = [item for item in blocked if item.peer == peer]
        passing = any(item.peer == peer and item.result in (fact_types.OPEN, fact_types.REFUSED)
                      for item in facts.attempts)
        verdicts.append(error(
            'Connections to {} of {} are dropped.'.format(listed(
                '{} (TCP {})'.format(item.kind, item.port) for item in ports), peer),
            '{}, so the site\'s policy does not grant it, or a firewall on {} drops it. ROS needs every port between '
            'the robots of a team.'.format('Other ports pass' if passing else 'The robot answers pings', peer),
            'ua-overlay policy show on the server, then on {}: sudo nft list ruleset'.format(peer)))
    return verdicts


def ports_in(facts):
    """Team mates reach this robot on an ephemeral port, by its name; the master also tells whether it resolves it."""
    if not facts.running or facts.inbound is None or facts.desired is None:
        return None
    mates = [mate for mate in team_mates(facts.status, facts.preferences.team) if mate.online]
    if not mates:
        return None
    came = {mate.name for mate in mates if any(address in mate.addresses for address, _ in facts.inbound)}
    callback = facts.graph.callback if facts.graph is not None else None
    own, master_name = facts.status.self_node, facts.desired.master
    if callback is not None and callback.by_address is False:
        return error('{}, the master, cannot reach this robot on an ephemeral port.'.format(master_name),
                     'Its team port answers from here, so the site\'s policy grants one direction or some ports only, '
                     'or a firewall on this machine drops them.',
                     'sudo nft list ruleset, and on the server: ua-overlay policy show')
    if callback is not None and callback.by_name is False:
        return error('{}, the master, does not reach this robot under its name {}.'.format(master_name, dns_name(own)),
                     'It does under the address {}, so the name does not resolve there.'.format(ipv4(own)),
                     'getent ahostsv4 {}   # on {}'.format(dns_name(own), master_name))
    if callback is not None and callback.by_address:
        came.add(master_name)
    unseen = sorted(mate.name for mate in mates if mate.name not in came)
    if unseen:
        begin = '{} reached this robot. '.format(listed(sorted(came))) if came else ''
        return unknown('{}Whether {} can reach this robot was not seen.'.format(begin, listed(unseen)),
                       'Only the master can be asked to call back; of the others a connection has to be there.',
                       'ua-overlay doctor   # on {}'.format(unseen[0]))
    return ok('{} reached this robot on an ephemeral port.'.format(listed(sorted(came))))


def node_names(facts):
    """Every node that the master hands out is registered under a name that all robots resolve."""
    if not facts.running or facts.graph is None or not facts.graph.alive or facts.graph.nodes is None:
        return None
    robots = overlay_nodes(facts.status)
    good, short = full_names(robots), short_names(robots)
    bad, weak = {}, {}
    for node, uri in facts.graph.nodes:
        host = host_of(uri)
        if host not in good:
            (weak if host in short else bad).setdefault(host or '(none)', []).append(node)
    verdicts = []
    for host, nodes in sorted(bad.items()):
        if is_loopback(host):
            why = 'That is each machine itself: the node was started with the local graph\'s name.'
        elif is_overlay_host(host, facts.status):
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


def _half(variables, facts):
    """What is wrong with a set of ROS variables as (what, why), or None."""
    uri = variables.get('ROS_MASTER_URI', '')
    host = host_of(uri)
    hostname, address = variables.get('ROS_HOSTNAME', ''), variables.get('ROS_IP', '')
    # ROS_HOSTNAME wins over ROS_IP (rosgraph.network.get_address_override).
    key, name = ('ROS_HOSTNAME', hostname) if hostname else ('ROS_IP', address)
    if is_overlay_host(host, facts.status):
        own = full_names([facts.status.self_node]) if facts.status is not None else set()
        if name and (name.lower() in own or not own and in_overlay(name, facts)):
            return None
        if not name:
            return ('the master {} is the overlay\'s, but neither ROS_HOSTNAME nor ROS_IP is set'.format(uri),
                    'ROS then calls itself by the machine\'s host name, which other robots do not resolve.')
        return ('the master {} is the overlay\'s, but {}={} is not this robot\'s overlay name'.format(uri, key, name),
                'rostopic list works then, and no message arrives: the others cannot connect back.')
    if host and not is_loopback(host) and name and in_overlay(name, facts):
        return ('{}={} is the overlay\'s, but the master {} is not'.format(key, name, uri),
                'Machines of that network that are not in the overlay cannot connect back.')
    return None


def in_overlay(name, facts):
    return is_overlay_host(name.lower().rstrip('.'), facts.status)


def half_connected(facts):
    """Neither this shell nor a running node mixes the overlay's master with another network's name, or the reverse."""
    if facts.shell is None and facts.processes is None:
        return None
    verdicts = []
    if facts.shell is not None:
        problem = _half(facts.shell, facts)
        if problem:
            verdicts.append(error('In this shell {}.'.format(problem[0]), problem[1],
                                  'unset ROS_HOSTNAME ROS_IP ROS_MASTER_URI, then source setup.bash again; or prefix '
                                  'the command: ua-overlay exec COMMAND'))
    for process in facts.processes or ():
        problem = _half(process.variables, facts)
        if problem:
            verdicts.append(error('In {} (process {}) {}.'.format(process.name, process.pid, problem[0]), problem[1],
                                  'start it again with: ua-overlay exec COMMAND'))
    return verdicts or ok('Master and own name belong together, in this shell and in running nodes.')


def old_master(facts):
    """No node that was started by hand still talks to a master of the overlay that is not the team's any more."""
    if facts.processes is None or facts.desired is None:
        return None
    present = facts.desired.master_uri.rstrip('/')
    old = {}
    for process in facts.processes:
        uri = process.variables.get('ROS_MASTER_URI', '').rstrip('/')
        if uri != present and is_overlay_host(host_of(uri), facts.status):
            old.setdefault(uri, []).append('{} (process {})'.format(process.name, process.pid))
    return [warn('{} was started for the master {}.'.format(listed(names), uri),
                 'The team\'s is {}: nodes do not follow a move.'.format(present or 'none now'),
                 'stop it and start it again with: ua-overlay exec COMMAND')
            for uri, names in sorted(old.items())] or ok('No node points to a former master.')
