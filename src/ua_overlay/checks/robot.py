"""Checks of this machine: its tailscaled, its login, the address range of the overlay. Pure."""
import ipaddress

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdicts, error, listed, ok, warn
from ua_overlay.checks.health import lost_state
from ua_overlay.checks.hosts import overlay_nodes
from ua_overlay.clock import format_utc, from_unix
from ua_overlay.rosenv.team import ipv4, team_of
from ua_overlay.system.interfaces import in_overlay
from ua_overlay.system.version import parse_version
from ua_overlay.tags import CGNAT_LANS, belonging, describe_belonging

DAY = 86400.0
#: Seconds before a key expires at which the warning begins.
KEY_MARGIN = 14 * DAY

#: tailscaled's state -> sentence, why, next command of the check of the login.
_LOGINS = {
    'Stopped': ('This robot left its team and keeps its identity.', '', 'ua-overlay join'),
    'Starting': ('tailscaled is starting: it has no network map yet.', 'That lasts while the server does not answer.',
                 'ua-overlay status'),
}


def when(seconds: float) -> str:
    """Return Unix seconds as text for people."""
    return format_utc(from_unix(seconds))


def daemon(facts: Facts) -> Verdicts:
    """tailscaled answers."""
    if facts.daemon_problem is not None:
        problem = facts.daemon_problem
        return error(problem.sentence, 'Without it this robot has no overlay.', problem.next_command)
    if facts.status is None:
        return None
    return ok('tailscaled {} answers.'.format(facts.status.version).replace('  ', ' '))


def daemon_tested(facts: Facts) -> Verdicts:
    """tailscaled is not newer than what this package was tested with."""
    if facts.daemon_problem is not None or facts.status is None:
        return None
    own, newest = parse_version(facts.status.version), parse_version(facts.newest_tested)
    if own is None or newest is None:
        return None
    # Patch releases repair things; the bus and the status change with minor versions.
    if own[:2] > newest[:2]:
        return warn('tailscaled {} is newer than {}, the newest with which this package was tested.'.format(
            facts.status.version, facts.newest_tested), 'It usually works, but nobody has tried it.',
            command('make canary VERSION={}   # in a checkout of this package: whether it works',
                    '.'.join(map(str, own))))
    return ok('tailscaled {} is not newer than {}, which was tested.'.format(
        facts.status.version, facts.newest_tested))


def login(facts: Facts) -> Verdicts:
    """This robot is in a team, and the server sees it."""
    if facts.status is None or facts.daemon_problem is not None:
        return None
    if lost_state(facts):
        return None  # the check of the health reports it
    if facts.status.state == 'NeedsLogin' and not facts.status.have_node_key and facts.preferences.team:
        name = facts.former_name
        return error('{} was in team {} and has lost its identity.'.format(
            name or 'This robot', facts.preferences.team),
            'tailscaled\'s state was removed, or lost in a power cut; an invitation that was used is spent.',
            command('ua-overlay robot remove {0}; ua-overlay invite {1} {0}   # on the server, then here: '
                    'ua-overlay join INVITATION', name or 'ROBOT', facts.preferences.team))
    if facts.status.refused:
        own = facts.status.self_node
        team = team_of(own, facts.preferences.team) or facts.preferences.team or 'TEAM'
        return error('The server does not know {} any more.'.format(own.name or 'this robot'),
                     'It was removed there, or its key expired.',
                     command('ua-overlay invite {} {}   # on the server, then here: ua-overlay join INVITATION',
                             team, own.name or 'ROBOT'))
    if not facts.status.running:
        return warn(*_LOGINS.get(facts.status.state, ('This robot is in no team.', '', 'ua-overlay join INVITATION')))
    own = facts.status.self_node
    whose = team_of(own, facts.preferences.team) or belonging(own.tags, own.user)
    if not whose:
        return error('{} is in the overlay but in no team.'.format(own.name), 'Its tags on the server name none.',
                     command('ua-overlay robot move {} TEAM   # on the server', own.name))
    text = '{} is in {} at {}.'.format(own.name, describe_belonging(whose), ipv4(own))
    if not own.online:
        return warn(text + ' The server does not see it.', 'It was removed on the server, or the server is away.',
                    'ua-overlay robot list   # on the server')
    return ok(text)


def key_expiry(facts: Facts) -> Verdicts:
    """The key with which this robot is logged in does not expire soon."""
    if facts.network is None:
        return None
    own = facts.network.self_node
    again = command('ua-overlay invite {} {}   # on the server, then here: ua-overlay join INVITATION',
                    team_of(own, facts.preferences.team) or 'TEAM', own.name)
    if own.expired or (own.key_expiry is not None and own.key_expiry <= facts.now):
        return error('The key of {} has expired{}.'.format(
            own.name, '' if own.key_expiry is None else ' on ' + when(own.key_expiry)),
            'Its peers drop what it sends.', again)
    if own.key_expiry is None:
        return ok('The key does not expire.')
    if own.key_expiry - facts.now < KEY_MARGIN:
        return warn('The key of {} expires on {}.'.format(own.name, when(own.key_expiry)),
                    'From then on its peers drop what it sends. The keys of tagged robots do not expire.', again)
    return ok('The key is good until {}.'.format(when(own.key_expiry)))


def address_range(facts: Facts) -> Verdicts:
    """No other interface has an address in the overlay's range, or tailscaled accepts that range there."""
    if facts.interfaces is None:
        return None
    own = () if facts.status is None else facts.status.self_node.addresses
    others = [(name, address, length) for name, address, length in facts.interfaces
              if address not in own and in_overlay(address) and not name.startswith('tailscale')]
    if not others:
        return ok('No other interface uses {}.'.format(defaults.OVERLAY_V4))
    subnets = [ipaddress.ip_interface('{}/{}'.format(address, length)).network for _, address, length in others]
    clashing = sorted((node for node in overlay_nodes(facts.status)
                       if ipv4(node) and any(ipaddress.ip_address(ipv4(node)) in subnet for subnet in subnets)),
                      key=lambda node: node.name)
    what = '{} uses the overlay\'s range {}'.format(', '.join(
        'Interface {} ({}/{})'.format(*other) for other in others), defaults.OVERLAY_V4)
    if clashing:
        # Headscale gives a random address to a machine that joins anew.
        first = clashing[0]
        again = ('ua-overlay robot remove {0}; ua-overlay invite {1} {0}   # on the server, and join on {0}',
                 first.name, team_of(first, '') or 'TEAM')
        if first.name == (facts.status.self_node.name if facts.status else ''):
            again = ('ua-overlay leave --forget   # here; then on the server: ua-overlay robot remove {0}; ua-overlay '
                     'invite {1} {0}', first.name, again[2])
        return error('{}, and the addresses of {} lie in that subnet.'.format(
            what, listed(node.name for node in clashing)), 'Their packets leave on the wrong interface. A machine that '
            'joins anew gets another address.', command(*again))
    if facts.network is not None and CGNAT_LANS in facts.network.self_node.attributes:
        return ok('{}, and tailscaled accepts that range there.'.format(what))
    return warn(what + '.', 'tailscaled drops packets from that range that arrive on another interface: the answers of '
                'a carrier\'s name servers and gateway, for instance.',
                'sudo ua-overlay policy cgnat-lans on   # on the server')
