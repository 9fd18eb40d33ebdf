"""`ua-overlay lab`: hosts, routers and a DNS server of their own on this machine."""
import argparse
import json
import os
import sys

from ua_overlay import resources
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import OverlayError
from ua_overlay.lab import link, nat, requirements
from ua_overlay.lab.host import environment
from ua_overlay.lab.lab import DEFAULT_NAME, Lab, load_topology
from ua_overlay.lab.shape import describe as describe_shape
from ua_overlay.lab.state import LabState
from ua_overlay.lab.topology import INET

DESCRIPTION = """\
A lab is a small internet on this machine: a server and robots behind NAT routers, each a host of its own
(processes, network, host name, /etc, /var, /home, /run), made of kernel namespaces. Needs root. Nothing of it
outlives `lab down`."""

EPILOG = """\
examples:
  ua-overlay lab up
  ua-overlay lab status
  ua-overlay lab exec dev-1 --user robot -- bash
  ua-overlay lab team
  ua-overlay lab nat nat1 hard
  ua-overlay lab link set dev-1 --delay 10ms --loss 1% --rate 100mbit
  ua-overlay lab down"""

UP_DESCRIPTION = """\
Build a lab from a topology file and leave it running. Each host sees this machine's programs and files; what it changes
below /etc, /var, /home, /root and /run is its own. /tmp is shared: files are carried from host to host there."""

EXEC_DESCRIPTION = """\
Run a command in a host as if logged in there: that host's user, home directory and a fresh environment. A terminal
works as usual; the exit status is the command's, 125 when the host has ended."""

NAT_DESCRIPTION = """\
Make a router of another kind now and forget its connections, as when a robot moves to another network.
easy keeps ports (links become direct), hard takes a random port for every destination (links go through a relay),
udp-blocked lets only TCP and DNS pass (links go through DERP)."""


class _Parser(argparse.ArgumentParser):
    """Takes what follows the first `--` as a command, unread: argparse would drop a second `--` as well."""

    def parse_known_args(self, args=None, namespace=None):
        if not any(action.dest == 'argv' for action in self._actions):
            return super().parse_known_args(args, namespace)
        cut = args.index('--') if '--' in args else len(args)
        namespace, extra = super().parse_known_args(args[:cut], namespace)
        namespace.argv = namespace.argv + args[cut + 1:]
        if not namespace.argv:
            self.error('a command is needed, such as `-- bash`')
        return namespace, extra


def add_parser(subparsers):
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter}
    group = subparsers.add_parser('lab', help='hosts and NATs on this machine, to try things out',
                                  description=DESCRIPTION, epilog=EPILOG, **raw)
    commands = group.add_subparsers(dest='command', metavar='COMMAND', required=True, parser_class=_Parser)

    def command(name, function, help_, description, epilog):
        parser = commands.add_parser(name, help=help_, description=description, epilog='examples:\n' + epilog, **raw)
        parser.set_defaults(run=function)
        return parser

    def named(parser):
        parser.add_argument('--name', default=DEFAULT_NAME, help='which lab (default: %(default)s)')

    up = command('up', run_up, 'build a lab', UP_DESCRIPTION,
                 '  ua-overlay lab up\n  ua-overlay lab up my_lab.yaml --name mine')
    up.add_argument('topology', nargs='?', help='YAML file (default: two robots behind two NATs)')
    named(up)
    down = command('down', run_down, 'remove a lab',
                   'End everything that runs in a lab and remove it, also after a crash.',
                   '  ua-overlay lab down\n  ua-overlay lab down --all')
    which = down.add_mutually_exclusive_group()
    named(which)
    which.add_argument('--all', action='store_true', help='every lab of this machine')
    status = command('status', run_status, 'show the labs of this machine',
                     'Show the labs of this machine and their hosts.',
                     '  ua-overlay lab status\n  ua-overlay lab status --json')
    status.add_argument('--json', action='store_true', help='for programs')
    execute = command('exec', run_exec, 'run a command in a host', EXEC_DESCRIPTION,
                      '  ua-overlay lab exec dev-1 -- bash\n  ua-overlay lab exec dev-2 --user robot -- ip address')
    named(execute)
    execute.add_argument('--user', default='root', help='account in the host (default: root; robots have `robot`)')
    execute.add_argument('--cwd', help='directory to run in (default: the home directory)')
    execute.add_argument('host', metavar='HOST')
    execute.add_argument('argv', metavar='CMD', nargs='*', help='after `--`')
    from ua_overlay.cli.lab_link import add_link_parser
    add_link_parser(commands)
    from ua_overlay.cli.lab_machines import add_machines_parser
    add_machines_parser(commands)
    from ua_overlay.cli.lab_team import add_team_parser
    add_team_parser(commands)
    switch = command('nat', run_nat, 'switch the kind of a NAT', NAT_DESCRIPTION, '  ua-overlay lab nat nat1 hard')
    named(switch)
    switch.add_argument('nat', metavar='NAT')
    switch.add_argument('kind', metavar='KIND', help=', '.join(nat.KINDS))


def run_up(args):
    topology = load_topology(args.topology or resources.share_path('config', 'lab', 'two_nats.yaml'))
    lab = Lab.up(topology, args.name)
    print('The lab {} is up.'.format(lab.name))
    print(describe(summary(lab)))
    option = '' if lab.name == DEFAULT_NAME else ' --name ' + lab.name
    print('Enter a host: ua-overlay lab exec {}{} -- bash'.format(lab.topology.host_names()[-1], option))
    return 0


def run_down(args):
    requirements.check_root()
    names = Lab.names() if args.all else [args.name]
    for name in names:
        if LabState(name).remove():
            print('The lab {} is gone.'.format(name))
        else:
            print('There is no lab {}: nothing to do.'.format(name))
    if not names:
        print('There is no lab: nothing to do.')
    return 0


def run_status(args):
    requirements.check_root()
    found = []
    for name in Lab.names():
        try:
            found.append(summary(Lab.attach(name)))
        except OverlayError as error:
            found.append({'name': name, 'state': 'broken', 'why': str(error), 'hosts': []})
    if args.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    elif not found:
        print('No lab is up. Next: ua-overlay lab up')
    for item in found if not args.json else ():
        print('Lab {}: {}'.format(item['name'], item['why'] or item['state']))
        if item['hosts']:
            print(describe(item))
    return 0 if found else 3


def summary(lab):
    """What `lab status` says about one lab, as JSON has it."""
    topology = lab.topology
    services = lab.services()
    links = {host: describe_shape(shape) for host, shape in link.shapes(lab).items()}
    rows = {INET: ('internet', [topology.gateway, topology.dns], None)}
    rows.update((host.name, ('server', list(host.addresses), host.behind or None)) for host in topology.hosts)
    rows.update((router.name, ('nat', [router.address], lab.nat_kind(router.name))) for router in topology.nats)
    rows.update((robot.name, ('robot', [robot.address], robot.behind)) for robot in topology.robots)
    hosts = [{'name': name, 'role': role, 'addresses': addresses,
              'nat_kind': detail if role == 'nat' else None, 'behind': detail if role == 'robot' else None,
              'link': links.get(name), 'pid': lab.host(name).pid,
              'services': [service for host, service in services if host == name]}
             for name, (role, addresses, detail) in rows.items()]
    return {'name': lab.name, 'state': 'up', 'why': '', 'directory': lab.directory, 'hosts': hosts}


def describe(item):
    return format_table(
        ('HOST', 'ROLE', 'ADDRESS', 'NAT', 'LINK', 'SERVICES'),
        [(host['name'], host['role'], ' '.join(host['addresses']), host['nat_kind'] or host['behind'], host['link'],
          ' '.join(service for service in host['services'] if not service.startswith('link-')))
         for host in item['hosts']])


def run_exec(args):
    host = Lab.attach(args.name).host(args.host)
    argv = host.enter_argv(args.argv, args.user, args.cwd)
    sys.stdout.flush()
    # Replaced by the command, so that the terminal, signals and the exit status are its own.
    os.execve(argv[0], argv, environment({'TERM': os.environ['TERM']} if 'TERM' in os.environ else {}))


def run_nat(args):
    Lab.attach(args.name).nat(args.nat, args.kind)
    print('{} is {} now.'.format(args.nat, args.kind))
    return 0

