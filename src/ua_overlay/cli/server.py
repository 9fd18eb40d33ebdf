"""`ua-overlay server`: a site's control server and relays."""
import argparse
import functools
import json
import os
import sys

from ua_overlay import defaults
from ua_overlay.cli import server_backup, server_ca, server_check, server_service
from ua_overlay.cli.shared.args import WARNED, add_dir, explained, load_site, load_site_and_problem, make_admin
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.clock import format_utc, utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import derp_certificate
from ua_overlay.server.process import SiteServer
from ua_overlay.site.site import Site, site_directory
from ua_overlay.site.upgrade import UpgradeGuard
from ua_overlay.system import control_socket
from ua_overlay.system.notify import notify
from ua_overlay.toolchain import locate
from ua_overlay.trust import imported, roots, store
from ua_overlay.trust.certificate import needs_renewal, not_after

DESCRIPTION = """\
The control server of a site: Headscale (control, DERP, STUN) and a peer relay.
Robots must reach it by its DNS name on TCP {} (control and DERP), UDP {} (STUN) and UDP {} (peer relay).""".format(
    defaults.SERVER_PORT, defaults.STUN_PORT, defaults.RELAY_PORT)
EPILOG = """\
examples:
  sudo ua-overlay server init --name server.example.org --address 203.0.113.10
  sudo ua-overlay server service install       # runs it now and at every boot
  sudo ua-overlay team create iris
  sudo ua-overlay invite iris dev-1 --master

without root, in a directory of your own:
  ua-overlay server init --dir ~/site --name server.example.org
  export UA_OVERLAY_SITE=~/site                # so that no command needs --dir"""


def add_parser(subparsers):
    parser = subparsers.add_parser('server', help='set up and run the control server of a site',
                                   formatter_class=argparse.RawDescriptionHelpFormatter,
                                   description=DESCRIPTION, epilog=EPILOG)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)

    init = commands.add_parser(
        'init', help='write a new site: CA, certificate, keys, configuration, policy',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Writes everything that a site needs into one directory, or nothing. Only its owner can enter it:\n'
                    'it holds the site\'s private keys.',
        epilog='The name is for good: it is in the CA, in the certificate and in every invitation.\n\n'
               'example:\n  sudo ua-overlay server init --name server.example.org --address 203.0.113.10')
    init.add_argument('--name', required=True, metavar='FQDN', help='DNS name by which robots reach the server')
    init.add_argument('--address', action='append', default=[], metavar='IP',
                      help='address by which robots reach it, the first being used when DNS is down; behind forwarded '
                           'ports, the outer one; may be repeated')
    init.add_argument('--private', action='append', default=[], metavar='IP',
                      help='the server\'s own address when --address belongs to a machine that forwards the ports; see '
                           '`server forwarding`')
    init.add_argument('--port', type=int, default=defaults.SERVER_PORT,
                      help='TCP: control and DERP (default: %(default)s)')
    init.add_argument('--stun-port', type=int, default=defaults.STUN_PORT, metavar='PORT',
                      help='UDP: STUN (default: %(default)s)')
    init.add_argument('--relay-port', type=int, default=defaults.RELAY_PORT, metavar='PORT',
                      help='UDP: peer relay (default: %(default)s)')
    init.add_argument('--base-domain', default=defaults.BASE_DOMAIN, metavar='DOMAIN',
                      help='suffix of the robots\' names (default: %(default)s)')
    imported_pair = init.add_argument_group(
        'a certificate made elsewhere instead of a CA (self-signed, unencrypted key)')
    imported_pair.add_argument('--certificate', metavar='FILE', help='PEM; robots will trust exactly this one')
    imported_pair.add_argument('--key', metavar='FILE', help='PEM; copied into the site')
    add_dir(init)
    init.set_defaults(run=run_init)

    run = commands.add_parser(
        'run', help='run the server in the foreground',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Runs Headscale and the peer relay and supervises them: what crashes is started again, the\n'
                    'certificate is renewed in time. SIGTERM or Ctrl-C stops everything within seconds; links between\n'
                    'robots go on. SIGHUP reads the teams in site.yaml again. Needs no root (unless a port is below\n'
                    '1024).\n'
                    'When site.yaml makes no sense it says so and runs by what was in force before.',
        epilog='logs: DIR/log/headscale.log and DIR/log/relay.log, at most 8 MB each')
    add_dir(run)
    run.set_defaults(run=run_run)

    status = commands.add_parser('status', help='is it running and healthy; exit status 0 when it is',
                                 description='Is the server running and healthy? Exit status 0 when it is; 4 when it '
                                             'is, and something asks for you (site.yaml makes no sense, so what was in '
                                             'force before holds; a certificate of a remote host ends soon); 1 when '
                                             'it is not.')
    status.add_argument('--json', action='store_true', help='for programs')
    add_dir(status)
    status.set_defaults(run=run_status)

    renew = commands.add_parser(
        'renew', help='renew the server\'s certificate now',
        description='Makes a new certificate from the site\'s CA; robots need nothing new. `server run` does it by '
                    'itself 30 days before the old one ends. A running Headscale starts again with it.')
    add_dir(renew)
    renew.set_defaults(run=run_renew)
    server_check.add_parser(commands)
    server_service.add_parser(commands)
    server_backup.add_parsers(commands)
    server_ca.add_parsers(commands)

def run_init(args):
    directory = site_directory(args.dir, os.environ)
    settings = SiteSettings(args.name, tuple(args.address), args.port, args.stun_port, args.relay_port,
                            args.base_domain, private=tuple(args.private))
    if bool(args.certificate) != bool(args.key):
        raise UsageError('A certificate made elsewhere needs both --certificate and --key.',
                         'ua-overlay server init --help')
    make_trust = functools.partial(_make_trust, settings)
    if args.certificate:
        certificate, key = imported.read(args.certificate, args.key, settings.name, utc_now())

        def make_trust(staging):
            imported.adopt(staging, certificate, key)
    site = Site.create(directory, settings, make_trust)
    trust = store.load(directory)
    print('The site {} is in {}.'.format(settings.name, directory))
    print('  robots reach it at  {}'.format(settings.url))
    print('  ports to open       TCP {}, UDP {} (STUN), UDP {} (peer relay)'.format(
        settings.port, settings.stun_port, settings.relay_port))
    print('  certificate until   {}, {}'.format(
        format_utc(not_after(trust.server)), 'to be replaced by hand' if args.certificate else 'renewed by itself'))
    for sentence in imported.warnings(trust.server) if args.certificate else ():
        print('Note: ' + sentence)
    print('Keep {} safe: who has it can pose as this server.'.format(
        site.path('server.key' if args.certificate else 'ca.key')))
    if settings.private:
        print('What {} has to forward here: {}'.format(settings.addresses[0], site.command('server forwarding')))
    print('Next: sudo {}   (or in the foreground: {})'.format(
        site.command('server service install'), site.command('server run')))
    return 0


def _make_trust(settings, directory):
    store.init(directory, settings.name, [settings.name], list(settings.addresses), utc_now())


def _say(line):
    print(line, flush=True)


def run_run(args):
    site, problem = load_site_and_problem(args)
    if problem is not None:
        _say(str(explained(problem)))

    def renew():
        now = utc_now()
        if not needs_renewal(store.load(site.directory).server, now) and roots.switched_whole(site.directory):
            return False
        imported.refuse_renewal(site.directory)
        store.renew(site.directory, now)
        return True

    guard = UpgradeGuard(site, server_backup.installed, utc_now, _say)
    return SiteServer(site, locate, renew, utc_now, _say, guard, started=functools.partial(notify, 'READY=1')).run()


def run_renew(args):
    site = load_site(args)
    imported.refuse_renewal(site.directory)
    trust = store.renew(site.directory, utc_now())
    print('The certificate of {} is valid until {}.'.format(
        site.settings.name, format_utc(not_after(trust.server))))
    if not make_admin(site).server_running():
        print('The server is not running. Next: {}'.format(site.command('server run')))
        return 0
    with Progress()('Headscale starts again with it'):
        healthy = control_socket.ask(site.control_socket, 'restart')['ok']
    if not healthy:
        raise OverlayError('Headscale does not answer after its restart.', 'less {}'.format(
            site.path('log', 'headscale.log')))
    return 0


def run_status(args):
    site, unread = load_site_and_problem(args)
    report, problem = _status(site)
    notes = ([] if unread is None else [explained(unread)]) + _ending(report['derp_ends'])
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
                ('remote relays', ', '.join('{} {}'.format(row['name'], row['state'])
                                            for row in report['relays'][1:]) or 'none'),
                ('remote DERP', ', '.join('{} {}'.format(name, state)
                                          for name, state in sorted(report['derp'].items())) or 'none'),
                ('policy', report['policy'] or 'unknown'),
                ('teams', ', '.join(sorted(site.teams)) or 'none'),
                ('robots', '-' if report['robots'] is None else '{} ({} online)'.format(
                    report['robots'], report['robots_online']))):
            print('{:<20}{}'.format(label, value))
        for each in ([] if problem is None else [problem]) + notes:
            print('ua-overlay: {}'.format(each), file=sys.stderr)
    return 1 if not report['healthy'] else WARNED if notes else 0


def _ending(ends):
    """What is to be said of the certificates of remote hosts: a list of OverlayError."""
    now = utc_now().timestamp()
    found = [derp_certificate.warning(name, ends[name], now) for name in sorted(ends)]
    return [each for each in found if each is not None]


def _carries(report):
    """What the relay's report adds for people."""
    if not report:
        return ''
    return ', carries {} link(s){}'.format(report.get('carrying', 0), ', mended {} time(s)'.format(report['repairs'])
                                           if report.get('repairs') else '')


def _status(site):
    """(dict for people and programs, the OverlayError that says what is wrong or None)"""
    report = {'name': site.settings.name, 'url': site.settings.url, 'directory': site.directory, 'running': False,
              'healthy': False, 'policy': None, 'relay': None, 'relay_report': {}, 'relays': [], 'derp': {},
              'derp_ends': {}, 'teams': sorted(site.teams), 'robots': None, 'robots_online': None,
              'certificate_until': format_utc(not_after(store.load(site.directory).server))}
    try:
        answer = control_socket.ask(site.control_socket, 'status', timeout=10)
    except OverlayError as error:
        return report, error
    report.update(running=True, relay=answer['relay']['state'], relay_report=answer['relay'], derp=answer['derp'],
                  derp_ends=answer['derp_ends'],
                  restarts=answer['headscale']['restarts'], policy=answer['policy']['state'])
    try:
        admin = make_admin(site)
        robots = admin.robots()
        report['relays'] = admin.relays(answer['relay'])
    except OverlayError as error:
        return report, OverlayError(error.sentence, 'less {}'.format(site.path('log', 'headscale.log')))
    report.update(healthy=True, robots=len(robots), robots_online=sum(node.online for node in robots))
    return report, None
