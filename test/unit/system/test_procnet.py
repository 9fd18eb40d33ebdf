import os
import socket
import subprocess
import sys

import pytest

from ua_overlay.system import procnet
from ua_overlay.system.procnet import Socket

#: From a robot: rosmaster listens on 11312 (2C30), a peer is connected to it; that connection is over on the last line.
TCP = '''\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:2C30 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1001 1 0 100 0 0 10 0
   1: 02004064:2C30 01004064:D431 01 00000000:00000000 00:00000000 00000000  1000        0 1002 1 0 20 4 30 10 -1
   2: 02004064:2C30 05004064:D434 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000000000000000
   3: 02004064:2C30 05004064
'''
TCP6 = '''\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000000000000:C385 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 20
   1: 5C117AFD0000E0A10000000001000000:C386 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 21
   2: 0000000000000000FFFF00000F02000A:C387 0000000000000000FFFF00000100007F:0016 01 0:0 0:0 0 0 0 22
'''
UDP = '''\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  123: 00000000:9C40 00000000:0000 07 00000000:00000300 00:00000000 00000000     0        0 4711 2 0000000000000000 0
'''
little = pytest.mark.skipif(sys.byteorder != 'little', reason='recorded on a little-endian machine')


@little
def test_parse_tcp():
    assert procnet.parse_sockets(TCP) == [
        Socket('0.0.0.0', 11312, '0.0.0.0', 0, procnet.LISTEN, 0, 1001, 1000),
        Socket('100.64.0.2', 11312, '100.64.0.1', 54321, procnet.ESTABLISHED, 0, 1002, 1000),
        Socket('100.64.0.2', 11312, '100.64.0.5', 54324, '06', 0, 0)]


@little
def test_parse_tcp6():
    assert [(each.local, each.local_port, each.remote) for each in procnet.parse_sockets(TCP6)] == [
        ('::', 50053, '::'), ('fd7a:115c:a1e0::1', 50054, '::'), ('10.0.2.15', 50055, '127.0.0.1')]


def test_parse_udp():
    assert procnet.parse_sockets(UDP) == [Socket('0.0.0.0', 40000, '0.0.0.0', 0, '07', 768, 4711)]


def test_nothing_to_read():
    assert procnet.parse_sockets('') == procnet.parse_sockets('head\nshort line\n') == []
    assert procnet.read_sockets('tcp', '/nonexistent') == []
    assert procnet.inodes_of(2 ** 22 + 1) is None


@pytest.mark.parametrize('family, address', [(socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')])
def test_a_real_socket_and_its_process(family, address):
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen(1)
        port = server.getsockname()[1]
        found = [each for each in procnet.read_sockets('tcp', '/proc/{}/net'.format(os.getpid()))
                 if each.local_port == port and each.state == procnet.LISTEN]
        assert [each.local for each in found] == [address]
        assert found[0].inode in procnet.inodes_of(os.getpid())
    assert found[0].inode not in procnet.inodes_of(os.getpid())


def test_unread_bytes_of_a_real_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(('127.0.0.1', 0))
        receiver.sendto(b'x' * 100, receiver.getsockname())
        unread = [each.unread for each in procnet.read_sockets('udp') if each.local_port == receiver.getsockname()[1]]
    assert len(unread) == 1 and unread[0] >= 100


def test_the_command_line_of_a_process():
    argv = ['/bin/sh', '-c', 'echo up; read line', 'x y']
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b'up\n'
        assert procnet.command_of(process.pid) == tuple(argv)
        process.stdin.close()
