"""Find processes that look like ROS nodes, and who listens on a port, in /proc."""
import os
import pwd
import re
from typing import List, Optional, Sequence, Tuple

from ua_overlay.checks.facts import Holder, RosProcess
from ua_overlay.printable import printable
from ua_overlay.rosenv.envfile import ROS_KEYS
from ua_overlay.system import procnet
from ua_overlay.system.process import list_pids, parse_stat
from ua_overlay.system.procnet import Socket

#: The unit in /proc/PID/cgroup, of version 2 or of systemd's own hierarchy in version 1 (cgroups(7)).
_UNIT = re.compile(r'^(?:0:|\d+:name=systemd):/system\.slice/(?:[^/\n]+\.slice/)*([^/\n]+\.service)', re.MULTILINE)


def read() -> List[Socket]:
    """Return the TCP sockets of this machine that are reachable by IPv4, because ROS 1 supports only IPv4."""
    return [each for each in procnet.read_sockets('tcp') if ':' not in each.local or each.local == '::']


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
        starter_pid, starter = starter_of(pid, proc)
        nodes.append(RosProcess(pid, process_name(command), {
            key: printable(pairs[key]) for key in ROS_KEYS if pairs.get(key)}, unit_of(pid, proc), starter,
            starter_pid))
    return tuple(sorted(nodes, key=lambda process: process.pid))


def holder_of(port: int, sockets: Sequence[Socket], proc: str = '/proc') -> Optional[Holder]:
    """Return the program that listens on TCP ``port``, None if nobody does."""
    found = [each for each in sockets if each.state == procnet.LISTEN and each.local_port == port]
    if not found:
        return None
    try:
        user = pwd.getpwuid(found[0].uid).pw_name
    except KeyError:
        user = 'user {}'.format(found[0].uid)
    inodes = {each.inode for each in found}
    for pid in list_pids(proc):
        if not inodes & (procnet.inodes_of(pid, proc) or set()):
            continue
        try:
            command = procnet.command_of(pid, proc)
        except OSError:
            continue  # it has just ended
        starter_pid, starter = starter_of(pid, proc)
        return Holder(port, user, pid, process_name(command), unit_of(pid, proc), starter, starter_pid)
    return Holder(port, user)


def unit_of(pid: int, proc: str = '/proc') -> str:
    """Return the system's systemd unit of a process ('base.service'), '' for none, such as a login shell's process."""
    try:
        with open(os.path.join(proc, str(pid), 'cgroup'), encoding='utf-8', errors='replace') as stream:
            text = stream.read(65536)
    except OSError:
        return ''
    match = _UNIT.search(text)
    return printable(match.group(1)) if match else ''


def starter_of(pid: int, proc: str = '/proc') -> Tuple[int, Tuple[str, ...]]:
    """Return (process, its command line) that starts a node again: the roslaunch that started it, else the node itself.

    :returns: (pid, ()) for a process that has ended.
    """
    try:
        own = procnet.command_of(pid, proc)
        with open(os.path.join(proc, str(pid), 'stat'), encoding='utf-8', errors='replace') as stream:
            parent = parse_stat(stream.read()).parent
    except (OSError, ValueError, IndexError):
        return pid, ()
    try:
        command = procnet.command_of(parent, proc)
    except OSError:
        return pid, own
    if 'roslaunch' in [os.path.basename(word) for word in command[:2]] + [os.path.basename(command[0])]:
        return parent, command
    return pid, own


def daemon_state(proc: str = '/proc') -> str:
    """Return the path of the state file of a running tailscaled, '' without one."""
    for pid in list_pids(proc):
        try:
            command = procnet.command_of(pid, proc)
        except OSError:
            continue  # it has just ended
        if os.path.basename(command[0]) == 'tailscaled':
            return state_path(command)
    return ''


def state_path(command: Sequence[str]) -> str:
    """Return the path of the state file that a tailscaled's command line names, '' if it names none (cmd/tailscaled:
    statePathOrDefault, --statedir). Pure."""
    options = {}
    for word, following in zip(command, list(command[1:]) + ['']):
        name, equals, value = word.lstrip('-').partition('=')
        if word.startswith('-'):
            options[name] = value if equals else following
    if options.get('state'):
        return options['state']
    return os.path.join(options['statedir'], 'tailscaled.state') if options.get('statedir') else ''


def process_name(command: Sequence[str]) -> str:
    """Return a process's name for people: the node's name from roslaunch, else its script or program."""
    for word in command:
        if word.startswith('__name:='):
            return '/' + printable(word[len('__name:='):])
    words = [word for word in command if word and not word.startswith('-')] or ['?']
    interpreter = os.path.basename(words[0]).startswith('python')
    return printable(os.path.basename((words[1:2] or words)[0] if interpreter else words[0]))
