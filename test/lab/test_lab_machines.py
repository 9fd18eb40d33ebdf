"""`ua-overlay lab machines`: up, status, ssh, exec, a reboot from inside, down."""
import json
import os
import signal
import subprocess
import sys

import pytest
from places import ROOT

from ua_overlay.lab import machine_files
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.machine_set import MachineSet
from ua_overlay.lab.wait import wait

NAME = 'typed-{}'.format(os.getpid())
TOPOLOGY = '''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
hosts: {server: {address: 203.0.113.10}}
nats: {nat1: {address: 203.0.113.21, inside: 10.0.2.2/24}}
robots: {dev-1: {behind: nat1, address: 10.0.2.15, hostname: robot}}
'''


def lab(*argv, check=True):
    done = subprocess.run([sys.executable, os.path.join(ROOT, 'scripts', 'ua-overlay'), 'lab'] + list(argv),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


def machines(*argv, check=True):
    return lab('machines', argv[0], '--name', NAME, *argv[1:], check=check)


@pytest.fixture(scope='module')
def up(lab_possible, tmp_path_factory):
    topology = tmp_path_factory.mktemp('topology') / 'lab.yaml'
    topology.write_text(TOPOLOGY)
    try:
        yield machines('up', str(topology)).stdout
    finally:
        lab('down', '--name', NAME)


def status():
    return json.loads(machines('status', '--json', check=False).stdout)


def ssh(*argv, check=True):
    done = subprocess.run(['ssh', '-F', status()['ssh_config']] + list(argv), stdin=subprocess.DEVNULL, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_up_prints_how_to_log_in_and_each_machine_has_its_system(up):
    assert 'Debian bookworm' in up and 'Debian bullseye' in up and 'Log in: ssh -F ' in up
    rows = {row['name']: row for row in status()['machines']}
    assert {name: row['state'] for name, row in rows.items()} == {'server': 'running', 'dev-1': 'running'}
    assert rows['dev-1']['behind'] == 'nat1'
    said = ssh('dev-1', 'hostname; id -un; sudo id -un; python3 --version').stdout.split('\n')
    assert said[:3] == ['robot', 'robot', 'root'] and said[3].startswith('Python 3.9')


def test_exec_returns_the_status_of_the_command(up):
    assert machines('exec', 'server', '--', 'sh', '-c', 'id -un; exit 7', check=False).returncode == 7
    assert machines('exec', 'dev-1', '--user', 'robot', '--', 'sh', '-c', 'echo $USER:$HOME').stdout == \
        'robot:/home/robot\n'
    refused = machines('exec', 'nobody', '--', 'true', check=False)
    assert refused.returncode == 2 and 'has no host nobody' in refused.stderr


def test_a_machine_keeps_its_files_over_a_reboot(up):
    machine = MachineSet(Lab.attach(NAME))['dev-1']
    before = machine.leader
    ssh('dev-1', 'echo kept >kept; sudo systemctl reboot', check=False)
    machine.wait_booted(before)
    assert ssh('dev-1', 'cat kept').stdout == 'kept\n'


def test_a_machine_that_is_off_is_reported_as_off(up):
    machine = MachineSet(Lab.attach(NAME))['dev-1']
    machine.power_off()
    rows = {row['name']: row['state'] for row in status()['machines']}
    assert rows == {'server': 'running', 'dev-1': 'off'}
    assert machines('status', check=False).returncode == 1
    refused = machines('exec', 'dev-1', '--', 'true', check=False)
    assert refused.returncode == 1 and 'Machine dev-1 does not run' in refused.stderr


def test_leftovers_of_a_killed_lab_are_removed_when_nothing_uses_them(up):
    attached = Lab.attach(NAME)
    machine = MachineSet(attached)['server']
    leader, directory = machine.leader, machine_files.lab_directory(NAME)
    os.kill(machine.host.pid, signal.SIGKILL)
    wait('The end of the machine', lambda: not os.path.exists('/proc/{}/root/etc'.format(leader)), 30)

    # One of its hosts still runs.
    assert 'is broken' in machines('status', check=False).stderr and os.path.isdir(directory)
    others = [host.process for name, host in attached.hosts.items() if name != 'server']
    for process in others:
        process.send_signal(signal.SIGKILL)
    assert all(process.wait(30) for process in others)
    # Something is mounted in it, in a mount namespace of one process.
    with subprocess.Popen(['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs none "$0/dev-1/root" && echo up && read x',
                           directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b'up\n'
        assert 'was killed' not in machines('status', check=False).stderr and os.path.isdir(directory)
        holder.stdin.close()
    swept = machines('status', check=False)
    assert 'The lab {} was killed; '.format(NAME) in swept.stderr and not os.path.exists(directory)
    assert machine.is_gone()
    lab('down', '--name', NAME)
