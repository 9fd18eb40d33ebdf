"""Run ansible/site.yml on freshly installed machines until they are a team; then again, when nothing must change."""
import os
import subprocess
import tempfile
import time

import yaml
from figure import Figure, Row
from setup_lab import BENCH, topology

from ua_overlay.errors import OverlayError
from ua_overlay.lab.images import USER
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.machine_set import MachineSet
from ua_overlay.lab.topology import parse
from ua_overlay.toolchain.find import cache_dir

NAME = 'touch'
ROUNDS = 2
ROBOTS = ('dev-1', 'dev-2', 'dev-3')
COLD = 'first run: server and 3 robots from nothing to a team'
SECOND = 'second run: nothing to do'
PLAIN = '`ssh HOST true` to all four, in turn'


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    values = {COLD: [], SECOND: [], PLAIN: []}
    for turn in range(rounds):
        with Lab.up(parse(topology(ROBOTS)), 'bench-{}-{}'.format(os.getpid(), turn), bound=True) as lab:
            machines = MachineSet(lab).up(progress)
            with tempfile.TemporaryDirectory() as directory, progress('Round {} of {}'.format(turn + 1, rounds)):
                for label in (COLD, SECOND):
                    values[label].append(timed(playbook(directory, machines.ssh.config)))
                values[PLAIN].append(sum(timed(['ssh', '-F', machines.ssh.config, name, 'true'])
                                         for name in machines.machines))
    return Figure(NAME, 'one run of ansible/site.yml', 's', [
        Row(PLAIN, values[PLAIN]), Row(SECOND, values[SECOND], PLAIN), Row(COLD, values[COLD], SECOND)], notes=[
        'Machines have the packages of their distribution, ROS among them; the controller has the pinned builds.',
        'All four machines and the controller share the cores of one machine; three robots build the package at once.'])


def playbook(directory, ssh_config):
    """Argv of the playbook for these machines."""
    inventory = os.path.join(directory, 'inventory.yml')
    with open(inventory, 'w') as stream:
        yaml.safe_dump({'all': {
            'vars': {'ansible_user': USER, 'ansible_ssh_common_args': '-F ' + ssh_config,
                     'ua_overlay_controller_cache': cache_dir()},
            'children': {
                'ua_overlay_server': {'hosts': {'server': {
                    'ua_overlay_server_name': 'server.ua.test', 'ua_overlay_server_addresses': ['203.0.113.10']}}},
                'team_iris': {'hosts': {name: {'ua_overlay_master': name == ROBOTS[0]} for name in ROBOTS}}}}}, stream)
    return [os.path.join(cache_dir(), 'ansible', 'bin', 'ansible-playbook'), '-i', inventory, 'site.yml']


def timed(argv):
    """Seconds that a command takes. :raises OverlayError: it failed; with the end of its output."""
    started = time.monotonic()
    done = subprocess.run(argv, cwd=os.path.join(os.path.dirname(BENCH), 'ansible'), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode != 0:
        raise OverlayError('`{}` failed:\n{}'.format(' '.join(argv), done.stdout[-2000:]))
    return time.monotonic() - started
