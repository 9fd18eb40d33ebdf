"""`service install` and `guard on` on a machine with its own systemd: both must be in force after a reboot.

The machine's host name resolves nowhere, and it boots without a network.
"""
import json

import pytest
import vendor
from places import INSTALL
from topologies import TWO_NATS

from ua_overlay.defaults import LOCAL_MASTER_URI, SERVICE_MASTER_PORT, TEAM_PORT
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


#: Units that many robots have: a roscore, and what requires it.
ROSCORE_UNIT = """[Service]
User={user}
Environment=ROS_HOSTNAME=localhost ROS_HOME=/tmp/roscore
ExecStart=/bin/bash -c '. {space}/setup.bash; exec roscore'
[Install]
WantedBy=multi-user.target
"""
BASE_UNIT = """[Unit]
Requires=roscore.service
After=roscore.service
[Service]
User={user}
Environment=ROS_MASTER_URI=http://localhost:11311 ROS_HOSTNAME=localhost ROS_HOME=/tmp/base
ExecStart=/bin/bash -c '. {space}/setup.bash; exec rosrun ua_overlay talker.py __name:=base'
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""


def add_own_units(machine):
    for name, text in (('roscore', ROSCORE_UNIT), ('base', BASE_UNIT)):
        machine.write('/etc/systemd/system/{}.service'.format(name), text.format(user=USER, space=SPACE))
        machine.run(['systemctl', 'enable', name + '.service'])


def own_nodes(machine):
    """Nodes of the robot's own graph, as a script of its user sees them: each has a service for its loggers."""
    script = source(SPACE) + ' && exec timeout 10 rosservice list'
    listed = machine.run(['bash', '-c', script], user=USER, check=False, env={'ROS_HOME': '/tmp/ros'}).stdout.split()
    return sorted(name[:-len('/get_loggers')] for name in listed if name.endswith('/get_loggers'))


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

    add_own_units(machine)
    network(site, False)
    machine.reboot()
    machine.wait('the local graph after a boot without a network', lambda: local_graph(machine))
    assert machine.property(service.UNIT_NAME, 'NRestarts') == '0'
    pid = machine.property(service.UNIT_NAME, 'MainPID')
    machine.wait("the robot's own graph", lambda: own_nodes(machine) == ['/base', '/rosout'])
    status = machine.run(['cat', '/proc/{}/status'.format(pid)]).stdout
    assert 'NoNewPrivs:\t1\n' in status and 'CapBnd:\t0000000000000000\n' in status
    assert machine.run(['stat', '-c', '%U', '/proc/' + pid]).stdout == USER + '\n'
    # Nobody outside reaches the local graph, guard or not.
    listening = machine.run(['ss', '-Hltn', 'sport = :{}'.format(SERVICE_MASTER_PORT)]).stdout.split()
    assert listening[3] == '127.0.0.1:{}'.format(SERVICE_MASTER_PORT)
    # The robot's own roscore, which boots beside it, has ROS's port.
    assert own_nodes(machine) == ['/base', '/rosout']

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


@pytest.mark.fault('case 3', "The robot's own roscore.service boots on port 11311, and units require it",
                   behaviour='The service has a master of its own; stopping one stops nothing of the other',
                   reported='does not apply', recovery='at once', lost='nothing')
def test_the_robot_s_own_roscore(machine):
    """Both run since the boot; then each is stopped and started while the other one runs."""
    machine.run(['systemctl', 'stop', service.UNIT_NAME])
    assert own_nodes(machine) == ['/base', '/rosout']
    machine.run(['systemctl', 'restart', 'roscore.service'])
    machine.run(['systemctl', 'start', service.UNIT_NAME])
    machine.wait('the local graph', lambda: local_graph(machine))
    machine.wait("the robot's own graph", lambda: own_nodes(machine) == ['/base', '/rosout'])
    machine.run(['systemctl', 'stop', 'roscore.service'])
    assert local_graph(machine)
    # A person's roscore takes the port while the service runs, as before the package was installed.
    script = source(SPACE) + ' && timeout -s INT 10 roscore'
    done = machine.run(['bash', '-c', script], user=USER, check=False,
                       env={'ROS_HOME': '/tmp/ros', 'ROS_HOSTNAME': 'localhost'})
    assert 'setting /run_id to' in done.stdout, done.stdout + done.stderr
    machine.run(['systemctl', 'start', 'roscore.service', 'base.service'])
    machine.wait("the robot's own graph", lambda: own_nodes(machine) == ['/base', '/rosout'])
    # So is a unit that runs `bash -ic` for its user's .bashrc, although the robot is in the team, where a person is.
    machine.wait('the environment', lambda: ':{}'.format(TEAM_PORT) in machine.run(
        ['cat', '/run/ua_overlay/env'], check=False).stdout)
    shell = ['bash', '-ic', source(SPACE) + ' && echo "$ROS_MASTER_URI"']
    unit = ['systemd-run', '--quiet', '--wait', '--pipe', '--property=User=' + USER]
    assert machine.run(unit + shell).stdout.rstrip('/\n') == LOCAL_MASTER_URI
    assert ':{}'.format(TEAM_PORT) in machine.run(shell, user=USER).stdout


#: What a program can do, as JSON. The team's launch file starts it before its node.
ABILITIES = r"""#!/usr/bin/python3
import ctypes, errno, json, os, resource, socket, subprocess, sys
def attempt(function, *args):
    try:
        function(*args)
        return 'yes'
    except OSError as error:
        return errno.errorcode[error.errno]
def write(path):
    os.close(os.open(path, os.O_WRONLY))
def family(name):
    socket.socket(getattr(socket, name), socket.SOCK_RAW if name == 'AF_PACKET' else socket.SOCK_SEQPACKET
                  if name == 'AF_BLUETOOTH' else socket.SOCK_DGRAM, 0).close()
def lock():
    memory = ctypes.create_string_buffer(16 * 1024 * 1024)
    if ctypes.CDLL(None, use_errno=True).mlock(memory, len(memory)) != 0:
        raise OSError(ctypes.get_errno(), 'mlock')
status = dict(line.split(':\t', 1) for line in open('/proc/self/status').read().split('\n') if ':\t' in line)
found = {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith('RLIMIT_')}
found['real time'] = attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(50))
attempt(os.sched_setscheduler, 0, os.SCHED_OTHER, os.sched_param(0))
found['lock memory'] = attempt(lock)
for path in ('/sys/kernel/mm/transparent_hugepage/enabled', '/proc/sys/kernel/hostname', '/sys/fs/cgroup/cgroup.procs',
             '/usr/bin/env', '/etc/hostname', '/boot', '/dev/null', '/dev/mem', '/dev/tty', '/dev/kmsg', '/tmp',
             os.path.expanduser('~')):
    found[path] = attempt(write, path) if not os.path.isdir(path) else os.access(path, os.W_OK)
for name in ('AF_BLUETOOTH', 'AF_PACKET', 'AF_CAN', 'AF_ALG', 'AF_VSOCK', 'AF_NETLINK', 'AF_UNIX'):
    if hasattr(socket, name):
        found[name] = attempt(family, name)
found['groups'] = sorted(os.getgroups())
found['processes of others'] = os.path.exists('/proc/1/status')
found['namespaces'] = subprocess.run(['unshare', '--user', 'true'], stderr=subprocess.DEVNULL).returncode
found['sudo'] = subprocess.run(['sudo', '-n', 'true'], stderr=subprocess.DEVNULL).returncode
found['umask'] = os.umask(0o22)
found['runtime directory'] = os.environ.get('XDG_RUNTIME_DIR', '-')
found['it is there'] = os.access(os.environ.get('XDG_RUNTIME_DIR', '/nonexistent'), os.W_OK)
for key in ('NoNewPrivs', 'Seccomp', 'CapBnd', 'CapEff', 'CapAmb', 'Uid', 'Gid'):
    found[key] = status[key]
json.dump(found, open(sys.argv[1] + '.new', 'w'), indent=1, sort_keys=True)
os.rename(sys.argv[1] + '.new', sys.argv[1])
if sys.argv[2:]:
    os.execvp(sys.argv[2], sys.argv[2:])
"""
LAUNCH = """<launch>
  <node name="able" pkg="ua_overlay" type="talker.py" launch-prefix="{0}/able {0}/service.json"/>
</launch>
"""


@pytest.mark.fault('case 16', "A team's nodes under the service need real time, sysfs, Bluetooth, sound or sudo",
                   behaviour='They can do what their user can do in a shell; the overlay node keeps its sandbox',
                   reported='does not apply', recovery='at once', lost='nothing')
def test_a_team_s_nodes_can_do_what_their_user_can(machine):
    home = '/home/' + USER
    # Limits that root may lower in any sandbox; a robot raises rtprio and memlock in the same file.
    machine.write('/etc/security/limits.d/robot.conf', '{0} - nofile 5000\n{0} - memlock 64\n'.format(USER))
    machine.write(home + '/able', ABILITIES, mode='755', user=USER)
    machine.write(home + '/able.launch', LAUNCH.format(home), user=USER)
    sudo(machine, 'service', 'install', '--arg', 'team_launch:={}/able.launch'.format(home))
    machine.wait("the team's node", lambda: machine.run(
        ['cat', home + '/service.json'], check=False).returncode == 0)
    machine.run(['su', '-', USER, '-c', '{0}/able {0}/shell.json'.format(home)])
    under_service, in_shell = (json.loads(machine.run(['cat', '{}/{}.json'.format(home, name)]).stdout)
                               for name in ('service', 'shell'))
    assert under_service['RLIMIT_NOFILE'] == [5000, 5000] and under_service['RLIMIT_MEMLOCK'] == [65536, 65536]
    assert under_service['NoNewPrivs'] == '0' and under_service['sudo'] == 0
    assert under_service['it is there'] and under_service['runtime directory'].startswith('/run/user/')
    # `su -` opens a session of logind only where PAM is set up for it.
    if in_shell['runtime directory'] == '-':
        for found in (in_shell, under_service):
            del found['runtime directory'], found['it is there']
    # The machine itself may have a filter of system calls, which a shell from outside has not.
    plain = machine.run(['cat', '/proc/{}/status'.format(machine.property('base.service', 'MainPID'))]).stdout
    assert 'Seccomp:\t{}\n'.format(under_service.pop('Seccomp')) in plain and in_shell.pop('Seccomp')
    assert under_service == in_shell
    # Our own node and its roscore are in the sandbox all the same.
    record = json.loads(machine.run(['cat', '/run/ua_overlay/node.json']).stdout)
    status = machine.run(['cat', '/proc/{}/status'.format(record['pid'])]).stdout
    assert record['unit'] == service.UNIT_NAME
    assert 'NoNewPrivs:\t1\n' in status and 'CapBnd:\t0000000000000000\n' in status and 'Seccomp:\t2\n' in status


def test_the_nodes_of_a_killed_overlay_node_end_and_run_once_again(machine):
    def talkers():
        return machine.run(['pgrep', '-f', 'talker.py.*__name:=able'], check=False).stdout.split()

    before = talkers()
    assert len(before) == 1
    pid = json.loads(machine.run(['cat', '/run/ua_overlay/node.json']).stdout)['pid']
    machine.run(['kill', '-9', str(pid)])

    def only_the_next():
        # One look: between two of them the old node may end.
        found = talkers()
        return len(found) == 1 and found != before

    machine.wait('the next node of the team', only_the_next)
    assert only_the_next()
    sudo(machine, 'service', 'install')
    machine.wait('the end of it', lambda: talkers() == [])


def test_the_sandboxed_agent_repairs_names(machine):
    machine.run(['sh', '-c', 'echo 127.0.1.1 dev-1.overlay.internal dev-1 >>/etc/hosts'])
    before = machine.run(['cat', '/etc/hosts']).stdout
    machine.wait('the block in the hosts file', lambda: machine.run(
        ['head', '-n', '1', '/etc/hosts']).stdout.startswith('# BEGIN ua_overlay'))
    assert machine.run(['cat', '/etc/hosts']).stdout.endswith(before)
    assert machine.run(['stat', '-c', '%U %a', '/etc/hosts']).stdout == 'root 644\n'
    assert '\n100.' in machine.run(['getent', 'ahostsv4', 'dev-1.overlay.internal']).stdout
    machine.wait('the environment', lambda: 'ROS_MASTER_URI=http://dev-1.' in machine.run(
        [SPACE + '/bin/ua-overlay', 'env'], user=USER, check=False).stdout)


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
    machine.run(['systemctl', 'stop', 'base.service', 'roscore.service'])
    left = machine.run(['pgrep', '-u', USER, '-f', 'roslaunch|rosmaster|roscore|team_host'], check=False)
    assert left.returncode == 1, left.stdout
    assert machine.property(service.TEAM_UNIT_NAME, 'LoadState') == 'not-found'
    found = machine.run([SPACE + '/bin/ua-overlay', 'status', '--json'], user=USER, check=False).stdout
    assert json.loads(found)['state'] == 'Running'
    assert sudo(machine, 'service', 'remove').stdout == 'There was no service.\n'
