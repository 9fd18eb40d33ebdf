"""`ua-overlay server check` and `server forwarding`."""
import argparse
import dataclasses
import json
import socket

from ua_overlay import defaults
from ua_overlay.cli.shared.args import add_dir, explained, load_site, load_site_and_problem
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.remote_hosts import check_reachable
from ua_overlay.relays import check, derp_certificate
from ua_overlay.server import forwarding, service, service_egress
from ua_overlay.system import control_socket
from ua_overlay.trust import ca_pin, names
from ua_overlay.trust import invitation as invitations

_SHOWN = {True: 'OK', False: 'failed', None: 'unknown'}


def add_parser(commands):
    """Add both to the commands of `server`."""
    checking = commands.add_parser(
        'check', help='can robots reach it: TLS, STUN, DERP, the relays',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Looks at each way by which robots reach the site and says OK or failed. On the server it probes\n'
                    'at the processes, and at the remote hosts. --from-outside looks at the public addresses, as a\n'
                    'robot does; on another machine it takes name and CA from an invitation, whose key it never uses.\n'
                    'As root it sees whether the rule that nothing leaves the site is in force. Exit status 0 when\n'
                    'nothing failed.',
        epilog='examples:\n  ua-overlay server check\n  ua-overlay server check --from-outside        # through the '
               'forwarded ports, from behind them\n'
               '  ua-overlay server check --from-outside --invitation dev-1.invitation.yaml   # on any machine')
    checking.add_argument('--from-outside', action='store_true', help='look at the public addresses')
    checking.add_argument('--invitation', metavar='FILE', help='where there is no site directory: an invitation of it')
    checking.add_argument('--stun-port', type=int, default=defaults.STUN_PORT, metavar='PORT',
                          help='with --invitation (default: %(default)s)')
    checking.add_argument('--relay-port', type=int, default=defaults.RELAY_PORT, metavar='PORT',
                          help='with --invitation (default: %(default)s)')
    checking.add_argument('--json', action='store_true', help='for programs')
    add_dir(checking)
    checking.set_defaults(run=run_check)

    rules = commands.add_parser(
        'forwarding', help='the rules of a machine that forwards ports to the server',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Prints what a machine with the public address has to forward to the server: as nftables rules,\n'
                    'or in words for a router that somebody else runs.',
        epilog='examples:\n  ua-overlay server forwarding > forward.nft       # on the machine in front: nft -f '
               'forward.nft\n  ua-overlay server forwarding --format text\n'
               '  ua-overlay server forwarding --beside 192.168.7.0/24         # robots in the network of the server')
    rules.add_argument('--to', metavar='ADDRESS', help='the server\'s private address, if site.yaml does not say it')
    rules.add_argument('--beside', action='append', default=[], metavar='NETWORK',
                       help='robots of this network, behind the same machine, reach the server as well; may be '
                       'repeated. What the server sees of them is that machine: they are DIRECT among themselves, and '
                       'relayed to robots outside')
    rules.add_argument('--format', choices=('nft', 'text'), default='nft', help='default: %(default)s')
    rules.add_argument('--json', action='store_true', help='the ports, for programs')
    add_dir(rules)
    rules.set_defaults(run=run_forwarding)


def run_forwarding(args):
    settings = load_site(args).settings
    found = forwarding.forwards(settings, check_reachable(args.to) if args.to else None)
    if args.json:
        print(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        beside = [forwarding.check_beside(network) for network in args.beside]
        print({'nft': forwarding.nftables, 'text': forwarding.as_text}[args.format](found, beside), end='')
    return 0


def run_check(args):
    if args.invitation and not args.from_outside:
        raise UsageError('An invitation is for looking from outside.',
                         'ua-overlay server check --from-outside --invitation {}'.format(args.invitation))
    probes, results = (_probes_by_invitation(args), []) if args.invitation else _probes_by_site(args)
    with Progress()('Looking at {} places'.format(len(probes))):
        results = results + check.run_probes(probes)
    if args.json:
        print(json.dumps([dataclasses.asdict(each) for each in results], indent=2))
    else:
        print(format_table(('WHAT', 'WHERE', '', 'SEEN'),
                           [(each.what, each.endpoint, _SHOWN[each.ok], each.text) for each in results]))
        for each in results:
            if not each.ok:
                print('{} at {} {}: {}. Next: {}'.format(
                    each.what, each.endpoint, 'failed' if each.ok is False else 'is unknown', each.text,
                    each.next_command))
    return 1 if any(each.ok is False for each in results) else 0


def _probes_by_site(args):
    site, problem = load_site_and_problem(args)
    files = [] if problem is None else [check.ProbeResult(
        'site.yaml', 'this machine', False, explained(problem).sentence.rstrip('.'), problem.next_command)]
    settings, trust = site.settings, {'ca_file': site.ca_file}
    ports = (settings.port, settings.stun_port, settings.relay_port)
    if args.from_outside:
        if not settings.addresses:
            raise UsageError('The site {} has no public address.'.format(settings.name),
                             'edit "addresses" in site.yaml')
        mend = site.command('server forwarding --format text') if settings.private else site.command('server check')
        probes = [probe for address in settings.addresses for probe in check.probes_of_server(
            address, settings.name, ports, trust, lambda protocol, port: mend)]
        return probes + check.probes_of_hosts(settings, trust), files
    probes = check.probes_of_server('127.0.0.1', settings.name, ports, trust,
                                    lambda protocol, port: site.command('server status'))
    return probes + check.probes_of_hosts(settings, trust), (
        files + [_own_relay(site)] + _own_rule(site) + _certificates_of_hosts(site))


def _own_relay(site):
    """What the running server says of its relay: whether it carries cannot be seen from its port."""
    try:
        report = control_socket.ask(site.control_socket, 'status', timeout=15)['relay']
    except OverlayError as error:
        return check.ProbeResult('relay keeper', 'this machine', False, error.sentence.rstrip('.'), error.next_command)
    ok = report.get('ok', False)
    text = '{}, {} session(s), {} carried, mended {} time(s)'.format(
        report['state'], report.get('sessions', 0), report.get('carrying', 0), report.get('repairs', 0))
    if report.get('note'):
        text += '; ' + report['note']
    return check.ProbeResult('relay keeper', 'this machine', ok, text,
                             '' if ok else 'less {}'.format(site.path('log', 'relay.log')))


def _own_rule(site):
    """The rule that nothing leaves the site, where the server is a service."""
    found = service_egress.rule_state(service.SERVER, site.directory)
    return [] if found is None else [check.ProbeResult('egress rule', 'this machine', *found)]


def _certificates_of_hosts(site):
    """Until when those of remote DERP regions are good, as the running server saw them: nothing renews them."""
    try:
        ends = control_socket.ask(site.control_socket, 'status', timeout=15)['derp_ends']
    except OverlayError:
        return []  # said by the look at its relay
    found = []
    for name in sorted(ends):
        problem = derp_certificate.warning(name, ends[name], utc_now().timestamp())
        found.append(check.ProbeResult('certificate of DERP', name, problem is None, 'until {}, {} days'.format(
            derp_certificate.format_end(ends[name]), derp_certificate.days_left(ends[name], utc_now().timestamp())),
            '' if problem is None else problem.next_command))
    return found


def _probes_by_invitation(args):
    invitation = invitations.read(args.invitation)
    server = names.parse_server_url(invitation.server_url)
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OverlayError('The name {} does not resolve here: {}.'.format(server.host, error.strerror),
                           'getent hosts {}'.format(server.host))
    ca_pem = ca_pin.ca_of(invitation)
    return [probe for address in dict.fromkeys(each[4][0] for each in found)
            for probe in check.probes_of_server(
                address, server.host, (server.port, args.stun_port, args.relay_port),
                {'ca_pem': ca_pem}, lambda protocol, port:
                'open {} {} on the way, then on the server: ua-overlay server check'.format(protocol.upper(), port))]
