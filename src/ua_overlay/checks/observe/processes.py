"""Find processes that look like ROS nodes, and TCP connections from other robots, in /proc."""
import os
from typing import List, Optional, Sequence, Tuple

from ua_overlay.checks.facts import RosProcess
from ua_overlay.rosenv.envfile import ROS_KEYS
from ua_overlay.system import procnet
from ua_overlay.system.process import list_pids
from ua_overlay.system.procnet import Socket


def read() -> List[Socket]:
    """Return the TCP sockets of this machine that are reachable by IPv4, because ROS 1 supports only IPv4."""
    return [each for each in procnet.read_sockets('tcp') if ':' not in each.local or each.local == '::']


def inbound(sockets: Sequence[Socket], own_address: str) -> Tuple[Tuple[str, int], ...]:
    """Return the connections that other machines opened to ``own_address`` as (their address, our port), sorted.

    The end whose local port has a listener did not open the connection.
    """
    listening = {each.local_port for each in sockets if each.state == procnet.LISTEN}
    return tuple(sorted({(each.remote, each.local_port) for each in sockets
                         if each.state == procnet.ESTABLISHED and each.local == own_address
                         and each.local_port in listening and each.remote != own_address}))


def ros_processes(sockets: Sequence[Socket], proc: str = '/proc',
                  own_pid: Optional[int] = None) -> Tuple[RosProcess, ...]:
    """Return the processes that listen on TCP and were started with a ROS_MASTER_URI, sorted by id.

    From outside, nothing else identifies a ROS node. Shells have the variable too but do not listen. Only root sees the
    processes of other users.

    :param own_pid: a process to exclude.
    """
    listening = {each.inode for each in sockets if each.state == procnet.LISTEN}
    nodes = []
    for pid in list_pids(proc):
        if pid == own_pid:
            continue
        try:
            with open(os.path.join(proc, str(pid), 'environ'), 'rb') as stream:
                environ = stream.read()
            if b'ROS_MASTER_URI=' not in environ or not listening & (procnet.inodes_of(pid, proc) or set()):
                continue
            command = procnet.command_of(pid, proc)
        except OSError:
            continue  # it ended, or belongs to another user
        pairs = dict(item.split('=', 1) for item in environ.decode('utf-8', 'replace').split('\0') if '=' in item)
        nodes.append(RosProcess(pid, process_name(command), {
            key: pairs[key] for key in ROS_KEYS if pairs.get(key)}))
    return tuple(sorted(nodes, key=lambda process: process.pid))


def process_name(command: Sequence[str]) -> str:
    """Return a process's name for people: the node's name from roslaunch, else its script or program."""
    for word in command:
        if word.startswith('__name:='):
            return '/' + word[len('__name:='):]
    words = [word for word in command if word and not word.startswith('-')] or ['?']
    interpreter = os.path.basename(words[0]).startswith('python')
    return os.path.basename((words[1:2] or words)[0] if interpreter else words[0])
