"""Checks of TCP between the robots of a team, in both directions: ROS needs every port. Pure."""
from ua_overlay.advice import command
from ua_overlay.checks.facts import DROPPED, NO_ROUTE, OPEN, REFUSED, Facts
from ua_overlay.checks.finding import Verdicts, error, listed, ok, unknown
from ua_overlay.rosenv.team import dns_name, ipv4, team_mates


def ports_out(facts: Facts) -> Verdicts:
    """The team port and an ephemeral port of every team mate that is online accept a connection of ours."""
    if not facts.attempts:
        return None
    blocked = [item for item in facts.attempts if item.result == DROPPED]
    if not blocked:
        bad = [item for item in facts.attempts if item.result == NO_ROUTE]
        if bad:
            return error('There is no route to {}.'.format(listed(sorted({item.peer for item in bad}))),
                         'The overlay\'s routes are missing on this machine.', 'sudo systemctl restart tailscaled')
        return ok('{} can be reached on {}.'.format(
            listed(sorted({item.peer for item in facts.attempts})),
            ' and '.join(sorted({item.kind for item in facts.attempts}))))
    verdicts = []
    silent = sorted({item.peer for item in blocked if item.ping is False})
    if silent:
        verdicts.append(error('{} does not answer at all, although the server reports it as online.'.format(
            listed(silent)), 'It was switched off or lost its network a moment ago, or UDP and TCP to the server are '
                             'both cut.', command('ua-overlay doctor   # on {}', silent[0])))
    for peer in sorted({item.peer for item in blocked if item.ping is not False}):
        ports = [item for item in blocked if item.peer == peer]
        passing = any(item.peer == peer and item.result in (OPEN, REFUSED) for item in facts.attempts)
        verdicts.append(error(
            'Connections to {} of {} are dropped.'.format(listed(
                '{} (TCP {})'.format(item.kind, item.port) for item in ports), peer),
            '{}, so the site\'s policy does not grant it, or a firewall on {} drops it. ROS needs every port between '
            'the robots of a team.'.format('Other ports pass' if passing else 'The robot answers pings', peer),
            command('ua-overlay policy show   # on the server; if its rules allow it, on {}: sudo nft list ruleset',
                    peer)))
    return verdicts


def ports_in(facts: Facts) -> Verdicts:
    """Team mates reach this robot on an ephemeral port; the master's callback also reaches it by name."""
    if facts.network is None or facts.desired is None or facts.reached is None and (
            facts.graph is None or facts.graph.callback is None):
        return None
    mates = [mate for mate in team_mates(facts.network, facts.preferences.team) if mate.online]
    if not mates:
        return None
    reached = dict(facts.reached or ())
    callback = facts.graph.callback if facts.graph is not None else None
    own, master_name = facts.network.self_node, facts.desired.master
    if callback is not None and callback.by_address is not None:
        reached[master_name] = callback.by_address
    cut = sorted(name for name, came in reached.items() if not came)
    if cut and facts.shields_up:
        return error('{} cannot reach this robot: tailscaled refuses every connection.'.format(listed(cut)),
                     'Somebody typed `tailscale set --shields-up` or `tailscale up --shields-up`.',
                     'sudo tailscale set --shields-up=false')
    if cut:
        return error('{} cannot reach this robot on an ephemeral port.'.format(
            ', '.join(name + (' (the master)' if name == master_name else '') for name in cut)),
            'It was asked to connect just now, and no connection arrived: the site\'s policy grants one direction or '
            'some ports only, or a firewall on this machine drops new connections.',
            'sudo nft list ruleset; sudo iptables -S   # and on the server: ua-overlay policy show')
    if callback is not None and callback.by_name is False:
        return error('{}, the master, cannot reach this robot by its name {}.'.format(master_name, dns_name(own)),
                     'It can by address ({}), so the name does not resolve there.'.format(ipv4(own)),
                     command('sudo systemctl restart tailscaled ua-overlay-agent   # on {0}; there, {1} must resolve',
                             master_name, dns_name(own)))
    came = sorted(name for name, arrived in reached.items() if arrived)
    unseen = sorted(mate.name for mate in mates if mate.name not in reached)
    if unseen:
        begin = '{} reached this robot. '.format(listed(came)) if came else ''
        return unknown('{}Whether {} can reach this robot is unknown.'.format(begin, listed(unseen)),
                       'Its overlay node is not in the team graph, so it cannot be asked to connect.',
                       command('ua-overlay doctor   # on {}', unseen[0]))
    return ok('{} reached this robot on an ephemeral port.'.format(listed(came)))
