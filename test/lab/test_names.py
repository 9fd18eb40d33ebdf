"""Names on robots whose resolver fails: noticed, repaired by the agent, and gone when the robot leaves.

dev-1 is the team's master, with a talker; dev-2 listens. The programs in the team graph must not notice any of this.
"""
import subprocess
import threading

import pytest

from ua_overlay.lab.fleet import USER, shell_argv
from ua_overlay.lab.timeouts import GRAPH, JOIN
from ua_overlay.lab.wait import wait
from ua_overlay.rosenv import hosts

#: The lab's DNS server, as a DHCP server would name it: it has never heard of the overlay.
DHCP = '# from the DHCP server\nnameserver 203.0.113.2\n'
#: Every process of ROS on a robot: pid and start time (a pid may come again), and its command.
PROCESSES = r'''ps -eo pid=,lstart=,args= | grep -E 'rosmaster|roscore|rosout|roslaunch|lib/ua_overlay|__name:=' |
    grep -vE 'grep|bash -c|rostopic|on_robot' | sort -n'''


class Program:
    """A program on a robot whose lines are kept."""

    def __init__(self, fleet, host, *argv):
        self.process = fleet.ros_popen(host, 'ua-overlay', 'exec', '--wait', '--timeout', '60', *argv, graph='shell')
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()

    def heard(self, more=10):
        """Wait for ``more`` further lines."""
        before = len(self.lines)
        wait('The talker', lambda: len(self.lines) >= before + more or self.process.poll() is not None, GRAPH)
        assert self.process.poll() is None, self.lines[-5:]

    def end(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope='module')
def fleet(three_robots):
    fleet = three_robots
    fleet.arrange('dev-1', 'iris', master=True)
    fleet.arrange('dev-2', 'iris')
    fleet.talker = Program(fleet, 'dev-1', 'rosrun', 'ua_overlay', 'talker.py')
    yield fleet
    fleet.talker.end()


def wait_names(fleet, host, ok):
    return fleet.topics[host].wait('names_ok {} on {}'.format(ok, host), 'ros_environment',
                                   lambda message: message['names_ok'] == ok, GRAPH)


def read(fleet, host, path):
    with open(fleet.lab.host(host).path(path), encoding='utf-8') as stream:
        return stream.read()


def hosts_file(fleet, host):
    return read(fleet, host, '/etc/hosts')


def wait_block(fleet, host, there):
    wait('The block {} the hosts file of {}'.format('in' if there else 'out of', host),
         lambda: hosts.has_block(hosts_file(fleet, host)) == there, GRAPH)


def processes(fleet, host):
    return fleet.lab.host(host).run(['sh', '-c', PROCESSES]).stdout.splitlines()


def resolve(fleet, host, name):
    return fleet.lab.host(host).run(['timeout', '3', 'getent', 'ahostsv4', name], check=False).stdout.split()[:1]


# --- faults; each returns what ends it ---

def dead_resolver(fleet, host):
    """Queries to MagicDNS get lost."""
    nft = fleet.lab.host(host).run
    nft(['nft', 'add table inet fault; add chain inet fault out { type filter hook output priority -200; }; '
         'add rule inet fault out ip daddr 100.100.100.100 drop; '
         'add rule inet fault out ip6 daddr fd7a:115c:a1e0::53 drop'])
    return lambda: nft(['nft', 'delete table inet fault'])


def dhcp(fleet, host):
    """A DHCP client that insists: tailscaled takes resolv.conf back nine times and then gives up."""
    path = '/etc/resolv.conf'
    assert '100.100.100.100' in read(fleet, host, path)

    def overwrite():
        if read(fleet, host, path) == DHCP:
            return True
        with open(fleet.lab.host(host).path(path), 'w', encoding='utf-8') as stream:
            stream.write(DHCP)
        return False

    for _ in range(3):  # tailscaled may be about to answer
        wait('A resolv.conf that stays as DHCP wrote it', overwrite, JOIN, poll=0.05)
    return lambda: None  # with the next join tailscaled takes the file over as it is


def debian_line(fleet, host):
    """An installer or cloud-init makes this machine's full name its loopback."""
    run = fleet.lab.host(host).run
    before = hosts_file(fleet, host)
    run(['sed', '-i', r's/^127\.0\.1\.1 .*/127.0.1.1 {0}.overlay.internal {0} robot/'.format(host), '/etc/hosts'])
    assert hosts_file(fleet, host) != before
    return lambda: run(['sed', '-i', r's/^127\.0\.1\.1 .*/127.0.1.1 robot/', '/etc/hosts'])


@pytest.mark.fault('new', 'MagicDNS does not answer',
                   behaviour='The agent writes the team into the hosts file; no process restarts', reported='-',
                   recovery='90 s', lost='nothing')
@pytest.mark.fault('new', 'A DHCP client overwrites resolv.conf',
                   behaviour='The agent writes the team into the hosts file; no process restarts', reported='-',
                   recovery='90 s', lost='nothing')
@pytest.mark.fault('new', "The hosts file gives this robot's overlay name a loopback address",
                   behaviour='The agent writes the right address above it; no process restarts', reported='-',
                   recovery='90 s', lost='nothing')
@pytest.mark.parametrize('fault', [dead_resolver, dhcp, debian_line])
def test_names_are_repaired_and_nothing_restarts(fleet, fault):
    wait_names(fleet, 'dev-2', True)
    wait_names(fleet, 'dev-1', True)
    assert not hosts.has_block(hosts_file(fleet, 'dev-2')), fleet.lab.log('dev-2', 'agent')
    listener = Program(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'listener.py')
    listener.heard()
    running = {host: processes(fleet, host) for host in ('dev-1', 'dev-2')}
    assert 'rosmaster' in str(running['dev-1']) and 'talker' in str(running['dev-1'])
    assert 'listener' in str(running['dev-2'])

    end_fault = fault(fleet, 'dev-2')
    before = hosts_file(fleet, 'dev-2')
    wait_block(fleet, 'dev-2', True)
    wait_names(fleet, 'dev-2', True)
    written = hosts_file(fleet, 'dev-2')
    assert written.endswith(before) and hosts.hosts_text(written, ()) == before
    assert fleet.topics['dev-2'].now('ros_environment')['hostname'] == 'dev-2.overlay.internal'
    assert resolve(fleet, 'dev-2', 'dev-1.overlay.internal')[0].startswith('100.')
    # ROS goes on, and a node that starts now finds the talker by its name.
    listener.heard()
    fresh = Program(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'listener.py', '__name:=fresh')
    fresh.heard()
    fresh.end()
    assert {host: processes(fleet, host) for host in running} == running

    listener.end()
    answer = fleet.call('dev-2', '/ua_overlay/leave', '{forget: false}')
    assert answer['code'] == 0, answer['message']
    wait_block(fleet, 'dev-2', False)
    assert hosts_file(fleet, 'dev-2') == before
    end_fault()
    answer = fleet.call('dev-2', '/ua_overlay/join', '{}')
    assert answer['code'] == 0, answer['message']


#: A container with the host's network, as docs/ros.md sets one up ("ROS in a container"): other files in /etc, another
#: /run and /var/lib, and the directories that are mounted into it. $1: names of its user; it lives until it is ended.
CONTAINER = r"""set -e
mount --make-rprivate /
own=$(mktemp -d)
cp -a /etc "$own/etc"
sed -i "s/^$1:/ros:/" "$own/etc/passwd"
printf 'nameserver 100.100.100.100\noptions timeout:1\nnameserver 203.0.113.2\n' >"$own/etc/resolv.conf"
rm -r "$own/etc/ua_overlay"
for path in run/tailscale run/ua_overlay var/lib/ua_overlay/robot etc/ua_overlay; do
  mkdir -p "$own/mounts/$path"; mount --bind "/$path" "$own/mounts/$path"
done
mount --bind "$own/etc" /etc
for place in run var/lib; do mount -t tmpfs tmpfs "/$place"; done
for path in run/tailscale run/ua_overlay var/lib/ua_overlay/robot etc/ua_overlay; do
  mkdir -p "/$path"; mount --move "$own/mounts/$path" "/$path"
done
mount -o remount,bind,ro /etc/ua_overlay
echo ready
exec sleep 600
"""


class Container:
    def __init__(self, fleet, host):
        self.fleet, self.host = fleet, host
        self.process = fleet.lab.host(host).popen(['unshare', '--mount', 'sh', '-c', CONTAINER, 'sh', USER],
                                                  stdout=subprocess.PIPE, universal_newlines=True)
        assert self.process.stdout.readline() == 'ready\n'
        # By its mount namespace: the processes of Host.popen differ from it in their number.
        found = fleet.lab.host(host).run(['pgrep', '-f', '^sleep 600$']).stdout.split()
        self.pid = found[-1]

    def run(self, *argv, script='exec "$@"', check=True):
        """Run a program as the container's user, with the workspace sourced; in an interactive shell."""
        words = ['nsenter', '--mount', '--target', self.pid, 'setpriv', '--reuid', 'ros', '--regid',
                 str(pwd_gid(self.fleet, self.host)), '--clear-groups'] + shell_argv(script, self.fleet.workspace, argv)
        return self.fleet.lab.host(self.host).run(words, env=self.fleet.user_environment(), check=check, timeout=60)

    def end(self):
        self.fleet.lab.host(self.host).run(['kill', self.pid])
        self.process.wait(10)
        self.process.stdout.close()


def pwd_gid(fleet, host):
    return int(fleet.lab.host(host).run(['id', '-g', USER]).stdout)


@pytest.mark.fault('case 15', 'ROS runs in a container that was started before the robot joined',
                   behaviour='It has the names, the env file and the commands; its user has another name',
                   reported='does not apply', recovery='90 s after the join', lost='nothing')
def test_ros_in_a_container(fleet):
    wait_names(fleet, 'dev-2', True)
    assert fleet.call('dev-2', '/ua_overlay/leave', '{forget: false}')['code'] == 0
    container = Container(fleet, 'dev-2')
    try:
        assert container.run('id', '-un').stdout == 'ros\n'
        assert container.run('ua-overlay', 'env', check=False).returncode == 3
        assert fleet.call('dev-2', '/ua_overlay/join', '{}')['code'] == 0
        wait_names(fleet, 'dev-2', True)
        # The host's files were replaced by the join, and the container's were not.
        assert 'overlay' not in container.run('cat', '/etc/resolv.conf').stdout
        wait('The name in the container', lambda: container.run(
            'getent', 'ahostsv4', 'dev-1.overlay.internal', check=False).stdout.startswith('100.'), GRAPH)
        assert 'ROS_HOSTNAME=dev-2.overlay.internal\n' in container.run('ua-overlay', 'env').stdout
        assert 'dev-2 ' in container.run('ua-overlay', 'status').stdout
        # A terminal of the container is in the team, and hears the other robot.
        shown = container.run(script='echo "$ROS_MASTER_URI"; exec timeout 30 rostopic echo -n 1 /chatter').stdout
        assert shown.startswith('http://dev-1.overlay.internal:') and 'hello' in shown, shown
        # The robot's own node runs outside: a second one says so, and ends.
        second = container.run(script='exec ua-overlay exec --local roslaunch ua_overlay overlay.launch', check=False)
        assert 'The overlay node runs already: process ' in second.stdout + second.stderr
    finally:
        container.end()


@pytest.mark.fault('new', 'Names fail and the agent does not run',
                   behaviour='Topics carry messages as before; an agent that starts repairs the names',
                   reported='90 s: ros_environment, /diagnostics', recovery='90 s', lost='nothing')
def test_without_the_agent_an_error_reports_it(fleet):
    """On the master, where the team's roscore must live through it."""
    wait_names(fleet, 'dev-1', True)
    wait_names(fleet, 'dev-2', True)
    listener = Program(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'listener.py')
    listener.heard()
    fleet.lab.stop_service('dev-1', 'agent')
    running = {host: processes(fleet, host) for host in ('dev-1', 'dev-2')}
    end_fault = dead_resolver(fleet, 'dev-1')
    message = wait_names(fleet, 'dev-1', False)
    assert message['why'].startswith('This robot cannot receive from dev-2')

    def reports(message):
        return any(status['level'] == 2 and status['name'] == 'dev-1: overlay: environment' and
                   'cannot receive from' in status['message'] for status in message['status'])

    fleet.topics['dev-1'].wait('An ERROR in the diagnostics of dev-1', 'diagnostics', reports, GRAPH)
    assert not hosts.has_block(hosts_file(fleet, 'dev-1'))
    assert not fleet.topics['dev-1'].now('ros_environment')['names_ok']
    listener.heard(30)
    # The agent comes and repairs it, and touches nothing else.
    fleet.start_agent('dev-1')
    wait_block(fleet, 'dev-1', True)
    wait_names(fleet, 'dev-1', True)
    listener.heard()
    assert {host: processes(fleet, host) for host in running} == running
    listener.end()
    end_fault()
    # With no agent left to do it: `robot prepare --undo` removes the block.
    fleet.lab.stop_service('dev-1', 'agent')
    fleet.overlay('dev-1', 'robot', 'prepare', '--undo')
    assert not hosts.has_block(hosts_file(fleet, 'dev-1'))
    fleet.overlay('dev-1', 'robot', 'prepare', '--invitation', '/home/robot/first.yaml', '--user', USER,
                  '--service-manager', 'none')
    fleet.start_agent('dev-1')
