"""Connections and processes of this machine, as the kernel lists them."""
import os
import socket
import subprocess
import sys

import pytest

from ua_overlay.checks.observe import processes
from ua_overlay.system import procnet

#: From a robot: rosmaster listens on 11312 (2C30), a peer is connected to it; we are connected to port 8080 of another.
TCP = '''  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:2C30 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1001 1 0 100 0 0 10 0
   1: 02004064:2C30 01004064:D431 01 00000000:00000000 00:00000000 00000000  1000        0 1002 1 0 20 4 30 10 -1
   2: 02004064:D432 03004064:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 1003 1 0 20 4 30 10 -1
   3: 0F02000A:2C30 1002000A:D433 01 00000000:00000000 00:00000000 00000000  1000        0 1004 1 0 20 4 30 10 -1
   4: 02004064:2C30 05004064:D434 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000000000000000
'''


@pytest.mark.skipif(sys.byteorder != 'little', reason='recorded on a little-endian machine')
def test_inbound():
    sockets = procnet.parse_sockets(TCP)
    # Not our own connection (2), the one from the LAN (3) or the closed one (4).
    assert processes.inbound(sockets, '100.64.0.2') == (('100.64.0.1', 11312),)
    assert processes.inbound(sockets[1:], '100.64.0.2') == ()


@pytest.mark.parametrize('family, bind, connect', [
    (socket.AF_INET, '0.0.0.0', '127.0.0.1'), (socket.AF_INET6, '::', '127.0.0.1')])
def test_a_real_connection(family, bind, connect):
    with socket.socket(family) as server:
        server.bind((bind, 0))
        server.listen(1)
        port = server.getsockname()[1]
        # From another address than ours, as a peer's would be.
        with socket.create_connection((connect, port), 5, ('127.0.0.2', 0)):
            assert ('127.0.0.2', port) in processes.inbound(processes.read(), '127.0.0.1')
    assert ('127.0.0.2', port) not in processes.inbound(processes.read(), '127.0.0.1')


LISTENER = 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(1); print("up", flush=True); input()'
QUIET = 'print("up", flush=True); input()'


@pytest.mark.parametrize('program, environ, expected', [
    (LISTENER, {'ROS_MASTER_URI': 'http://a:1', 'ROS_IP': '10.0.0.1', 'OTHER': 'x'}, True),
    (LISTENER, {'OTHER': 'x'}, False), (QUIET, {'ROS_MASTER_URI': 'http://a:1'}, False)])
def test_ros_processes(program, environ, expected):
    with subprocess.Popen([sys.executable, '-c', program, '__name:=talker'], env=environ, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b'up\n'
            nodes = [item for item in processes.ros_processes(processes.read()) if item.pid == process.pid]
            assert bool(nodes) == expected
            if expected:
                assert nodes[0].name == '/talker'
                assert nodes[0].variables == {'ROS_MASTER_URI': 'http://a:1', 'ROS_IP': '10.0.0.1'}
                assert not [item for item in processes.ros_processes(processes.read(), own_pid=process.pid)
                            if item.pid == process.pid]
        finally:
            process.stdin.close()


@pytest.mark.parametrize('words, name', [
    (['/usr/bin/python3', '/opt/x/talker.py', '__name:=talk', '__log:=/l'], '/talk'),
    (['/usr/bin/python3', '-u', '/opt/x/talker.py'], 'talker.py'), (['/opt/x/camera', '--fast'], 'camera'),
    (['python3'], 'python3'), ([''], '?')])
def test_process_name(words, name):
    assert processes.process_name(words) == name


def test_files_of_other_users_are_not_an_error():
    assert isinstance(processes.ros_processes([], proc='/proc', own_pid=os.getpid()), tuple)
