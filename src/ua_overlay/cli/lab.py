"""`ua-overlay lab`: hosts, routers and a DNS server on this machine."""
import argparse
import json
import os
import sys
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Tuple

from ua_overlay import resources
from ua_overlay.cli.shared.exit_status import NOTHING
from ua_overlay.cli.shared.parser import CommandParser, from_module
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import OverlayError
from ua_overlay.lab import link, nat, requirements
from ua_overlay.lab.host import environment
from ua_overlay.lab.lab import DEFAULT_NAME, Lab, load_topology
from ua_overlay.lab.shape import describe as describe_shape
from ua_overlay.lab.state import LabState
from ua_overlay.lab.topology import INET

DESCRIPTION = """\
Build a small internet on this machine: a server, and robots behind NAT routers. Each is a host with its own processes,
network, host name, /etc, /var, /home and /run, made of kernel namespaces. Needs root. `lab down` removes all of it."""

EPILOG = """\
examples:
  sudo ua-overlay lab up
  sudo ua-overlay lab status
  sudo ua-overlay lab exec dev-1 --user robot -- bash
  sudo ua-overlay lab team
  sudo ua-overlay lab nat nat1 hard
  sudo ua-overlay lab link set dev-1 --delay 10ms --loss 1% --rate 100mbit
  sudo ua-overlay lab down"""

UP_DESCRIPTION = """\
Build a lab from a topology file and leave it running. Each host sees this machine's programs and files. Its changes
below /etc, /var, /home, /root and /run stay in that host. /tmp is shared: use it to carry files between hosts."""

EXEC_DESCRIPTION = """\
Run a command in a host as if you were logged in there, with that host's user, home directory and a fresh environment.
Terminals work."""

NAT_DESCRIPTION = """\
Change the kind of a NAT router now and drop its connections, as when a robot moves to another network. The kinds:

  easy         keeps ports; links become direct
  hard         takes a random port for every destination; links use a relay
  udp-blocked  lets only TCP and DNS pass; links use DERP"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('up', configure_up)
    parser.add_command('down', configure_down)
    parser.add_command('status', configure_status)
    parser.add_command('exec', configure_exec)
    for name in ('link', 'machines', 'team'):
        parser.add_command(name, from_module('ua_overlay.cli.lab_' + name))
    parser.add_command('nat', configure_nat)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add --name of a lab."""
    parser.add_argument('--name', default=DEFAULT_NAME, help='name of the lab (default: %(default)s)')


def configure_up(parser: CommandParser) -> None:
    parser.describe(UP_DESCRIPTION,
                    'examples:\n  sudo ua-overlay lab up\n  sudo ua-overlay lab up my_lab.yaml --name mine')
    parser.add_argument('topology', nargs='?', metavar='TOPOLOGY.yaml',
                        help='topology file (default: two robots behind two NATs)')
    add_name(parser)
    parser.set_defaults(run=run_up)


def configure_down(parser: CommandParser) -> None:
    parser.describe('End all processes of a lab and remove it, even after a crash.',
                    'examples:\n  sudo ua-overlay lab down\n  sudo ua-overlay lab down --all')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--name', default=DEFAULT_NAME, help='name of the lab (default: %(default)s)')
    which.add_argument('--all', action='store_true', help='remove every lab of this machine')
    parser.set_defaults(run=run_down)


def configure_status(parser: CommandParser) -> None:
    parser.describe('Show the labs of this machine and their hosts.',
                    'exit status:\n  0  shown\n  3  no lab is up\n\n'
                    'examples:\n  sudo ua-overlay lab status\n  sudo ua-overlay lab status --json')
    parser.add_json()
    parser.set_defaults(run=run_status)


def configure_exec(parser: CommandParser) -> None:
    parser.describe(EXEC_DESCRIPTION, 'exit status: that of the command, or\n  125  the host has ended\n\n'
                    'examples:\n  sudo ua-overlay lab exec dev-1 -- bash\n'
                    '  sudo ua-overlay lab exec dev-2 --user robot -- ip address')
    add_name(parser)
    parser.add_argument('--user', default='root', help='user in the host (default: root; robots also have `robot`)')
    parser.add_argument('--cwd', metavar='DIR', help='directory to run in (default: the home directory)')
    parser.add_argument('host', metavar='HOST', help='name of a host, router or robot')
    parser.add_command_line()
    parser.set_defaults(run=run_exec)


def configure_nat(parser: CommandParser) -> None:
    parser.describe(NAT_DESCRIPTION, 'example:\n  sudo ua-overlay lab nat nat1 hard')
    add_name(parser)
    parser.add_argument('nat', metavar='NAT', help='name of the router')
    parser.add_argument('kind', metavar='KIND', help=', '.join(nat.KINDS))
    parser.set_defaults(run=run_nat)


def run_up(args: argparse.Namespace) -> int:
    topology = load_topology(args.topology or resources.share_path('config', 'lab', 'two_nats.yaml'))
    lab = Lab.up(topology, args.name)
    print('The lab {} is up.'.format(lab.name))
    print(describe(summary(lab)))
    option = '' if lab.name == DEFAULT_NAME else ' --name ' + lab.name
    print('Enter a host: ua-overlay lab exec {}{} -- bash'.format(lab.topology.host_names()[-1], option))
    return 0


def run_down(args: argparse.Namespace) -> int:
    requirements.check_root()
    names = Lab.names() if args.all else [args.name]
    for name in names:
        if LabState(name).remove():
            print('Removed the lab {}.'.format(name))
        else:
            print('There is no lab {}; nothing to remove.'.format(name))
    if not names:
        print('There is no lab; nothing to remove.')
    return 0


def run_status(args: argparse.Namespace) -> int:
    requirements.check_root()
    labs = []
    for name in Lab.names():
        try:
            labs.append(summary(Lab.attach(name)))
        except OverlayError as error:
            labs.append({'name': name, 'state': 'broken', 'why': str(error), 'hosts': []})
    if args.json:
        json.dump(labs, sys.stdout, indent=2)
        print()
    elif not labs:
        print('No lab is up. Next: ua-overlay lab up')
    for item in labs if not args.json else ():
        print('Lab {}: {}'.format(item['name'], item['why'] or item['state']))
        if item['hosts']:
            print(describe(item))
    return 0 if labs else NOTHING


def summary(lab: Lab) -> Dict[str, Any]:
    """A lab as in the JSON of `lab status`."""
    topology = lab.topology
    services = lab.services()
    links = {host: describe_shape(shape) for host, shape in link.shapes(lab).items()}
    rows: Dict[str, Tuple[str, List[str], Optional[str]]] = {INET: ('internet', [topology.gateway, topology.dns], None)}
    rows.update((host.name, ('server', list(host.addresses), host.behind or None)) for host in topology.hosts)
    rows.update((router.name, ('nat', [router.address], lab.nat_kind(router.name))) for router in topology.nats)
    rows.update((robot.name, ('robot', [robot.address], robot.behind)) for robot in topology.robots)
    hosts = [{'name': name, 'role': role, 'addresses': addresses,
              'nat_kind': detail if role == 'nat' else None, 'behind': detail if role == 'robot' else None,
              'link': links.get(name), 'pid': lab.host(name).pid,
              'services': [service for host, service in services if host == name]}
             for name, (role, addresses, detail) in rows.items()]
    return {'name': lab.name, 'state': 'up', 'why': '', 'directory': lab.directory, 'hosts': hosts}


def describe(item: Mapping[str, Any]) -> str:
    """The hosts of a summary, as a table."""
    return format_table(
        ('HOST', 'ROLE', 'ADDRESS', 'NAT', 'LINK', 'SERVICES'),
        [(host['name'], host['role'], ' '.join(host['addresses']), host['nat_kind'] or host['behind'], host['link'],
          ' '.join(service for service in host['services'] if not service.startswith('link-')))
         for host in item['hosts']])


def run_exec(args: argparse.Namespace) -> NoReturn:
    host = Lab.attach(args.name).host(args.host)
    argv = host.enter_argv(args.argv, args.user, args.cwd)
    sys.stdout.flush()
    # The command replaces this process and so gets the terminal, the signals and the exit status.
    os.execve(argv[0], argv, environment({'TERM': os.environ['TERM']} if 'TERM' in os.environ else {}))


def run_nat(args: argparse.Namespace) -> int:
    Lab.attach(args.name).nat(args.nat, args.kind)
    print('{} is now {}.'.format(args.nat, args.kind))
    return 0
