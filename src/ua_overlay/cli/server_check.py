"""`ua-overlay server check` and `server forwarding`."""
import argparse
import dataclasses
import json
import socket
from typing import List, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command as command_line
from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.site import explained, load_site, load_site_and_problem, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.remote_hosts import check_reachable
from ua_overlay.relays import check, derp_certificate
from ua_overlay.relays.check import Probe, ProbeResult
from ua_overlay.server import apart_relays, disk, forwarding, service, service_egress
from ua_overlay.site.site import Site
from ua_overlay.system import control_socket
from ua_overlay.trust import ca_pin, invitation_file, names

_SHOWN = {True: 'OK', False: 'failed', None: 'unknown'}

CHECK = """\
Check everything that robots reach at the site: TLS, STUN, DERP and the relays. On the server this tests the processes
and the remote hosts. With --from-outside it tests the public addresses, as a robot does; on another machine it takes
the name and the CA from an invitation, whose key it never uses. Only root can see whether the egress rule is in
force."""

CHECK_EPILOG = """\
exit status:
  0  nothing failed
  1  something failed

examples:
  ua-overlay server check
  # through the forwarded ports, from behind them
  ua-overlay server check --from-outside
  # on any machine
  ua-overlay server check --from-outside --invitation dev-1.invitation.yaml"""

FORWARDING = """\
Print what a machine with the public address must forward to the server: as nftables rules, or as text for a router that
somebody else runs."""

FORWARDING_EPILOG = """\
examples:
  # then on the machine in front: nft -f forward.nft
  ua-overlay server forwarding > forward.nft
  ua-overlay server forwarding --format text
  # some robots are in the network of the server
  ua-overlay server forwarding --beside 192.168.7.0/24"""


def configure_check(parser: CommandParser) -> None:
    parser.describe(CHECK, CHECK_EPILOG)
    parser.add_argument('--from-outside', action='store_true', help='check the public addresses')
    parser.add_argument('--invitation', metavar='FILE', help='an invitation of the site, on a machine without its '
                                                             'directory')
    parser.add_argument('--stun-port', type=int, default=defaults.STUN_PORT, metavar='PORT',
                        help='with --invitation: UDP port of STUN (default: %(default)s)')
    parser.add_argument('--relay-port', type=int, default=defaults.RELAY_PORT, metavar='PORT',
                        help='with --invitation: UDP port of the peer relay (default: %(default)s)')
    parser.add_argument('--derp-port', type=int, default=0, metavar='PORT',
                        help='with --invitation: TCP port of a derper beside Headscale (default: none)')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_check)


def configure_forwarding(parser: CommandParser) -> None:
    parser.describe(FORWARDING, FORWARDING_EPILOG)
    parser.add_argument('--to', metavar='ADDRESS', help="the server's private address, if site.yaml does not have it")
    parser.add_argument('--beside', action='append', default=[], metavar='NETWORK',
                        help='robots in this network, behind the same machine, reach the server too; repeatable. The '
                             'server sees them at the address of that machine: their links to each other are DIRECT, '
                             'those to robots outside are relayed')
    parser.add_argument('--format', choices=('nft', 'text'), default='nft', help='output format (default: %(default)s)')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_forwarding)


def run_forwarding(args: argparse.Namespace) -> int:
    settings = load_site(args).settings
    forwards = forwarding.forwards(settings, check_reachable(args.to) if args.to else None)
    if args.json:
        print(json.dumps([dataclasses.asdict(each) for each in forwards], indent=2))
    else:
        beside = [forwarding.check_beside(network) for network in args.beside]
        print({'nft': forwarding.nftables, 'text': forwarding.as_text}[args.format](forwards, beside), end='')
    return 0


def run_check(args: argparse.Namespace) -> int:
    if args.invitation and not args.from_outside:
        raise UsageError('--invitation needs --from-outside.',
                         command_line('ua-overlay server check --from-outside --invitation {}', args.invitation))
    probes, results = (_probes_by_invitation(args), []) if args.invitation else _probes_by_site(args)
    with Progress()('Checking {} endpoints'.format(len(probes))):
        results = results + check.run_probes(probes)
    if args.json:
        print(json.dumps([dataclasses.asdict(each) for each in results], indent=2))
    else:
        print(format_table(('WHAT', 'WHERE', '', 'RESULT'),
                           [(each.what, each.endpoint, _SHOWN[each.ok], each.text) for each in results]))
        for each in results:
            if not each.ok:
                print('{} at {} {}: {}. Next: {}'.format(
                    each.what, each.endpoint, 'failed' if each.ok is False else 'is unknown', each.text,
                    each.next_command))
    return FAILED if any(each.ok is False for each in results) else 0


def _probes_by_site(args: argparse.Namespace) -> Tuple[List[Probe], List[ProbeResult]]:
    """(probes to run, results that need no probe) for the site on this machine."""
    site, problem = load_site_and_problem(args)
    results = [] if problem is None else [ProbeResult(
        'site.yaml', 'this machine', False, explained(problem).sentence.rstrip('.'), problem.next_command)]
    settings, trust = site.settings, {'ca_file': site.ca_file}
    ports = (settings.port, settings.stun_port, settings.relay_port)
    if args.from_outside:
        if not settings.addresses:
            raise UsageError('The site {} has no public address.'.format(settings.name),
                             'edit "addresses" in site.yaml')
        command = site.command('server forwarding --format text' if settings.private else 'server check')
        probes = [probe for address in settings.addresses for probe in check.probes_of_server(
            address, settings.name, ports, trust, lambda protocol, port: command, settings.derp_port)]
        return probes + check.probes_of_hosts(settings, trust), results
    probes = check.probes_of_server('127.0.0.1', settings.name, ports, trust,
                                    lambda protocol, port: site.command('server status'), settings.derp_port)
    return probes + check.probes_of_hosts(settings, trust), (
        results + [_own_relay(site)] + _own_problems(site) + _own_policy(site) + _own_rule(site)
        + _certificates_of_hosts(site) + _own_disk(site))


def _own_relay(site: Site) -> ProbeResult:
    """The report on the site's relay, of the running server or of the relay's own process: a probe of the port cannot
    show whether the relay carries traffic."""
    try:
        report = control_socket.ask(site.control_socket, 'status', timeout=15)['relay']
    except OverlayError as error:
        try:
            report = apart_relays.status(site)['relay']
        except OverlayError:
            return ProbeResult('relay keeper', 'this machine', False, error.sentence.rstrip('.'), error.next_command)
    ok = report.get('ok', False)
    text = '{}, {} session(s), {} carried, repaired {} time(s)'.format(
        report['state'], report.get('sessions', 0), report.get('carrying', 0), report.get('repairs', 0))
    if report.get('note'):
        text += '; ' + report['note']
    return ProbeResult('relay keeper', 'this machine', ok, text,
                       '' if ok else apart_relays.start_command(site)
                       if report.get('apart') and report.get('pid') is None else
                       'less {}'.format(site.path('log', 'relay.log')))


def _own_problems(site: Site) -> List[ProbeResult]:
    """What the running server says is wrong with itself."""
    try:
        found = control_socket.ask(site.control_socket, 'status', timeout=15).get('problems', [])
    except OverlayError:
        return []  # _own_relay reports it
    return [ProbeResult('server', 'this machine', False, each['sentence'].rstrip('.'), each['next']) for each in found]


def _own_policy(site: Site) -> List[ProbeResult]:
    """Whether Headscale enforces the rules of site.yaml, as it shows itself."""
    admin = make_admin(site)
    if not admin.server_running():
        return []  # _own_relay reports it
    shown = admin.enforced()
    return [ProbeResult('policy', 'this machine', shown.state, shown.sentence.rstrip('.'),
                        '' if shown.state else shown.next_command or site.command('server status'))]


def _own_disk(site: Site) -> List[ProbeResult]:
    """Whether the site's file systems have room, and its logs lose no line."""
    try:
        log_problems = control_socket.ask(site.control_socket, 'status', timeout=15).get('log_problems', [])
    except OverlayError:
        log_problems = []  # _own_relay reports it
    problems = disk.problems(site, log_problems)
    return [ProbeResult('disk', 'this machine', False, each.sentence.rstrip('.'), each.next_command)
            for each in problems] or [ProbeResult('disk', 'this machine', True, 'has room', '')]


def _own_rule(site: Site) -> List[ProbeResult]:
    """The egress rule, if the server runs as a service."""
    state = service_egress.rule_state(service.SERVER, site.directory)
    return [] if state is None else [ProbeResult('egress rule', 'this machine', *state)]


def _certificates_of_hosts(site: Site) -> List[ProbeResult]:
    """The expiry of remote DERP regions' certificates, as the running server saw them: nothing renews them."""
    try:
        ends = control_socket.ask(site.control_socket, 'status', timeout=15)['derp_ends']
    except OverlayError:
        return []  # _own_relay reports it
    results, now = [], utc_now().timestamp()
    for name in sorted(ends):
        problem = derp_certificate.warning(name, ends[name], now)
        results.append(ProbeResult('certificate of DERP', name, problem is None, 'until {}, {} days'.format(
            derp_certificate.format_end(ends[name]), derp_certificate.days_left(ends[name], now)),
            '' if problem is None else problem.next_command))
    return results


def _probes_by_invitation(args: argparse.Namespace) -> List[Probe]:
    """The probes for the site of an invitation, at every address of its name."""
    invitation = invitation_file.read(args.invitation)
    server = names.parse_server_url(invitation.server_url)
    try:
        answers = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OverlayError('The name {} does not resolve here: {}.'.format(server.host, error.strerror),
                           command_line('getent hosts {}', server.host))
    ca_pem = ca_pin.ca_of(invitation)
    return [probe for address in dict.fromkeys(str(each[4][0]) for each in answers)
            for probe in check.probes_of_server(
                address, server.host, (server.port, args.stun_port, args.relay_port),
                {'ca_pem': ca_pem}, lambda protocol, port:
                'open {} {} on the way, then on the server: ua-overlay server check'.format(protocol.upper(), port),
                args.derp_port)]
