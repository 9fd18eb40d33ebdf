"""What the kernel knows without privileges: TCP connections (/proc/net/tcp, see proc(5)) and who listens."""
import os
import socket
import struct

from ua_overlay.checks.facts import RosProcess

LISTEN, ESTABLISHED = '0A', '01'
#: What a node is started with, and what roslaunch adds.
VARIABLES = ('ROS_MASTER_URI', 'ROS_HOSTNAME', 'ROS_IP')


def parse_tcp(text):
    """Rows of /proc/net/tcp as (local address, local port, remote address, remote port, state, inode)."""
    rows = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 9:
            rows.append(_endpoint(words[1]) + _endpoint(words[2]) + (words[3], int(words[9])))
    return rows


def _endpoint(word):
    address, port = word.split(':')
    # The address is a 32-bit number in the machine's own byte order, as hexadecimal digits.
    return socket.inet_ntoa(struct.pack('=I', int(address, 16))), int(port, 16)


def parse_tcp6_mapped(text):
    """As :func:`parse_tcp`, of /proc/net/tcp6: only IPv4 connections of IPv6 sockets, and listeners on all."""
    rows = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) <= 9:
            continue
        local, remote = words[1], words[2]
        if local.startswith('0000000000000000FFFF0000') or words[3] == LISTEN and set(local[:32]) == {'0'}:
            rows.append(_endpoint(local[24:]) + _endpoint(remote[24:]) + (words[3], int(words[9])))
    return rows


def inbound(rows, own_address):
    """Connections that others opened to ``own_address``: a tuple of (their address, our port).

    A connection whose local port somebody listens on was opened by the other end; one that we opened has a local port
    that nobody listens on.
    """
    listening = {row[1] for row in rows if row[4] == LISTEN}
    return tuple(sorted({(row[2], row[1]) for row in rows
                         if row[4] == ESTABLISHED and row[0] == own_address and row[1] in listening
                         and row[2] != own_address}))


def read_rows(proc='/proc'):
    """All TCP rows of this machine; [] where the kernel tells nothing."""
    rows = []
    for name, parse in (('tcp', parse_tcp), ('tcp6', parse_tcp6_mapped)):
        try:
            with open(os.path.join(proc, 'net', name), encoding='ascii') as stream:
                rows += parse(stream.read())
        except OSError:
            continue
    return rows


def ros_processes(rows, proc='/proc', own_pid=None):
    """Processes that listen on TCP and were started with a ROS_MASTER_URI: nodes, by all that can be seen from outside.

    Shells have the variable too but do not listen. Another user's processes are not seen (only root sees all).
    """
    inodes = {'socket:[{}]'.format(row[5]) for row in rows if row[4] == LISTEN}
    found = []
    for entry in os.listdir(proc):
        if not entry.isdigit() or int(entry) == own_pid:
            continue
        try:
            with open(os.path.join(proc, entry, 'environ'), 'rb') as stream:
                environ = stream.read()
            if b'ROS_MASTER_URI=' not in environ or not _listens(os.path.join(proc, entry, 'fd'), inodes):
                continue
            with open(os.path.join(proc, entry, 'cmdline'), 'rb') as stream:
                words = stream.read().decode('utf-8', 'replace').split('\0')
        except OSError:
            continue  # it ended, or is another user's
        pairs = dict(item.split('=', 1) for item in environ.decode('utf-8', 'replace').split('\0') if '=' in item)
        found.append(RosProcess(int(entry), process_name(words), {
            key: pairs[key] for key in VARIABLES if pairs.get(key)}))
    return tuple(sorted(found, key=lambda process: process.pid))


def process_name(words):
    """What a person calls a process: the node's name where roslaunch gave one, else its script or program."""
    for word in words:
        if word.startswith('__name:='):
            return '/' + word[len('__name:='):]
    words = [word for word in words if word and not word.startswith('-')]
    interpreter = words and os.path.basename(words[0]).startswith('python')
    return os.path.basename((words[1:2] or words[:1] or ['?'])[0] if interpreter else (words or ['?'])[0])


def _listens(directory, inodes):
    for name in os.listdir(directory):
        try:
            if os.readlink(os.path.join(directory, name)) in inodes:
                return True
        except OSError:
            continue  # closed meanwhile
    return False
