"""`ua-overlay lab machines`: hosts of a lab with an operating system of their own. Mounted by cli/lab.py."""
import argparse
import json
import os
import sys

from ua_overlay import resources
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.lab import images, leftovers, requirements
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.lab.machine_set import MachineSet, image_for

#: The lab of `ua-overlay lab machines up` without --name.
DEFAULT_NAME = 'machines'

DESCRIPTION = """\
Machines are hosts of a lab with a root file system, a systemd and an sshd of their own (systemd-nspawn), for what
installs: Debian bookworm on servers, Debian bullseye on robots, which has what Noetic's robots have (Python 3.9, ROS
1.15.9, glibc 2.31). The base systems are made once by debootstrap, from the mirror this machine is set up for, and kept
in the cache; what a machine changes goes with the lab, or, when that was killed, with the next `up`, `status` or
`down`. Needs root."""

EPILOG = """\
examples:
  ua-overlay lab machines up
  ua-overlay lab machines exec dev-1 --user robot -- bash
  ssh -F /var/cache/ua_overlay/machines/run/machines/ssh/config dev-1
  ua-overlay lab machines down"""

EXEC_DESCRIPTION = """\
Run a command on a machine as root or as --user, with the environment of a login. Pipes work; for a terminal use ssh, as
`machines up` says. The exit status is the command's."""


def add_machines_parser(commands):
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter}
    group = commands.add_parser('machines', help='hosts with an operating system of their own', description=DESCRIPTION,
                                epilog=EPILOG, **raw)
    # The parent takes what follows `--` as a command, which one of these has.
    group.set_defaults(argv=[])
    verbs = group.add_subparsers(dest='verb', metavar='COMMAND', required=True, parser_class=type(group))

    def verb(name, function, help_, description, epilog, named=True):
        parser = verbs.add_parser(name, help=help_, description=description, epilog='examples:\n' + epilog, **raw)
        parser.set_defaults(run=function)
        if named:
            parser.add_argument('--name', default=DEFAULT_NAME, help='which lab (default: %(default)s)')
        return parser

    up = verb('up', run_up, 'build a lab of machines',
              'Build a lab from a topology file, and boot a machine in each of its hosts and robots.',
              '  ua-overlay lab machines up\n  ua-overlay lab machines up my_lab.yaml --name mine')
    up.add_argument('topology', nargs='?', help='YAML file (default: a server and two robots behind two NATs)')
    verb('down', run_down, 'switch the machines off and remove their lab',
         'Shut every machine down in order, and remove the lab and all that they changed.',
         '  ua-overlay lab machines down')
    status = verb('status', run_status, 'show the machines', 'Show the machines of a lab. Exit status 0 when all run.',
                  '  ua-overlay lab machines status --json')
    status.add_argument('--json', action='store_true', help='for programs')
    verb('images', run_images, 'make the base systems now',
         'Make the base systems that are not in the cache yet: minutes, once. `machines up` makes what it needs.',
         '  ua-overlay lab machines images', named=False)
    execute = verb('exec', run_exec, 'run a command on a machine', EXEC_DESCRIPTION,
                   '  ua-overlay lab machines exec server -- systemctl --failed')
    execute.add_argument('--user', default='root', help='default: root; every machine has `robot`, who may sudo')
    execute.add_argument('machine', metavar='HOST')
    execute.add_argument('argv', metavar='CMD', nargs='*', help='after `--`')


def sweep():
    """Remove what labs left that nobody took down, and say so."""
    requirements.check_root()
    for name in leftovers.sweep():
        print('The lab {} was killed; what its machines left in the cache is gone.'.format(name), file=sys.stderr)


def run_up(args):
    sweep()
    topology = load_topology(args.topology or resources.share_path('config', 'lab', 'machines.yaml'))
    lab = Lab.up(topology, args.name)
    try:
        machines = MachineSet(lab).up(Progress())
    except BaseException:
        lab.down()
        raise
    print('The machines of the lab {} are up.'.format(lab.name))
    print(describe(summary(machines)))
    print('Log in: ssh -F {} {}'.format(machines.ssh.config, list(machines.machines)[-1]))
    return 0


def run_down(args):
    sweep()
    machines = MachineSet(Lab.attach(args.name))
    with Progress()('Shutting down'):
        machines.power_off()
    machines.lab.down()
    print('The lab {} and its machines are gone.'.format(args.name))
    return 0


def run_status(args):
    sweep()
    machines = MachineSet(Lab.attach(args.name))
    rows = summary(machines)
    if args.json:
        json.dump({'name': args.name, 'ssh_config': machines.ssh.config, 'machines': rows}, sys.stdout, indent=2)
        print()
    else:
        print(describe(rows))
    return 0 if all(row['state'] == 'running' for row in rows) else 1


def summary(machines):
    """A row for each machine, as JSON has it."""
    topology = machines.lab.topology
    addresses = {host.name: list(host.addresses) for host in topology.hosts}
    addresses.update((robot.name, [robot.address]) for robot in topology.robots)
    behind = {robot.name: robot.behind for robot in topology.robots}
    return [{'name': name, 'system': 'Debian ' + image_for(topology, name).suite, 'state': state_of(machine),
             'addresses': addresses[name], 'behind': behind.get(name)} for name, machine in machines.machines.items()]


def state_of(machine):
    """'off', or what its systemd says: 'running', 'starting', 'degraded'…"""
    if not machine.runs():
        return 'off'
    return machine.run(['systemctl', 'is-system-running'], check=False).stdout.strip() or 'starting'


def describe(rows):
    return format_table(('MACHINE', 'SYSTEM', 'STATE', 'ADDRESS', 'BEHIND'), [
        (row['name'], row['system'], row['state'], ' '.join(row['addresses']), row['behind']) for row in rows])


def run_images(args):
    requirements.check_root()
    for image in images.ALL:
        print(images.get(image, Progress()))
    return 0


def run_exec(args):
    machines = MachineSet(Lab.attach(args.name))
    argv = machines[args.machine].enter_argv(args.argv, args.user,
                                             {'TERM': os.environ['TERM']} if 'TERM' in os.environ else None)
    sys.stdout.flush()
    os.execvp(argv[0], argv)
