"""Checks of the site's server from this robot's point of view. Pure."""
from urllib.parse import urlsplit

from ua_overlay.advice import command
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdicts, error, ok, warn
from ua_overlay.checks.robot import DAY, when
from ua_overlay.clock import format_duration
from ua_overlay.rosenv.team import team_of
from ua_overlay.tailscale import remembered_team as remembered

#: The server renews its certificate while it runs (server.process), defaults.RENEWAL_MARGIN_DAYS before the end. With
#: less than this left, the renewal has failed for two weeks.
CERTIFICATE_WARNING = 14 * DAY
CERTIFICATE_ERROR = 2 * DAY
CA_WARNING = 90 * DAY
#: Seconds. The server's HTTP date has whole seconds, so a smaller offset means nothing.
CLOCK_WARNING = 2
#: Clock offset, in seconds, at which log files, tf and expiries become useless.
CLOCK_ERROR = 30

#: Codes of the probe that other checks than `server` report.
_CERTIFICATE_CODES = ('CERT_EXPIRED',)
_CLOCK_CODES = ('CLOCK',)
#: The port to which HTTP proxies connect.
HTTPS_PORT = 443


def server(facts: Facts) -> Verdicts:
    """The server answers, with a certificate of the site's CA."""
    view = facts.server
    if view is None or not view.url and view.problem is None:
        return None
    if view.problem is not None:
        if view.problem.code in _CERTIFICATE_CODES + _CLOCK_CODES:
            return None
        return error(view.problem.sentence, 'Existing links go on; joins, moves and new links wait for the server.',
                     view.problem.next_command)
    if not view.proxy:
        return ok('The server {} answers.'.format(view.url))
    what = 'The server {} answers through the proxy {}'.format(view.url, view.proxy)
    if urlsplit(view.url).port not in (None, HTTPS_PORT):
        # tailscale 1.98: derp/derphttp, dialNodeUsingProxy.
        return warn('{}, but its DERP does not.'.format(what), 'tailscaled asks a proxy for DERP on port {} whatever '
                    'the map says, so this robot has no link through the server. A site for robots behind proxies has '
                    'that port.'.format(HTTPS_PORT),
                    command('ua-overlay server init --name FQDN --port {}   # on a new server', HTTPS_PORT))
    return ok(what + '.')


def registered(facts: Facts) -> Verdicts:
    """The server still knows this robot."""
    view = facts.server
    if view is None or view.key_known is None or facts.network is None:
        return None
    own = facts.network.self_node
    if view.key_known:
        return ok('The server knows {}.'.format(own.name))
    team = team_of(own, facts.preferences.team) or 'TEAM'
    return error('The server does not know {} any more, although tailscaled reports that it runs.'.format(own.name),
                 'The server removed this robot while it was connected and does not tell it (headscale 3410): existing '
                 'links may last a while, new ones fail.',
                 command('ua-overlay invite {} {}   # on the server, then here: ua-overlay join INVITATION',
                         team, own.name))


def remembered_team(facts: Facts) -> Verdicts:
    """The team is not one that this robot only remembers because the server is away."""
    team = facts.remembered_team
    if team is not None:
        level = warn if team.state(facts.now) == remembered.LASTING else error
        return level(team.sentences(facts.now), 'Members that were removed meanwhile are still trusted, and new ones '
                     'are unknown; links go on.', remembered.NEXT)
    if facts.network is None or facts.map_stamp is None or not facts.network.self_node.online:
        return None
    return ok('Without the server, a restart finds the team for {}.'.format(
        format_duration(facts.map_stamp.until - facts.map_stamp.seen)))


def certificate(facts: Facts) -> Verdicts:
    """Neither the server's certificate nor the CA expires soon."""
    view = facts.server
    if view is None:
        return None
    if view.problem is not None and view.problem.code in _CERTIFICATE_CODES:
        return error(view.problem.sentence, 'No robot can join or come back until it is renewed.',
                     view.problem.next_command)
    if view.ca_not_after is not None and view.ca_not_after - facts.now < CA_WARNING:
        level = error if view.ca_not_after <= facts.now else warn
        return level('The CA of the site expires on {}.'.format(when(view.ca_not_after)),
                     'Every robot needs the new one before.', 'ua-overlay server rotate-ca start   # on the server')
    if view.not_after is None:
        return None
    left = view.not_after - facts.now
    if left < CERTIFICATE_WARNING:
        level = error if left < CERTIFICATE_ERROR else warn
        return level('The certificate of {} expires on {}.'.format(view.url, when(view.not_after)),
                     'The server renews it a month before; that has not worked.',
                     'ua-overlay server renew   # on the server')
    return ok('The server\'s certificate is good until {}.'.format(when(view.not_after)))


def clock(facts: Facts) -> Verdicts:
    """This machine's clock agrees with the server's."""
    view = facts.server
    if view is None:
        return None
    if view.problem is not None and view.problem.code in _CLOCK_CODES:
        return error(view.problem.sentence, 'Every certificate is judged by this clock.', view.problem.next_command)
    if view.clock_offset is None:
        return None
    offset = view.clock_offset
    if abs(offset) <= CLOCK_WARNING:
        return ok('The clock agrees with the server\'s within {} s.'.format(CLOCK_WARNING))
    level = error if abs(offset) >= CLOCK_ERROR else warn
    behind = offset > 0
    return level('The clock of this machine is {:.0f} s {} the server\'s.'.format(
        abs(offset), 'behind' if behind else 'ahead of'),
        'tf refuses transforms that are older or newer than its buffer, and the stamps of other robots are wrong.',
        'sudo date -s "{:.0f} seconds{}"   # once; `Clocks` in docs/operate.md keeps it right'.format(
            abs(offset), '' if behind else ' ago'))
