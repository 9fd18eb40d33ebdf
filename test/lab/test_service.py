"""`service install` and `guard on` on a machine with its own systemd: both must be in force after a reboot.

The machine's host name resolves nowhere, and it boots without a network.
"""
import json

import pytest
import vendor
from places import INSTALL
from topologies import TWO_NATS

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.firewall import guard
from ua_overlay.lab import images
from ua_overlay.lab.fleet import Fleet, source
from ua_overlay.lab.images import USER
from ua_overlay.lab.machines import Machine
from ua_overlay.rosenv import service

SPACE = '/opt/robot_ws/install'
NAME = 'nowhere-17'
INVITATION = '/home/{}/invitation.yaml'.format(USER)


@pytest.fixture(scope='module')
def site(new_lab, install):
    lab = new_lab(TWO_NATS, 'service')
    fleet = Fleet(lab, INSTALL)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    yield fleet


@pytest.fixture(scope='module')
def machine(site):
    """A robot with tailscale's package, ROS, and the built workspace, in the network of the lab's dev-1."""
    binds = [(INSTALL, SPACE)] + vendor.binds()
    with Machine(site.lab, 'dev-1', images.get(images.ROBOT_PREBUILT), hostname=NAME, binds=binds) as machine:
        machine.write('/etc/hosts', '127.0.0.1 localhost\n')
        vendor.install_service(machine)
        machine.run(['systemctl', 'enable', '--now', 'tailscaled.service'])
        machine.write(INVITATION, site.invite('iris', 'dev-1', '--master'), mode='600', user=USER)
        sudo(machine, 'robot', 'prepare', '--invitation', INVITATION, '--user', USER)
        yield machine


def sudo(machine, *argv, check=True):
    """`sudo …/ua-overlay ARGV` as the robot's user."""
    return machine.run(['sudo', SPACE + '/bin/ua-overlay'] + list(argv), user=USER, check=check, timeout=120)


def ros(machine, *argv, check=True):
    """A ROS program in the local graph."""
    script = source(SPACE) + ' && exec ua-overlay exec --local "$@"'
    return machine.run(['bash', '-c', script, 'ros'] + list(argv), user=USER, check=check, env={'ROS_HOME': '/tmp/ros'})


def network(site, up):
    """Switch the robot's only network link on or off."""
    host = site.lab.host('dev-1')
    link = [name for name in json.loads(host.run(['ip', '-json', 'link']).stdout)
            if name['ifname'] not in ('lo', 'tailscale0')][0]['ifname']
    route = host.run(['ip', 'route', 'show', 'default']).stdout.split()
    if up:
        host.run(['ip', 'link', 'set', link, 'up'])
        host.run(['ip', 'route', 'replace', 'default', 'via', '10.0.2.2'])
    else:
        assert route[:3] == ['default', 'via', '10.0.2.2']
        host.run(['ip', 'link', 'set', link, 'down'])


def local_graph(machine):
    return ros(machine, 'rosservice', 'type', '/ua_overlay/join', check=False).stdout == 'ua_overlay/Join\n'


@pytest.mark.fault('new', 'A robot boots without a network, and its host name does not resolve',
                   behaviour='It runs, with its local graph on loopback only; it joins when there is a network',
                   reported='-', recovery='120 s', lost='nothing')
def test_the_service_starts_without_a_network_and_with_an_unresolvable_host_name(site, machine):
    assert machine.run(['getent', 'hosts', NAME], check=False).returncode == 2
    shown = sudo(machine, 'service', 'install', '--dry-run').stdout
    assert 'User={}\n'.format(USER) in shown and SPACE in shown  # both found by themselves
    assert machine.property(service.UNIT_NAME, 'LoadState') == 'not-found'
    sudo(machine, 'service', 'install')
    machine.wait('the local graph', lambda: local_graph(machine))
    verify = machine.run(['systemd-analyze', 'verify', service.UNIT_NAME])
    assert verify.stdout + verify.stderr == ''

    network(site, False)
    machine.reboot()
    machine.wait('the local graph after a boot without a network', lambda: local_graph(machine))
    assert machine.property(service.UNIT_NAME, 'NRestarts') == '0'
    pid = machine.property(service.UNIT_NAME, 'MainPID')
    status = machine.run(['cat', '/proc/{}/status'.format(pid)]).stdout
    assert 'NoNewPrivs:\t1\n' in status and 'CapBnd:\t0000000000000000\n' in status
    assert machine.run(['stat', '-c', '%U', '/proc/' + pid]).stdout == USER + '\n'
    # Nobody outside reaches the local graph, guard or not.
    listening = machine.run(['ss', '-Hltn', 'sport = :11311']).stdout.split()
    assert listening[3] == '127.0.0.1:11311'

    network(site, True)
    answer = ros(machine, 'rosservice', 'call', '/ua_overlay/join', INVITATION).stdout
    assert answer.startswith('code: 0\n'), answer
    machine.wait('the environment of the team', lambda: machine.run(
        ['cat', '/run/ua_overlay/env'], check=False).stdout.find('ROS_MASTER_URI=http://dev-1.') >= 0)
    machine.wait("the team's roscore", lambda: machine.run(['ss', '-Hltn', 'sport = :{}'.format(TEAM_PORT)]).stdout)


def test_a_second_install_changes_nothing_and_new_arguments_restart_the_service(machine):
    before = machine.property(service.UNIT_NAME, 'InvocationID')
    assert 'nothing changed' in sudo(machine, 'service', 'install').stdout
    assert machine.property(service.UNIT_NAME, 'InvocationID') == before
    sudo(machine, 'service', 'install', '--arg', 'heartbeat:=3.0')
    assert machine.property(service.UNIT_NAME, 'InvocationID') != before
    machine.wait('the local graph', lambda: local_graph(machine))


def test_the_sandboxed_agent_repairs_names(machine):
    machine.run(['sh', '-c', 'echo 127.0.1.1 dev-1.overlay.internal dev-1 >>/etc/hosts'])
    before = machine.run(['cat', '/etc/hosts']).stdout
    machine.wait('the block in the hosts file', lambda: machine.run(
        ['head', '-n', '1', '/etc/hosts']).stdout.startswith('# BEGIN ua_overlay'))
    assert machine.run(['cat', '/etc/hosts']).stdout.endswith(before)
    assert machine.run(['stat', '-c', '%U %a', '/etc/hosts']).stdout == 'root 644\n'
    assert '\n100.' in machine.run(['getent', 'ahostsv4', 'dev-1.overlay.internal']).stdout
    assert 'ROS_MASTER_URI=http://dev-1.' in machine.run([SPACE + '/bin/ua-overlay', 'env'], user=USER).stdout


@pytest.mark.fault('new', 'nftables.service is restarted or reloaded, or the robot reboots, under the guard',
                   behaviour='The guard is in force again', reported='-', recovery='120 s', lost='nothing')
def test_the_guard_survives_a_reboot_and_a_restart_of_nftables(machine):
    def loaded():
        return machine.run(['nft', 'list', 'table', 'inet', 'ua_overlay'], check=False).returncode == 0

    machine.run(['systemctl', 'enable', '--now', 'nftables.service'])  # Debian's, with `flush ruleset` in its file
    sudo(machine, 'guard', 'on')
    assert loaded()
    verify = machine.run(['systemd-analyze', 'verify', guard.UNIT_NAME])
    assert verify.stdout + verify.stderr == ''
    for verb in ('restart', 'reload'):
        machine.run(['systemctl', verb, 'nftables.service'])
        machine.wait('the table after a {} of nftables.service'.format(verb), loaded)
    machine.reboot()
    assert loaded() and machine.property(guard.UNIT_NAME, 'ActiveState') == 'active'
    assert sudo(machine, 'guard', 'status').returncode == 0
    sudo(machine, 'guard', 'off')
    assert not loaded() and machine.property(guard.UNIT_NAME, 'LoadState') == 'not-found'


def test_removing_the_service_leaves_the_robot_in_its_team(machine):
    sudo(machine, 'service', 'remove')
    assert machine.property(service.UNIT_NAME, 'LoadState') == 'not-found'
    assert machine.run(['pgrep', '-u', USER, '-f', 'roslaunch|rosmaster|roscore'], check=False).returncode == 1
    found = machine.run([SPACE + '/bin/ua-overlay', 'status', '--json'], user=USER, check=False).stdout
    assert json.loads(found)['state'] == 'Running'
    assert sudo(machine, 'service', 'remove').stdout == 'There was no service.\n'
