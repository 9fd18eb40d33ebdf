"""`ua-overlay relay`: peer relays of a site on remote hosts."""
import argparse
import json

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.cli.shared import remote_host
from ua_overlay.cli.shared.args import add_dir, add_expires
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser, from_module
from ua_overlay.cli.shared.site import connect_to, load_site
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.headscale.remote_hosts import RelayHost
from ua_overlay.relays.relay_states import relay_states
from ua_overlay.system.control_socket import ask

DESCRIPTION = """\
Run peer relays on remote hosts. Robots find all relays of the site and use the one that answers fastest; when it fails,
they use another. The relay on the server needs none of these commands.

On the server: `create`, `list`, `remove`. On the remote host: `run`, `status`, `service`."""
EPILOG = """\
examples:
  # on the server: writes lab-b.relay.yaml
  ua-overlay relay create lab-b --address 203.0.113.11
  # on the remote host, with UDP {} open
  ua-overlay relay run --dir ~/relay --enrolment lab-b.relay.yaml
  # on the server
  ua-overlay relay list""".format(defaults.RELAY_PORT)


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('create', configure_create)
    parser.add_command('list', configure_list)
    parser.add_command('remove', configure_remove)
    parser.add_command('run', remote_host.configure_run('relay'))
    parser.add_command('status', remote_host.configure_status('relay'))
    parser.add_command('service', from_module('ua_overlay.cli.server_service', 'configure_relay'))


def configure_create(parser: CommandParser) -> None:
    parser.describe('Add a relay to site.yaml and write the enrolment for its host: the CA of the site, and a key with '
                    'which one machine becomes the relay, once.')
    parser.add_argument('name', metavar='NAME', help='name of the relay')
    parser.add_argument('--address', metavar='IP',
                        help='address at which robots reach it; behind forwarded ports, the outer address')
    parser.add_argument('--port', type=int, default=defaults.RELAY_PORT, metavar='PORT',
                        help='UDP port (default: %(default)s)')
    add_expires(parser, 'key')
    remote_host.add_output(parser, 'relay')
    add_dir(parser)
    parser.set_defaults(run=run_create)


def configure_list(parser: CommandParser) -> None:
    parser.describe('List the relays of the site and their state.', 'exit status:\n  0  all are up\n  1  some are not')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_list)


def configure_remove(parser: CommandParser) -> None:
    parser.describe('Remove a remote relay from site.yaml and from the overlay.')
    parser.add_argument('name', metavar='NAME', help='name of the relay')
    add_dir(parser)
    parser.set_defaults(run=run_remove)


def run_create(args: argparse.Namespace) -> int:
    if not args.address and not args.again:
        raise UsageError('A new relay needs the address at which robots reach it.',
                         command('ua-overlay relay create {} --address IP', args.name))
    # With --again, the existing relay's settings apply instead of these.
    relay = RelayHost(args.name, args.address or '127.0.0.1', args.port)
    path = remote_host.output_path(args, 'relay')
    enrolment = remote_host.make_remote_admin(args).create_relay(relay, args.expires, args.again)
    remote_host.hand_out(enrolment, path)
    return 0


def run_list(args: argparse.Namespace) -> int:
    site = load_site(args)
    report = ask(site.control_socket, 'status', timeout=15)['relay']
    rows = relay_states(report, site.settings, connect_to(site).nodes())
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(format_table(('RELAY', 'ADDRESS', 'UDP', 'STATE', 'CARRIES', 'REPAIRS'), [
            (row['name'], row.get('address'), row['port'], row['state'], row.get('carrying'), row.get('repairs'))
            for row in rows]))
    return 0 if all(row.get('ok') for row in rows) else FAILED


def run_remove(args: argparse.Namespace) -> int:
    remote_host.make_remote_admin(args).remove_relay(args.name)
    print('Removed the relay {} from the site. Stop it on its host.'.format(args.name))
    return 0
