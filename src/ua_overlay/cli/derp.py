"""`ua-overlay derp`: DERP regions of a site on remote hosts."""
import argparse
import json

from ua_overlay import defaults
from ua_overlay.cli import server_service
from ua_overlay.cli.shared import remote_host
from ua_overlay.cli.shared.args import add_dir, load_site
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.headscale.remote_hosts import EMBEDDED_REGION
from ua_overlay.relays import derp_certificate
from ua_overlay.server import service
from ua_overlay.system import control_socket

DESCRIPTION = """\
DERP regions on remote hosts: the last resort of robots whose UDP is cut. While one of them answers, it is the robots'
home, and links over it go on while Headscale starts again; when none does, the DERP inside Headscale is."""
EPILOG = """\
examples:
  ua-overlay derp create lab-b --address 203.0.113.11         # on the server: writes lab-b.derp.yaml
  ua-overlay tools install derper                             # on the other host
  ua-overlay derp run --dir ~/derp --enrolment lab-b.derp.yaml   # TCP {} and UDP {} open
  ua-overlay derp list

The other host must resolve the server's name: it asks it about each robot, and refuses strangers. Its certificate lasts
{} days; `derp create NAME --again` makes a new enrolment, and `server status` says when it is time.""".format(
    defaults.DERP_PORT, defaults.STUN_PORT, defaults.DERP_CERTIFICATE_DAYS)


def add_parser(subparsers):
    parser = subparsers.add_parser('derp', help='DERP regions on remote hosts', description=DESCRIPTION, epilog=EPILOG,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    create = commands.add_parser('create', help='name a region and write its enrolment (on the server)',
                                 description='Names a region in site.yaml and writes the enrolment for its host: the '
                                             'site\'s CA, and a certificate with its key. The first region makes a '
                                             'running Headscale start again.')
    create.add_argument('name', metavar='NAME')
    create.add_argument('--address', metavar='IP',
                        help='where robots reach it; behind forwarded ports, the outer address')
    create.add_argument('--port', type=int, default=defaults.DERP_PORT, help='TCP (default: %(default)s)')
    create.add_argument('--stun-port', type=int, default=defaults.STUN_PORT, metavar='PORT',
                        help='UDP (default: %(default)s)')
    remote_host.add_output(create, 'derp')
    add_dir(create)
    create.set_defaults(run=run_create)
    listing = commands.add_parser('list', help='every region of the site and how it is (on the server)',
                                  description='Every DERP region, and whether robots have it as home. Exit status 0 '
                                              'when all are up.')
    listing.add_argument('--json', action='store_true', help='for programs')
    add_dir(listing)
    listing.set_defaults(run=run_list)
    remove = commands.add_parser('remove', help='take a remote region out of the site (on the server)',
                                 description='Takes a remote DERP region out of site.yaml; robots learn it within '
                                             '20 s, or at once when it was the last.')
    remove.add_argument('name', metavar='NAME')
    add_dir(remove)
    remove.set_defaults(run=run_remove)
    remote_host.add_run(commands, 'derp', 'derper')
    server_service.add_parser(commands, service.DERP)


def run_create(args):
    if not args.address and not args.again:
        raise UsageError('A new DERP region needs the address by which robots reach it.',
                         'ua-overlay derp create {} --address IP'.format(args.name))
    path = remote_host.output_path(args, 'derp')
    with Progress()('Making the region {} known'.format(args.name)):
        enrolment, _ = remote_host.make_remote_admin(args).create_derp(
            args.name, args.address, args.port, args.stun_port, args.again)
    remote_host.hand_out(enrolment, path)
    return 0


def run_list(args):
    site = load_site(args)
    answer = control_socket.ask(site.control_socket, 'status', timeout=15)
    settings, states, ends = site.settings, answer['derp'], answer['derp_ends']
    embedded = 'up' if answer['headscale']['running'] else 'headscale does not run'
    rows = [{'name': 'site', 'region': EMBEDDED_REGION, 'address': (settings.addresses or (None,))[0],
             'port': settings.port, 'stun_port': settings.stun_port, 'state': embedded, 'certificate_until': None,
             'home': 'up' not in states.values()}]
    rows += [{'name': host.name, 'region': host.region, 'address': host.address, 'port': host.port,
              'stun_port': host.stun_port, 'state': states.get(host.name, 'not known to the running server'),
              'certificate_until': derp_certificate.format_end(ends.get(host.name)),
              'home': states.get(host.name) == 'up'} for host in settings.derp]
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(format_table(('DERP', 'REGION', 'ADDRESS', 'TCP', 'STUN', 'HOME', 'CERTIFICATE UNTIL', 'STATE'), [
            (row['name'], row['region'], row['address'], row['port'], row['stun_port'],
             'yes' if row['home'] else 'no', row['certificate_until'], row['state']) for row in rows]))
    return 0 if all(row['state'] == 'up' for row in rows) else 1


def run_remove(args):
    with Progress()('Taking the region {} out'.format(args.name)):
        remote_host.make_remote_admin(args).remove_derp(args.name)
    print('The region {} is no part of the site any more. Stop it on its host.'.format(args.name))
    return 0
