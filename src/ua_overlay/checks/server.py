"""Checks of the site's server as this robot sees it. Pure."""
from ua_overlay.checks.finding import error, ok, warn
from ua_overlay.checks.robot import DAY, when
from ua_overlay.rosenv.team import team_of

#: The server's timer renews 30 days before the end; with less than this left it has failed for two weeks.
CERTIFICATE_WARNING = 14 * DAY
CERTIFICATE_ERROR = 2 * DAY
CA_WARNING = 90 * DAY
#: Seconds. The server's HTTP date has whole seconds, so an offset below is no statement.
CLOCK_WARNING = 2
#: Seconds from which log files, tf and expiries make no sense any more.
CLOCK_ERROR = 30

#: Codes of the probe that other checks than `server` are for.
_CERTIFICATE_CODES = ('CERT_EXPIRED',)
_CLOCK_CODES = ('CLOCK',)


def server(facts):
    """The server answers over TLS that the site's CA vouches for."""
    seen = facts.server
    if seen is None or not seen.url and seen.problem is None:
        return None
    if seen.problem is not None:
        if seen.problem.code in _CERTIFICATE_CODES + _CLOCK_CODES:
            return None
        return error(seen.problem.sentence, 'Links that exist go on; joins, moves and new links wait for the server.',
                     seen.problem.next_command)
    return ok('The server {} answers.'.format(seen.url))


def registered(facts):
    """The server knows this robot, whatever tailscaled believes."""
    seen = facts.server
    if seen is None or seen.key_known is None or not facts.running:
        return None
    name = facts.status.self_node.name
    if seen.key_known:
        return ok('The server knows {}.'.format(name))
    team = team_of(facts.status.self_node, facts.preferences.team) or 'TEAM'
    return error('The server does not know {} any more, although tailscaled says that it runs.'.format(name),
                 'It was removed there while it was connected, and nobody tells it so (headscale 3410): links that '
                 'exist may go on for a while, new ones do not come about.',
                 'ua-overlay invite {} {}   # on the server, then here: ua-overlay join INVITATION'.format(team, name))


def certificate(facts):
    """Neither the server's certificate nor the CA ends soon."""
    seen = facts.server
    if seen is None:
        return None
    if seen.problem is not None and seen.problem.code in _CERTIFICATE_CODES:
        return error(seen.problem.sentence, 'No robot can join or come back until it is renewed.',
                     seen.problem.next_command)
    if seen.ca_not_after is not None and seen.ca_not_after - facts.now < CA_WARNING:
        level = error if seen.ca_not_after <= facts.now else warn
        return level('The CA of the site ends on {}.'.format(when(seen.ca_not_after)),
                     'Every robot needs the new one before.', 'ua-overlay server rotate-ca start   # on the server')
    if seen.not_after is None:
        return None
    left = seen.not_after - facts.now
    if left < CERTIFICATE_WARNING:
        level = error if left < CERTIFICATE_ERROR else warn
        return level('The certificate of {} ends on {}.'.format(seen.url, when(seen.not_after)),
                     'The server renews it a month before; that has not worked.',
                     'ua-overlay server renew   # on the server')
    return ok('The server\'s certificate is good until {}.'.format(when(seen.not_after)))


def clock(facts):
    """This machine's clock agrees with the server's."""
    seen = facts.server
    if seen is None:
        return None
    if seen.problem is not None and seen.problem.code in _CLOCK_CODES:
        return error(seen.problem.sentence, 'Every certificate is judged by this clock.', seen.problem.next_command)
    if seen.clock_offset is None:
        return None
    offset = seen.clock_offset
    if abs(offset) <= CLOCK_WARNING:
        return ok('The clock agrees with the server\'s within {} s.'.format(CLOCK_WARNING))
    level = error if abs(offset) >= CLOCK_ERROR else warn
    return level('The clock of this machine is {:.0f} s {} the server\'s.'.format(
        abs(offset), 'behind' if offset > 0 else 'ahead of'),
        'tf refuses transforms that are older or newer than its buffer, and stamps of other robots make no sense.',
        'timedatectl status')
