"""Processes of this machine, as the kernel lists them."""
import getpass
import os
import socket
import subprocess
import sys

import pytest

from ua_overlay.checks.observe import processes

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


def test_the_holder_of_a_port():
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        server.listen(1)
        port = server.getsockname()[1]
        holder = processes.holder_of(port, processes.read())
        assert (holder.port, holder.pid, holder.user) == (port, os.getpid(), getpass.getuser())
        assert holder.command == processes.process_name(holder.starter)
    assert processes.holder_of(port, processes.read()) is None


def test_the_holder_of_a_port_of_a_process_that_is_hidden(tmp_path):
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        server.listen(1)
        port = server.getsockname()[1]
        holder = processes.holder_of(port, processes.read(), str(tmp_path))
    assert holder == processes.Holder(port, getpass.getuser())


@pytest.mark.parametrize('text, unit', [
    ('0::/system.slice/base.service\n', 'base.service'), ('0::/user.slice/user-1000.slice/session-1.scope\n', ''),
    ('12:cpu:/\n1:name=systemd:/system.slice/system-robot.slice/robot@1.service\n0::/\n', 'robot@1.service'),
    ('0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n', ''), ('0::/\n', ''), ('', ''),
    ('0::/system.slice/base.service/sub/group\n', 'base.service')])
def test_the_unit_of_a_process(tmp_path, text, unit):
    (tmp_path / '7').mkdir()
    (tmp_path / '7' / 'cgroup').write_text(text)
    assert processes.unit_of(7, str(tmp_path)) == unit
    assert processes.unit_of(8, str(tmp_path)) == ''


def proc(tmp_path, **commands):
    """A /proc of processes: p7='7 words' → process 7; each one's parent is the one before."""
    parent = 1
    for name, words in commands.items():
        directory = tmp_path / name[1:]
        directory.mkdir()
        (directory / 'cmdline').write_text('\0'.join(words) + '\0')
        (directory / 'stat').write_text('{} (x) S {} '.format(name[1:], parent) + '0 ' * 30)
        parent = int(name[1:])
    return str(tmp_path)


def test_what_starts_a_node_again(tmp_path):
    launch = ['/usr/bin/python3', '/opt/ros/noetic/bin/roslaunch', 'my_robot', 'a b.launch']
    node = ['/usr/bin/python3', '/x/talker.py', '__name:=talker']
    path = proc(tmp_path, p5=['bash'], p6=launch, p7=node)
    assert processes.starter_of(7, path) == (6, tuple(launch))
    assert processes.starter_of(6, path) == (6, tuple(launch))
    assert processes.starter_of(99, path) == (99, ())


@pytest.mark.parametrize('words, path', [
    (['tailscaled', '--state=/data/ts/tailscaled.state'], '/data/ts/tailscaled.state'),
    (['/usr/sbin/tailscaled', '--statedir', '/data/ts'], '/data/ts/tailscaled.state'),
    (['tailscaled', '-state', '/a/b', '--statedir=/c'], '/a/b'), (['tailscaled'], ''), (['tailscaled', '--state'], '')])
def test_the_state_file_of_a_tailscaled(tmp_path, words, path):
    assert processes.daemon_state(proc(tmp_path, p7=words)) == path
