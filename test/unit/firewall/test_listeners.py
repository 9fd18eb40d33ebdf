"""Programs that the guard would block."""
import os
import socket

from ua_overlay.firewall.listeners import Listener, cut_off, is_ros, read_listeners


def test_a_real_listener_and_its_program():
    with socket.socket() as server:
        server.bind(('0.0.0.0', 0))
        server.listen(1)
        port = server.getsockname()[1]
        found = [item for item in read_listeners() if item.port == port]
    assert len(found) == 1 and found[0].address == '0.0.0.0'
    with open('/proc/{}/cmdline'.format(os.getpid())) as stream:
        assert found[0].command[0] == stream.read().split('\0')[0]


def test_ros_programs_are_recognized_by_name():
    assert is_ros(('/usr/bin/python3', '/usr/bin/roscore', '-p', '11312'))
    assert is_ros(('/ws/lib/pkg/node', '__name:=talker', '__log:=/x'))
    assert is_ros(('rosmaster', '--core'))
    assert not is_ros(('/usr/sbin/rpc.statd',)) and not is_ros(()) and not is_ros(('vim', 'a', 'b', 'roscore'))
    assert not is_ros(('/opt/microscore',))


def test_listeners_blocked_by_the_guard():
    everything = [
        Listener('0.0.0.0', 50051, ('/usr/bin/my_server',)), Listener('::', 50051, ('/usr/bin/my_server',)),
        Listener('127.0.0.1', 50052, ('a',)), Listener('::1', 50053, ('a',)),
        Listener('100.64.0.3', 50054, ('tailscaled',)), Listener('fd7a:115c:a1e0::3', 50055, ('tailscaled',)),
        Listener('0.0.0.0', 8000, ('http',)), Listener('0.0.0.0', 50056, ('node', '__name:=x')),
        Listener('10.0.2.15', 50057, ())]
    trusted = ('100.64.0.3', 'fd7a:115c:a1e0::3')
    assert [item.port for item in cut_off(everything, lambda port: port > 50000, trusted)] == [50051, 50057]
    # A robot's own network may use the overlay's range, too.
    assert [item.port for item in cut_off(everything, lambda port: port > 50000)] == [50051, 50054, 50055, 50057]
