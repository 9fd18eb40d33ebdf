"""Names on robots whose resolver fails: detected, mended by the root helper, gone when the robot leaves.

dev-1 is the team's master, with a talker; dev-2 listens. What runs in the team graph must not notice any of this.
"""
import threading

import pytest
from places import INSTALL
from topologies import TWO_NATS

from ua_overlay.lab.fleet import USER, Fleet
from ua_overlay.lab.wait import wait
from ua_overlay.rosenv import hosts

#: The lab's DNS server, as a DHCP server would name it: it has never heard of the overlay.
DHCP = '# from the DHCP server\nnameserver 203.0.113.2\n'
#: Every process of ROS on a robot: pid and start time (a pid may come again), and what it is.
PROCESSES = r'''ps -eo pid=,lstart=,args= | grep -E 'rosmaster|roscore|rosout|roslaunch|lib/ua_overlay|__name:=' |
    grep -vE 'grep|bash -c|rostopic' | sort -n'''


class Program:
    """A program on a robot whose lines are kept."""

    def __init__(self, fleet, host, *argv):
        self.process = fleet.ros_popen(host, 'ua-overlay', 'exec', '--wait', '--timeout', '60', *argv, graph='shell')
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True).start()

    def heard(self, more=10):
        """Wait for ``more`` further lines."""
        before = len(self.lines)
        wait('The talker', lambda: len(self.lines) >= before + more or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.lines[-5:]

    def end(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope='module')
def fleet(new_lab, install):
    lab = new_lab(TWO_NATS, 'names')
    fleet = Fleet(lab, INSTALL)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    for robot, options in (('dev-1', ['--master']), ('dev-2', [])):
        path = fleet.carry(robot, fleet.invite('iris', robot, *options))
        fleet.prepare(robot, path)
        fleet.launch(robot)
        answer = fleet.join(robot, path)
        assert answer['code'] == 0, answer['message']
    fleet.talker = Program(fleet, 'dev-1', 'rosrun', 'ua_overlay', 'talker.py')
    yield fleet
    fleet.talker.end()


def start_helper(fleet, host):
    fleet.lab.start_service(host, 'agent', [fleet.command, 'robot', 'agent', '--user', USER],
                            env=fleet.base_environment())


def helper_log(fleet, host):
    with open(fleet.lab.log_path(host, 'agent')) as stream:
        return stream.read()


def environment(fleet, host):
    return fleet.topic(host, '/ua_overlay/ros_environment', timeout=60)


def wait_names(fleet, host, ok):
    return wait('names_ok {} on {}'.format(ok, host),
                lambda: next((found for found in [environment(fleet, host)] if found['names_ok'] == ok), None), 60)


def hosts_file(fleet, host):
    return fleet.lab.host(host).run(['cat', '/etc/hosts']).stdout


def wait_block(fleet, host, there):
    wait('The block {} the hosts file of {}'.format('in' if there else 'out of', host),
         lambda: hosts.has_block(hosts_file(fleet, host)) == there, 60)


def processes(fleet, host):
    return fleet.lab.host(host).run(['sh', '-c', PROCESSES]).stdout.splitlines()


def resolve(fleet, host, name):
    return fleet.lab.host(host).run(['timeout', '3', 'getent', 'ahostsv4', name], check=False).stdout.split()[:1]


# --- faults; each returns what mends it ---

def dead_resolver(fleet, host):
    """Questions to MagicDNS get lost."""
    nft = fleet.lab.host(host).run
    nft(['nft', 'add table inet fault; add chain inet fault out { type filter hook output priority -200; }; '
         'add rule inet fault out ip daddr 100.100.100.100 drop; '
         'add rule inet fault out ip6 daddr fd7a:115c:a1e0::53 drop'])
    return lambda: nft(['nft', 'delete table inet fault'])


def dhcp(fleet, host):
    """A DHCP client that insists: tailscaled takes resolv.conf back nine times and then gives up."""
    run = fleet.lab.host(host).run
    assert '100.100.100.100' in run(['cat', '/etc/resolv.conf']).stdout

    def overwrite():
        if run(['cat', '/etc/resolv.conf']).stdout == DHCP:
            return True
        run(['sh', '-c', 'cat >/etc/resolv.conf'], input=DHCP)
        return False

    for _ in range(3):  # it may be about to answer
        wait('A resolv.conf that stays as DHCP wrote it', overwrite, 60, poll=0.02)
    return lambda: None  # with the next join tailscaled takes the file over as it is


def debian_line(fleet, host):
    """What an installer or cloud-init writes: this machine's full name is its loopback."""
    run = fleet.lab.host(host).run
    before = hosts_file(fleet, host)
    run(['sed', '-i', r's/^127\.0\.1\.1 .*/127.0.1.1 {0}.overlay.internal {0} robot/'.format(host), '/etc/hosts'])
    assert hosts_file(fleet, host) != before
    return lambda: run(['sed', '-i', r's/^127\.0\.1\.1 .*/127.0.1.1 robot/', '/etc/hosts'])


@pytest.mark.parametrize('fault', [dead_resolver, dhcp, debian_line])
def test_names_are_mended_and_nothing_restarts(fleet, fault):
    wait_names(fleet, 'dev-2', True)
    wait_names(fleet, 'dev-1', True)
    assert not hosts.has_block(hosts_file(fleet, 'dev-2')), helper_log(fleet, 'dev-2')
    listener = Program(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'listener.py')
    listener.heard()
    running = {host: processes(fleet, host) for host in ('dev-1', 'dev-2')}
    assert 'rosmaster' in str(running['dev-1']) and 'talker' in str(running['dev-1'])
    assert 'listener' in str(running['dev-2'])

    mend = fault(fleet, 'dev-2')
    before = hosts_file(fleet, 'dev-2')
    wait_block(fleet, 'dev-2', True)
    wait_names(fleet, 'dev-2', True)
    written = hosts_file(fleet, 'dev-2')
    assert written.endswith(before) and hosts.hosts_text(written, ()) == before
    own = environment(fleet, 'dev-2')['hostname']
    assert own == 'dev-2.overlay.internal'
    assert resolve(fleet, 'dev-2', 'dev-1.overlay.internal')[0].startswith('100.64.')
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
    mend()
    answer = fleet.call('dev-2', '/ua_overlay/join', '{}')
    assert answer['code'] == 0, answer['message']


def test_without_the_helper_an_error_says_so(fleet):
    """On the master, where the team's roscore must live through it."""
    wait_names(fleet, 'dev-1', True)
    wait_names(fleet, 'dev-2', True)
    listener = Program(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'listener.py')
    listener.heard()
    fleet.lab.stop_service('dev-1', 'agent')
    running = {host: processes(fleet, host) for host in ('dev-1', 'dev-2')}
    mend = dead_resolver(fleet, 'dev-1')
    found = wait_names(fleet, 'dev-1', False)
    assert found['why'].startswith('This robot cannot receive from dev-2')

    def error():
        statuses = [status for status in fleet.topic('dev-1', '/diagnostics', timeout=60)['status']
                    if status['level'] == 2 and status['name'] == 'dev-1: overlay: environment']
        return statuses and 'cannot receive from' in statuses[0]['message'] and statuses[0]

    wait('An ERROR in the diagnostics of dev-1', error, 60)
    assert not hosts.has_block(hosts_file(fleet, 'dev-1')) and not environment(fleet, 'dev-1')['names_ok']
    listener.heard(30)
    # The helper comes and mends it, without a hand on anything else.
    start_helper(fleet, 'dev-1')
    wait_block(fleet, 'dev-1', True)
    wait_names(fleet, 'dev-1', True)
    listener.heard()
    assert {host: processes(fleet, host) for host in running} == running
    listener.end()
    mend()
    # Whoever is not the helper: `robot prepare --undo` takes the block along.
    fleet.lab.stop_service('dev-1', 'agent')
    fleet.overlay('dev-1', 'robot', 'prepare', '--undo')
    assert not hosts.has_block(hosts_file(fleet, 'dev-1'))
