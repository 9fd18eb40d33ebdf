"""`ua-overlay lab machines`: lab hosts with their own operating system."""
import argparse
import json
import os
import sys
from typing import Any, Dict, List, Mapping, NoReturn, Sequence

from ua_overlay import resources
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.lab import images, leftovers, requirements
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.lab.machine_set import MachineSet, image_for
from ua_overlay.lab.machines import Machine

#: The lab of `ua-overlay lab machines up` without --name.
DEFAULT_NAME = 'machines'

DESCRIPTION = """\
Run machines: hosts of a lab with their own root file system, systemd and sshd (systemd-nspawn), to test installations.
Servers run Debian bookworm. Robots run Debian bullseye, which matches Noetic's robots (Python 3.9, ROS 1.15.9, glibc
2.31). debootstrap makes the base systems once, from the mirror of this machine, and they stay in the cache. The changes
of a machine are deleted with its lab; after a crash, by the next `up`, `status` or `down`. Needs root."""

EPILOG = """\
examples:
  sudo ua-overlay lab machines up
  sudo ua-overlay lab machines exec dev-1 --user robot -- bash
  sudo ssh -F /var/cache/ua_overlay/machines/run/machines/ssh/config dev-1
  sudo ua-overlay lab machines down"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('up', configure_up)
    parser.add_command('down', configure_down)
    parser.add_command('status', configure_status)
    parser.add_command('images', configure_images)
    parser.add_command('exec', configure_exec)


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--name', default=DEFAULT_NAME, help='name of the lab (default: %(default)s)')


def configure_up(parser: CommandParser) -> None:
    parser.describe('Build a lab from a topology file, and boot a machine in each of its hosts and robots.',
                    'examples:\n  sudo ua-overlay lab machines up\n'
                    '  sudo ua-overlay lab machines up my_lab.yaml --name mine')
    _add_name(parser)
    parser.add_argument('topology', nargs='?', metavar='TOPOLOGY.yaml',
                        help='topology file (default: a server and two robots behind two NATs)')
    parser.set_defaults(run=run_up)


def configure_down(parser: CommandParser) -> None:
    parser.describe('Shut every machine down in order, and remove the lab with all changes of the machines.',
                    'example:\n  sudo ua-overlay lab machines down')
    _add_name(parser)
    parser.set_defaults(run=run_down)


def configure_status(parser: CommandParser) -> None:
    parser.describe('Show the machines of a lab.', 'exit status:\n  0  all run\n  1  some do not\n\n'
                    'example:\n  sudo ua-overlay lab machines status --json')
    _add_name(parser)
    parser.add_json()
    parser.set_defaults(run=run_status)


def configure_images(parser: CommandParser) -> None:
    parser.describe('Make the base systems that are not in the cache yet, which takes minutes, once. `machines up` '
                    'makes those that it needs.', 'example:\n  sudo ua-overlay lab machines images')
    parser.set_defaults(run=run_images)


def configure_exec(parser: CommandParser) -> None:
    parser.describe('Run a command on a machine as root or as --user, with the environment of a login. Pipes work; for '
                    'a terminal use ssh, as `machines up` prints it.', 'exit status: that of the command\n\n'
                    'example:\n  sudo ua-overlay lab machines exec server -- systemctl --failed')
    _add_name(parser)
    parser.add_argument('--user', default='root',
                        help='user on the machine (default: root; every machine also has `robot`, who may use sudo)')
    parser.add_argument('machine', metavar='HOST', help='name of the machine')
    parser.add_command_line()
    parser.set_defaults(run=run_exec)


def sweep() -> None:
    """Remove the changes of labs that were killed, and name these labs."""
    requirements.check_root()
    for name in leftovers.sweep():
        print('The lab {} was killed; removed the files of its machines from the cache.'.format(name), file=sys.stderr)


def run_up(args: argparse.Namespace) -> int:
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


def run_down(args: argparse.Namespace) -> int:
    sweep()
    machines = MachineSet(Lab.attach(args.name))
    with Progress()('Shutting down'):
        machines.power_off()
    machines.lab.down()
    print('Removed the lab {} and its machines.'.format(args.name))
    return 0


def run_status(args: argparse.Namespace) -> int:
    sweep()
    machines = MachineSet(Lab.attach(args.name))
    rows = summary(machines)
    if args.json:
        json.dump({'name': args.name, 'ssh_config': machines.ssh.config, 'machines': rows}, sys.stdout, indent=2)
        print()
    else:
        print(describe(rows))
    return 0 if all(row['state'] == 'running' for row in rows) else FAILED


def summary(machines: MachineSet) -> List[Dict[str, Any]]:
    """A row for each machine, as in the JSON of `machines status`."""
    topology = machines.lab.topology
    addresses = {host.name: list(host.addresses) for host in topology.hosts}
    addresses.update((robot.name, [robot.address]) for robot in topology.robots)
    behind = {robot.name: robot.behind for robot in topology.robots}
    return [{'name': name, 'system': 'Debian ' + image_for(topology, name).suite, 'state': state_of(machine),
             'addresses': addresses[name], 'behind': behind.get(name)} for name, machine in machines.machines.items()]


def state_of(machine: Machine) -> str:
    """'off', or the state of its systemd: 'running', 'starting', 'degraded'…"""
    if not machine.runs():
        return 'off'
    return machine.run(['systemctl', 'is-system-running'], check=False).stdout.strip() or 'starting'


def describe(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of :func:`summary`, as a table."""
    return format_table(('MACHINE', 'SYSTEM', 'STATE', 'ADDRESS', 'BEHIND'), [
        (row['name'], row['system'], row['state'], ' '.join(row['addresses']), row['behind']) for row in rows])


def run_images(args: argparse.Namespace) -> int:
    requirements.check_root()
    for image in images.ALL:
        print(images.get(image, Progress()))
    return 0


def run_exec(args: argparse.Namespace) -> NoReturn:
    machines = MachineSet(Lab.attach(args.name))
    argv = machines[args.machine].enter_argv(args.argv, args.user,
                                             {'TERM': os.environ['TERM']} if 'TERM' in os.environ else None)
    sys.stdout.flush()
    os.execvp(argv[0], argv)
