"""Who listens, from /proc."""
import os
import socket

from ua_overlay.system.listeners import Listener, cut_off, is_ros, parse_listeners, read_listeners

TCP = '''\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2C2F 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17
   1: 00000000:C383 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 18
   2: 0F02000A:C384 0202000A:0016 01 00000000:00000000 00:00000000 00000000     0        0 19
'''
TCP6 = '''\
  sl  local_address remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:C385 00:0000 0A 0:0 0:0 0 0 0 20
   1: 5C117AFD0000E0A10000000001000000:C386 00:0000 0A 0:0 0:0 0 0 0 21
'''


def test_only_what_listens():
    assert parse_listeners(TCP) == [Listener('127.0.0.1', 11311, 17), Listener('0.0.0.0', 50051, 18)]
    assert parse_listeners(TCP6) == [Listener('::', 50053, 20), Listener('fd7a:115c:a1e0::1', 50054, 21)]
    assert parse_listeners('') == []


def test_a_real_listener_and_its_program():
    with socket.socket() as server:
        server.bind(('0.0.0.0', 0))
        server.listen(1)
        port = server.getsockname()[1]
        found = [item for item in read_listeners() if item.port == port]
    assert len(found) == 1 and found[0].address == '0.0.0.0' and found[0].inode
    with open('/proc/{}/cmdline'.format(os.getpid())) as stream:
        assert found[0].command[0] == stream.read().split('\0')[0]


def test_ros_is_told_by_its_names():
    assert is_ros(('/usr/bin/python3', '/usr/bin/roscore', '-p', '11312'))
    assert is_ros(('/ws/lib/pkg/node', '__name:=talker', '__log:=/x'))
    assert is_ros(('rosmaster', '--core'))
    assert not is_ros(('/usr/sbin/rpc.statd',)) and not is_ros(()) and not is_ros(('vim', 'a', 'b', 'roscore'))
    assert not is_ros(('/opt/microscore',))


def test_cut_off_is_what_neighbours_lose():
    everything = [
        Listener('0.0.0.0', 50051, 1, ('/usr/bin/my_server',)), Listener('::', 50051, 2, ('/usr/bin/my_server',)),
        Listener('127.0.0.1', 50052, 3, ('a',)), Listener('::1', 50053, 4, ('a',)),
        Listener('::ffff:127.0.0.1', 50059, 4, ('a',)),
        Listener('100.64.0.3', 50054, 5, ('tailscaled',)), Listener('fd7a:115c:a1e0::3', 50055, 6, ('tailscaled',)),
        Listener('0.0.0.0', 8000, 7, ('http',)), Listener('0.0.0.0', 50056, 8, ('node', '__name:=x')),
        Listener('10.0.2.15', 50057, 9, ())]
    assert [item.port for item in cut_off(everything, lambda port: port > 50000)] == [50051, 50057]
