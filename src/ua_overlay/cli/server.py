"""`ua-overlay server`: the control server of a site and its relay."""
import argparse
import functools
import json
import os
import sys
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command as command_line
from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.exit_status import ATTENTION, FAILED
from ua_overlay.cli.shared.parser import CommandParser, from_module
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.site import explained, installed_headscale, load_site, load_site_and_problem, make_admin
from ua_overlay.clock import format_utc, utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.rest import ServerBusy
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.printable import printable
from ua_overlay.relays import derp_certificate
from ua_overlay.server import apart_relays, disk
from ua_overlay.server.process import SiteServer
from ua_overlay.site.enforced import Enforced
from ua_overlay.site.site import Site, site_directory
from ua_overlay.site.upgrade import UpgradeGuard
from ua_overlay.system import control_socket
from ua_overlay.system.notify import notify
from ua_overlay.toolchain import locate
from ua_overlay.trust import imported, roots, store
from ua_overlay.trust.certificate import needs_renewal, not_after

DESCRIPTION = """\
Set up and run the control server of a site: Headscale (control, DERP, STUN) and a peer relay. Robots must reach it by
its DNS name on TCP {} (control and DERP), UDP {} (STUN) and UDP {} (peer relay).""".format(
    defaults.SERVER_PORT, defaults.STUN_PORT, defaults.RELAY_PORT)
EPILOG = """\
examples:
  sudo ua-overlay server init --name server.example.org --address 203.0.113.10
  sudo ua-overlay server service install       # runs it now and at every boot
  sudo ua-overlay team create iris
  sudo ua-overlay invite iris dev-1 --master

without root, in your own directory:
  ua-overlay server init --dir ~/site --name server.example.org
  export UA_OVERLAY_SITE=~/site                # commands then need no --dir"""

RUN_DESCRIPTION = """\
Run Headscale and the peer relay (unless `server relay run` runs it), restart what crashes, and renew the certificate in
time. SIGTERM or Ctrl-C stops both within seconds; links between robots stay up. SIGHUP re-reads all rules of site.yaml.
If site.yaml is invalid, the server reports that and keeps its last good settings. Needs root only for a port below
1024."""

STATUS_EPILOG = """\
exit status:
  0  healthy
  1  not healthy, or not running
  4  healthy, but needs attention: site.yaml is invalid, so the last good
     settings are in force; Headscale does not enforce the rules of site.yaml;
     the certificate of a remote host expires soon; or a disk is full"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('init', configure_init)
    parser.add_command('run', configure_run)
    parser.add_command('status', configure_status)
    parser.add_command('renew', configure_renew)
    for name, module in (('relay', 'relay'), ('check', 'check'), ('forwarding', 'check'), ('service', 'service'),
                         ('backup', 'backup'), ('restore', 'backup'), ('upgrade', 'backup'), ('rotate-ca', 'ca')):
        parser.add_command(name, from_module('ua_overlay.cli.server_' + module,
                                             'configure_' + name.replace('-', '_')))


def configure_init(parser: CommandParser) -> None:
    parser.describe('Create a site in one step, all or nothing: one directory with everything that it needs. The '
                    "directory holds the site's private keys, so only its owner can enter it.",
                    'The name is permanent: it is in the CA, in the certificate and in every invitation.\n\n'
                    'example:\n  sudo ua-overlay server init --name server.example.org --address 203.0.113.10')
    parser.add_argument('--name', required=True, metavar='FQDN', help='DNS name by which robots reach the server')
    parser.add_argument('--address', action='append', default=[], metavar='IP',
                        help='address at which robots reach it; repeatable; the first is used when DNS fails; behind '
                             'forwarded ports, the outer address')
    parser.add_argument('--private', action='append', default=[], metavar='IP',
                        help="the server's own address when --address belongs to a machine that forwards the ports; "
                             'see `server forwarding`')
    parser.add_argument('--port', type=int, default=defaults.SERVER_PORT, metavar='PORT',
                        help='TCP port of control and DERP (default: %(default)s)')
    parser.add_argument('--stun-port', type=int, default=defaults.STUN_PORT, metavar='PORT',
                        help='UDP port of STUN (default: %(default)s)')
    parser.add_argument('--relay-port', type=int, default=defaults.RELAY_PORT, metavar='PORT',
                        help='UDP port of the peer relay (default: %(default)s)')
    parser.add_argument('--derp-port', type=int, default=0, metavar='PORT',
                        help='TCP port of a derper beside Headscale, which admits robots while Headscale is dead (for '
                             'instance {}; default: none, DERP is inside Headscale, on --port)'.format(
                                 defaults.DERP_PORT))
    parser.add_argument('--base-domain', default=defaults.BASE_DOMAIN, metavar='DOMAIN',
                        help="suffix of the robots' names (default: %(default)s)")
    parser.add_argument('--prefix', default=defaults.OVERLAY_V4, metavar='NETWORK',
                        help='range of the robots\' IPv4 addresses, inside {0} (default: all of it)'.format(
                            defaults.OVERLAY_V4))
    imported_pair = parser.add_argument_group(
        'a certificate made elsewhere instead of a CA (self-signed, unencrypted key)')
    imported_pair.add_argument('--certificate', metavar='FILE', help='PEM file; robots will trust exactly this one')
    imported_pair.add_argument('--key', metavar='FILE', help='PEM file; copied into the site')
    add_dir(parser)
    parser.set_defaults(run=run_init)


def configure_run(parser: CommandParser) -> None:
    parser.describe(RUN_DESCRIPTION, 'logs: DIR/log/headscale.log and DIR/log/relay.log, at most 8 MB each')
    parser.add_argument('--no-relay', action='store_true',
                        help='omit the relay, and derper: `server relay run` runs them in a process of its own')
    add_dir(parser)
    parser.set_defaults(run=run_run)


def configure_status(parser: CommandParser) -> None:
    parser.describe('Show whether the server is running and healthy.', STATUS_EPILOG)
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_status)


def configure_renew(parser: CommandParser) -> None:
    parser.describe("Make a new certificate with the site's CA; robots need nothing new. `server run` does this {} "
                    'days before the old certificate ends. A running Headscale restarts with the new one.'.format(
                        defaults.RENEWAL_MARGIN_DAYS))
    add_dir(parser)
    parser.set_defaults(run=run_renew)


def run_init(args: argparse.Namespace) -> int:
    directory = site_directory(args.dir, os.environ)
    settings = SiteSettings(args.name, tuple(args.address), args.port, args.stun_port, args.relay_port,
                            args.base_domain, private=tuple(args.private), prefix=args.prefix,
                            derp_port=args.derp_port)
    if bool(args.certificate) != bool(args.key):
        raise UsageError('A certificate made elsewhere needs both --certificate and --key.',
                         'ua-overlay server init --help')
    make_trust = functools.partial(_make_trust, settings)
    if args.certificate:
        certificate, key = imported.read(args.certificate, args.key, settings.name, utc_now())
        make_trust = functools.partial(imported.adopt, certificate=certificate, key=key)
    site = Site.create(directory, settings, make_trust)
    trust = store.load(directory)
    print('The site {} is in {}.'.format(settings.name, directory))
    print('  robots reach it at  {}'.format(settings.url))
    print('  ports to open       TCP {}{}, UDP {} (STUN), UDP {} (peer relay)'.format(
        settings.port, ', TCP {} (DERP)'.format(settings.derp_port) if settings.derp_port else '', settings.stun_port,
        settings.relay_port))
    print('  certificate until   {}, {}'.format(
        format_utc(not_after(trust.server)),
        'to be replaced by hand' if args.certificate else 'renewed automatically'))
    for sentence in imported.warnings(trust.server) if args.certificate else ():
        print('Note: ' + sentence)
    print('Keep {} safe: anyone who has it can impersonate this server.'.format(
        site.path('server.key' if args.certificate else 'ca.key')))
    if settings.private:
        print('What {} must forward here: {}'.format(settings.addresses[0], site.command('server forwarding')))
    print('Next: sudo {}   (or in the foreground: {})'.format(
        site.command('server service install'), site.command('server run')))
    return 0


def _make_trust(settings: SiteSettings, directory: str) -> None:
    store.init(directory, settings.name, [settings.name], list(settings.addresses), utc_now())


def _say(line: str) -> None:
    print(line, flush=True)


def run_run(args: argparse.Namespace) -> int:
    site, problem = load_site_and_problem(args)
    if problem is not None:
        _say(str(explained(problem)))

    def renew() -> bool:
        now = utc_now()
        if not needs_renewal(store.load(site.directory).server, now) and roots.switched_whole(site.directory):
            return False
        imported.refuse_renewal(site.directory)
        store.renew(site.directory, now)
        return True

    guard = UpgradeGuard(site, installed_headscale, utc_now, _say)
    return SiteServer(site, locate, renew, utc_now, _say, guard, started=functools.partial(notify, 'READY=1'),
                      relay=not args.no_relay).run()


def run_renew(args: argparse.Namespace) -> int:
    site = load_site(args)
    imported.refuse_renewal(site.directory)
    trust = store.renew(site.directory, utc_now())
    print('The certificate of {} is valid until {}.'.format(
        site.settings.name, format_utc(not_after(trust.server))))
    if not make_admin(site).server_running():
        print('The server is not running. Next: {}'.format(site.start_command()))
        return 0
    with Progress()('Restarting Headscale with it'):
        healthy = control_socket.ask(site.control_socket, 'restart')['ok']
    if not healthy:
        raise OverlayError('Headscale does not answer after its restart.', command_line('less {}',
            site.path('log', 'headscale.log')))
    return 0


def run_status(args: argparse.Namespace) -> int:
    site, unread = load_site_and_problem(args)
    report, problem = _status(site)
    notes = ([] if unread is None else [explained(unread)]) + _unenforced(report.pop('enforced')) + _expiring(
        report['derp_ends']) + disk.problems(site, report.pop('log_problems')) + [
        OverlayError(each['sentence'], each['next']) for each in report.pop('problems')]
    report['site_file'] = '' if unread is None else explained(unread).sentence
    report['warnings'] = [note.sentence for note in notes]
    report['derp_certificates'] = {name: derp_certificate.format_end(end)
                                   for name, end in report.pop('derp_ends').items()}
    if args.json:
        print(json.dumps(report, indent=2))
    else:
        for label, value in (
                ('site', '{} ({})'.format(report['name'], site.directory)),
                ('server', 'healthy' if report['healthy'] else 'running, not healthy' if report['running']
                 else 'not running'),
                ('robots reach it at', report['url']),
                ('certificate until', report['certificate_until']),
                ('peer relay', '{} (UDP {}){}'.format(report['relay'] or 'unknown', site.settings.relay_port,
                                                      _carries(report['relay_report']))),
                ('DERP of the server', _own_derp(site, report['own_derp'])),
                ('remote relays', ', '.join('{} {}'.format(row['name'], row['state'])
                                            for row in report['relays'][1:]) or 'none'),
                ('remote DERP', ', '.join('{} {}'.format(name, state)
                                          for name, state in sorted(report['derp'].items())) or 'none'),
                ('policy', report['policy'] or 'unknown'),
                ('teams', ', '.join(sorted(site.teams)) or 'none'),
                ('robots', '-' if report['robots'] is None else '{} ({} online)'.format(
                    report['robots'], report['robots_online']))):
            print('{:<20}{}'.format(label, printable(value, 4000)))
        for each in ([] if problem is None else [problem]) + notes:
            print('ua-overlay: {}'.format(each), file=sys.stderr)
    return FAILED if not report['healthy'] else ATTENTION if notes else 0


def _unenforced(shown: Optional[Enforced]) -> List[OverlayError]:
    """A warning if Headscale does not enforce the rules of site.yaml, or has not shown whether it does."""
    if shown is None or shown.state or not shown.next_command:
        return []
    return [OverlayError(shown.sentence, shown.next_command)]


def _expiring(ends: Mapping[str, Any]) -> List[OverlayError]:
    """A warning for each certificate of a remote host that expires soon.

    :param ends: name of the host -> expiry of its certificate, in seconds since 1970.
    """
    now = utc_now().timestamp()
    warnings = [derp_certificate.warning(name, ends[name], now) for name in sorted(ends)]
    return [each for each in warnings if each is not None]


def _carries(report: Mapping[str, Any]) -> str:
    """The relay's report on its traffic, shown behind its state."""
    if 'carrying' not in report:
        return ''
    return '{}, carries {} link(s){}'.format(
        ', in a process of its own' if report.get('apart') else '', report['carrying'],
        ', repaired {} time(s)'.format(report['repairs']) if report.get('repairs') else '')


def _own_derp(site: Site, report: Optional[Mapping[str, Any]]) -> str:
    """The DERP on the server itself."""
    if not site.settings.derp_port:
        return 'inside Headscale (TCP {})'.format(site.settings.port)
    if report is None:
        return 'unknown (TCP {})'.format(site.settings.derp_port)
    return '{} (TCP {}), beside Headscale, remembers {} node(s)'.format(
        report['state'], site.settings.derp_port, report['remembered'])


def _update_apart(report: Dict[str, Any], site: Site) -> None:
    """Add what the relay's own process reports, which works without a server."""
    try:
        answer = apart_relays.status(site)
    except OverlayError:
        return
    report.update(relay=answer['relay']['state'], relay_report=answer['relay'], own_derp=answer['own_derp'])


def _status(site: Site) -> Tuple[Dict[str, Any], Optional[OverlayError]]:
    """(the report of --json, what is wrong)."""
    report: Dict[str, Any] = {
        'name': site.settings.name, 'url': site.settings.url, 'directory': site.directory, 'running': False,
        'healthy': False, 'policy': None, 'policy_in_force': None, 'enforced': None, 'relay': None,
        'relay_report': {}, 'relays': [], 'own_derp': None, 'derp': {},
        'derp_ends': {}, 'log_problems': [], 'problems': [], 'teams': sorted(site.teams), 'robots': None,
        'robots_online': None,
        'certificate_until': format_utc(not_after(store.load(site.directory).server))}
    try:
        answer = control_socket.ask(site.control_socket, 'status', timeout=10)
    except OverlayError as error:
        _update_apart(report, site)
        return report, error
    report.update(running=True, relay=answer['relay']['state'], relay_report=answer['relay'], derp=answer['derp'],
                  own_derp=answer['own_derp'],
                  derp_ends=answer['derp_ends'], log_problems=answer.get('log_problems', []),
                  problems=answer.get('problems', []),
                  restarts=answer['headscale']['restarts'], policy=answer['policy']['state'])
    try:
        admin = make_admin(site)
        nodes = admin.nodes()
        robots = admin.robots(nodes=nodes)
        report['relays'] = admin.relays(answer['relay'], nodes)
    except ServerBusy as error:
        return report, error
    except OverlayError as error:
        return report, OverlayError(error.sentence, command_line('less {}', site.path('log', 'headscale.log')))
    shown = admin.enforced(nodes)
    report.update(enforced=shown, policy_in_force=shown.state)
    if shown.state is not True:
        report['policy'] = shown.sentence
    report.update(healthy=True, robots=len(robots), robots_online=sum(node.online for node in robots))
    return report, None
