"""`ua-overlay relay`: peer relays of a site on remote hosts."""
import argparse
import json

from ua_overlay import defaults
from ua_overlay.cli import server_service
from ua_overlay.cli.shared import remote_host
from ua_overlay.cli.shared.args import add_dir, add_expires, load_site
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.headscale.access import connect
from ua_overlay.headscale.remote_hosts import RelayHost
from ua_overlay.relays.relay_states import relay_states
from ua_overlay.server import service
from ua_overlay.system.control_socket import ask
from ua_overlay.toolchain import locate

DESCRIPTION = """\
Peer relays on remote hosts. Robots find all relays of the site by themselves and take the one that answers fastest;
when it fails they take another. The relay beside the server needs none of this."""
EPILOG = """\
examples:
  ua-overlay relay create lab-b --address 203.0.113.11        # on the server: writes lab-b.relay.yaml
  ua-overlay relay run --dir ~/relay --enrolment lab-b.relay.yaml   # on the other host, UDP {} open
  ua-overlay relay list""".format(defaults.RELAY_PORT)


def add_parser(subparsers):
    parser = subparsers.add_parser('relay', help='peer relays on remote hosts', description=DESCRIPTION, epilog=EPILOG,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    create = commands.add_parser('create', help='name a relay and write its enrolment (on the server)',
                                 description='Names a relay in site.yaml and writes the enrolment for its host: the CA '
                                             'of the site and a key that lets one machine become it, once.')
    create.add_argument('name', metavar='NAME')
    create.add_argument('--address', metavar='IP',
                        help='where robots reach it; behind forwarded ports, the outer address')
    create.add_argument('--port', type=int, default=defaults.RELAY_PORT, help='UDP (default: %(default)s)')
    add_expires(create, 'enrolment')
    remote_host.add_output(create, 'relay')
    add_dir(create)
    create.set_defaults(run=run_create)
    listing = commands.add_parser('list', help='every relay of the site and how it is (on the server)',
                                  description='Every relay of the site and how it is. Exit status 0 when all are up.')
    listing.add_argument('--json', action='store_true', help='for programs')
    add_dir(listing)
    listing.set_defaults(run=run_list)
    remove = commands.add_parser('remove', help='take a remote relay out of the site (on the server)',
                                 description='Takes a remote relay out of site.yaml and out of the overlay.')
    remove.add_argument('name', metavar='NAME')
    add_dir(remove)
    remove.set_defaults(run=run_remove)
    remote_host.add_run(commands, 'relay', 'a peer relay')
    server_service.add_parser(commands, service.RELAY)


def run_create(args):
    if not args.address and not args.again:
        raise UsageError('A new relay needs the address by which robots reach it.',
                         'ua-overlay relay create {} --address IP'.format(args.name))
    # With --again the relay that is named already is meant, whatever is said of it here.
    relay = RelayHost(args.name, args.address or '127.0.0.1', args.port)
    path = remote_host.output_path(args, 'relay')
    enrolment = remote_host.make_remote_admin(args).create_relay(relay, args.expires, args.again)
    remote_host.hand_out(enrolment, path)
    return 0


def run_list(args):
    site = load_site(args)
    report = ask(site.control_socket, 'status', timeout=15)['relay']
    rows = relay_states(report, site.settings, connect(site, lambda: locate('headscale')).nodes())
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(format_table(('RELAY', 'ADDRESS', 'UDP', 'STATE', 'CARRIES', 'MENDED'), [
            (row['name'], row.get('address'), row['port'], row['state'], row.get('carrying'), row.get('repairs'))
            for row in rows]))
    return 0 if all(row.get('ok') for row in rows) else 1


def run_remove(args):
    remote_host.make_remote_admin(args).remove_relay(args.name)
    print('The relay {} is no part of the site any more. Stop it on its host.'.format(args.name))
    return 0
