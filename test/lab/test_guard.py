"""The guard on a real robot: a real roscore that binds 0.0.0.0, a peer over the overlay, a neighbour on the same LAN.

dev-2 is the robot, dev-1 its team mate behind another NAT, dev-3 a machine on dev-2's own LAN that is in no team.
"""
import json
import os

import pytest

from ua_overlay.firewall import guard
from ua_overlay.firewall.backend import NFT, Backend
from ua_overlay.lab.fleet import SOURCE, USER
from ua_overlay.lab.timeouts import GRAPH, JOIN, START
from ua_overlay.lab.wait import wait

LAN = '10.0.2.15'
#: A port in the range from which ROS nodes get theirs, taken by another service.
IN_RANGE = 45678

CONNECT = '''
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    print('open')
except ConnectionRefusedError:
    print('refused')
except OSError as error:
    print(error)
'''
NODE_PORTS = '''
import sys, xmlrpc.client
from urllib.parse import urlsplit
master = xmlrpc.client.ServerProxy('http://{}:11311'.format(sys.argv[1]))
uri = master.lookupNode('/test', '/rosout')[2]
print(urlsplit(uri).port, xmlrpc.client.ServerProxy(uri).requestTopic('/test', '/rosout_agg', [['TCPROS']])[2][2])
'''
#: Downloads from a server of the neighbour, and reads the answer when the test writes a line.
DOWNLOAD = '''
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as connection:
    connection.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    print('connected', flush=True)
    sys.stdin.readline()
    data = b''
    while True:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    print('200 OK' if b' 200 ' in data.split(b'\\r\\n')[0] and data.endswith(b'</html>\\n') else data[-200:])
'''


@pytest.fixture(scope='module')
def robot(two_lans):
    """A Fleet with roscore and two other services on dev-2, and the guard off."""
    fleet, lab = two_lans, two_lans.lab
    for name in ('dev-1', 'dev-2'):
        path = fleet.carry(name, fleet.invite('iris', name))
        fleet.prepare(name, path)
        fleet.overlay(name, 'join', path, user=USER)
    dns_name = json.loads(fleet.overlay('dev-2', 'status', '--json').stdout)['self']['dns_name']
    wait('dev-1 resolving ' + dns_name,
         lambda: lab.host('dev-1').run(['getent', 'ahostsv4', dns_name], check=False).returncode == 0, JOIN, poll=0.3)
    environment = dict(fleet.user_environment(), ROS_HOSTNAME=dns_name)
    # `--local` would bind loopback: this is what a shell, or the team's roscore, starts.
    lab.start_service('dev-2', 'roscore', ['bash', '-c', SOURCE + ' && exec roscore -p 11311',
                                           fleet.workspace], env=environment, user=USER)
    for host in ('dev-2', 'dev-3'):
        lab.start_service(host, 'web', ['python3', '-m', 'http.server', '8000', '--bind', '0.0.0.0'], user=USER)
    # Or a connection may have it as its own port at that moment.
    lab.host('dev-2').run(['sysctl', '-qw', 'net.ipv4.ip_local_reserved_ports={}'.format(IN_RANGE)])
    lab.start_service('dev-2', 'in_range', ['python3', '-m', 'http.server', str(IN_RANGE)], user=USER)
    for host, address, port in (('dev-2', LAN, 11311), ('dev-3', LAN, 8000), ('dev-3', LAN, IN_RANGE),
                                ('dev-2', '10.0.2.16', 8000)):
        wait_for_port(fleet, host, address, port)
    wait('rosout with its topics', lambda: lab.host('dev-2').run(
        ['python3', '-c', NODE_PORTS, '127.0.0.1'], check=False).returncode == 0, GRAPH, poll=0.3)
    fleet.dns_name = dns_name
    yield fleet
    fleet.overlay('dev-2', 'guard', 'off')


def connect(fleet, host, address, port):
    """'open', 'refused' or the error of a TCP connection from ``host``."""
    return fleet.lab.host(host).run(['python3', '-c', CONNECT, address, str(port)]).stdout.strip()


def wait_for_port(fleet, host, address, port):
    wait('Port {} of {}'.format(port, address), lambda: connect(fleet, host, address, port) == 'open', START, poll=0.3)


def node_ports(fleet, host, address):
    """XML-RPC and TCPROS port of rosout, which roscore starts, as seen from ``host``."""
    return [int(word) for word in fleet.lab.host(host).run(['python3', '-c', NODE_PORTS, address]).stdout.split()]


def test_the_guard_closes_ros_to_the_lan_and_nothing_else(robot):
    ports = [11311] + node_ports(robot, 'dev-2', '127.0.0.1')
    first, last = guard.read_port_range(robot.lab.host('dev-2').path('/proc/sys/net/ipv4/ip_local_port_range'))
    assert len(set(ports)) == 3 and all(first <= port <= last for port in ports[1:])
    # Without the guard a neighbour stops this robot's nodes, reads its camera and drives it.
    assert [connect(robot, 'dev-3', LAN, port) for port in ports] == ['open'] * 3
    assert robot.overlay('dev-2', 'guard', 'status', check=False).returncode == 3

    own = robot.lab.host('dev-2')
    with own.popen(['python3', '-c', DOWNLOAD, '10.0.2.16', '8000'], stdin=-1, stdout=-1,
                   universal_newlines=True) as download:
        assert download.stdout.readline() == 'connected\n'
        output = robot.overlay('dev-2', 'guard', 'on').stdout
        # This robot's own connections, old and new, go on.
        download.stdin.write('\n')
        download.stdin.flush()
        assert download.stdout.readline() == '200 OK\n'
    assert connect(robot, 'dev-2', '10.0.2.16', 8000) == 'open'
    assert '--allow {}'.format(IN_RANGE) in output and 'listens on port 11311' not in output

    assert [connect(robot, 'dev-3', LAN, port) for port in ports] == ['refused'] * 3
    assert [connect(robot, 'dev-1', robot.dns_name, port) for port in ports] == ['open'] * 3
    assert [connect(robot, 'dev-2', address, port) for address in ('127.0.0.1', LAN, robot.dns_name)
            for port in ports] == ['open'] * 9
    # Real ROS over the overlay, both the master's port and the nodes'.
    assert node_ports(robot, 'dev-1', robot.dns_name) == ports[1:]
    # Everything else works as before.
    assert connect(robot, 'dev-3', LAN, 8000) == 'open'
    assert connect(robot, 'dev-3', LAN, 22) == 'refused'  # as before: nothing listens there
    assert connect(robot, 'dev-3', LAN, IN_RANGE) == 'refused'
    status = json.loads(robot.overlay('dev-2', 'guard', 'status', '--json').stdout)
    assert status['on'] and status['persistent'] and status['problems'] == [] and status['refused'] >= 4


@pytest.mark.fault('new', 'Somebody flushes the nftables ruleset under the guard',
                   behaviour='`guard status` says so; the unit of the boot loads it again',
                   reported='at once: guard status', recovery="with the unit's start", lost='nothing')
def test_an_exception_and_a_reboot(robot):
    robot.overlay('dev-2', 'guard', 'on')
    robot.overlay('dev-2', 'guard', 'on', '--allow', str(IN_RANGE))
    again = robot.overlay('dev-2', 'guard', 'on').stdout
    assert again.startswith('The guard was on already')
    node = node_ports(robot, 'dev-2', '127.0.0.1')[0]
    host = robot.lab.host('dev-2')

    def holds():
        return [connect(robot, 'dev-3', LAN, port) for port in (11311, node, IN_RANGE, 8000)]

    assert holds() == ['refused', 'refused', 'open', 'open']
    host.run(['nft', 'flush', 'ruleset'])
    assert holds() == ['open'] * 4
    flushed = robot.overlay('dev-2', 'guard', 'status', check=False)
    assert flushed.returncode == 1 and 'flushed' in flushed.stdout
    # The unit runs this at boot, word for word.
    unit = guard.make_recipe(guard.Guard(), Backend(NFT, ('nft',)), 'systemd').files[1].text
    start = next(line for line in unit.split('\n') if line.startswith('ExecStart='))
    host.run(start[len('ExecStart='):].split())
    assert holds() == ['refused', 'refused', 'open', 'open']


def test_off_leaves_nothing(robot):
    host = robot.lab.host('dev-2')
    before = host.run(['nft', 'list', 'ruleset']).stdout.replace('table inet ua_overlay', 'OURS')
    robot.overlay('dev-2', 'guard', 'on')
    robot.overlay('dev-2', 'guard', 'off')
    assert 'ua_overlay' not in host.run(['nft', 'list', 'ruleset']).stdout
    assert connect(robot, 'dev-3', LAN, 11311) == 'open'
    assert not os.path.exists(host.path(guard.RULES[NFT])) and not os.path.exists(host.path(guard.MANIFEST))
    again = robot.overlay('dev-2', 'guard', 'off')
    assert 'off already' in again.stdout
    assert before  # tailscaled's own rules were there, and are
    assert host.run(['nft', 'list', 'ruleset']).stdout.count('table ') == before.count('table ')


def test_an_unprivileged_user_is_refused(robot):
    done = robot.overlay('dev-2', 'guard', 'on', user=USER, check=False)
    assert done.returncode == 1 and 'needs root' in done.stderr
