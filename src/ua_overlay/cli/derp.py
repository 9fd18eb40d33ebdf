"""`ua-overlay derp`: DERP regions of a site on remote hosts."""
import argparse
import json
from typing import Any, Dict, List

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.cli.shared import remote_host
from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser, from_module
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.site import load_site
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.headscale.remote_hosts import EMBEDDED_REGION
from ua_overlay.relays import derp_certificate
from ua_overlay.system import control_socket

DESCRIPTION = """\
Run DERP regions on remote hosts: the last resort of robots whose UDP is blocked. Robots use a remote region as their
home while one answers, and links over it survive a restart of Headscale. Otherwise their home is the DERP in
Headscale. A DERP on the server itself, beside Headscale, needs none of these commands: see `server init --derp-port`.

On the server: `create`, `list`, `remove`. On the remote host: `run`, `status`, `service`."""
EPILOG = """\
examples:
  # on the server: writes lab-b.derp.yaml
  ua-overlay derp create lab-b --address 203.0.113.11
  # on the remote host, with TCP {port} and UDP {stun} open
  ua-overlay tools install derper
  ua-overlay derp run --dir ~/derp --enrolment lab-b.derp.yaml
  # on the server
  ua-overlay derp list

The remote host must resolve the server's name: it asks the server about each robot and refuses strangers. Its
certificate lasts {days} days; `server status` tells you when to renew it with `derp create NAME --again`.""".format(
    port=defaults.DERP_PORT, stun=defaults.STUN_PORT, days=defaults.DERP_CERTIFICATE_DAYS)


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('create', configure_create)
    parser.add_command('list', configure_list)
    parser.add_command('remove', configure_remove)
    parser.add_command('run', remote_host.configure_run('derp'))
    parser.add_command('status', remote_host.configure_status('derp'))
    parser.add_command('service', from_module('ua_overlay.cli.server_service', 'configure_derp'))


def configure_create(parser: CommandParser) -> None:
    parser.describe("Add a region to site.yaml and write the enrolment for its host: the site's CA, and a certificate "
                    'with its key. The first region restarts a running Headscale.')
    parser.add_argument('name', metavar='NAME', help='name of the region')
    parser.add_argument('--address', metavar='IP',
                        help='address at which robots reach it; behind forwarded ports, the outer address')
    parser.add_argument('--port', type=int, default=defaults.DERP_PORT, metavar='PORT',
                        help='TCP port (default: %(default)s)')
    parser.add_argument('--stun-port', type=int, default=defaults.STUN_PORT, metavar='PORT',
                        help='UDP port of STUN (default: %(default)s)')
    remote_host.add_output(parser, 'derp')
    add_dir(parser)
    parser.set_defaults(run=run_create)


def configure_list(parser: CommandParser) -> None:
    parser.describe('List the DERP regions of the site (`site` is inside Headscale, `server` beside it), and whether '
                    'robots use them as their home.',
                    'exit status:\n  0  all are up\n  1  some are not')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_list)


def configure_remove(parser: CommandParser) -> None:
    parser.describe('Remove a remote DERP region from site.yaml. Robots learn it within 20 s, or at once when it was '
                    'the last one.')
    parser.add_argument('name', metavar='NAME', help='name of the region')
    add_dir(parser)
    parser.set_defaults(run=run_remove)


def run_create(args: argparse.Namespace) -> int:
    if not args.address and not args.again:
        raise UsageError('A new DERP region needs the address at which robots reach it.',
                         command('ua-overlay derp create {} --address IP', args.name))
    path = remote_host.output_path(args, 'derp')
    with Progress()('Adding the region {}'.format(args.name)):
        enrolment, _ = remote_host.make_remote_admin(args).create_derp(
            args.name, args.address, args.port, args.stun_port, args.again)
    remote_host.hand_out(enrolment, path)
    return 0


def run_list(args: argparse.Namespace) -> int:
    site = load_site(args)
    answer = control_socket.ask(site.control_socket, 'status', timeout=15)
    settings, states, ends = site.settings, answer['derp'], answer['derp_ends']
    embedded = 'up' if answer['headscale']['running'] else 'headscale does not run'
    rows: List[Dict[str, Any]] = [{
        'name': 'site', 'region': EMBEDDED_REGION, 'address': (settings.addresses or (None,))[0],
        'port': settings.port, 'stun_port': settings.stun_port, 'state': embedded, 'certificate_until': None,
        'home': 'up' not in states.values()}]
    rows += [{'name': region.name, 'region': region.number, 'address': (region.addresses or (None,))[0],
              'port': region.port, 'stun_port': region.stun_port,
              'state': states.get(region.name, 'not known to the running server'),
              'certificate_until': derp_certificate.format_end(ends.get(region.name)),
              'home': states.get(region.name) == 'up'} for region in settings.regions]
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        print(format_table(('DERP', 'REGION', 'ADDRESS', 'TCP', 'STUN', 'HOME', 'CERTIFICATE UNTIL', 'STATE'), [
            (row['name'], row['region'], row['address'], row['port'], row['stun_port'],
             'yes' if row['home'] else 'no', row['certificate_until'], row['state']) for row in rows]))
    return 0 if all(row['state'] == 'up' for row in rows) else FAILED


def run_remove(args: argparse.Namespace) -> int:
    with Progress()('Removing the region {}'.format(args.name)):
        remote_host.make_remote_admin(args).remove_derp(args.name)
    print('Removed the region {} from the site. Stop it on its host.'.format(args.name))
    return 0
