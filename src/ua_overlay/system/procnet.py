"""List the sockets of this machine and the processes that hold them, from /proc (proc(5)), without privileges.

Sockets and command lines of other users' processes are hidden, except from root.
"""
import ipaddress
import os
import struct
from typing import List, NamedTuple, Optional, Set, Tuple

#: States of TCP sockets as the kernel prints them (include/net/tcp_states.h).
ESTABLISHED, LISTEN = '01', '0A'


class Socket(NamedTuple):
    """A TCP or UDP socket. IPv4-mapped IPv6 addresses are converted to IPv4; '0.0.0.0' and '::' mean all addresses."""

    local: str
    local_port: int
    remote: str
    remote_port: int
    state: str
    #: Bytes that its process has not read yet.
    unread: int
    #: The kernel's number of the socket; 0 when it no longer belongs to a process.
    inode: int
    #: The user who made it.
    uid: int = 0


def parse_sockets(text: str) -> List[Socket]:
    """Parse the text of /proc/net/tcp, tcp6, udp or udp6. Truncated lines are left out."""
    found = []
    for line in text.split('\n')[1:]:
        words = line.split()
        if len(words) > 9:
            found.append(Socket(*_endpoint(words[1]), *_endpoint(words[2]), words[3],
                                int(words[4].rpartition(':')[2], 16), int(words[9]), int(words[7])))
    return found


def _endpoint(word: str) -> Tuple[str, int]:
    digits, port = word.split(':')
    # Each group of eight digits is a 32-bit number in the byte order of this machine.
    raw = b''.join(struct.pack('=I', int(digits[at:at + 8], 16)) for at in range(0, len(digits), 8))
    address = ipaddress.ip_address(raw)
    return str(getattr(address, 'ipv4_mapped', None) or address), int(port, 16)


def read_sockets(protocol: str, net: str = '/proc/self/net') -> List[Socket]:
    """Return the sockets of this network namespace.

    :param protocol: 'tcp' or 'udp'; IPv6 is included where the kernel has it.
    :param net: '/proc/PID/net' for the network namespace of another process. The default is not /proc/net: a unit with
        ProcSubset=pid, such as the server's, has no such file.
    """
    found: List[Socket] = []
    for name in (protocol, protocol + '6'):
        try:
            with open(os.path.join(net, name), encoding='ascii') as stream:
                found += parse_sockets(stream.read())
        except FileNotFoundError:
            continue  # a kernel without IPv6, or a process that has ended
    return found


def inodes_of(pid: int, proc: str = '/proc') -> Optional[Set[int]]:
    """Return the inodes of a process's sockets, None when it has ended or is another user's."""
    directory = os.path.join(proc, str(pid), 'fd')
    found = set()
    try:
        for name in os.listdir(directory):
            try:
                target = os.readlink(os.path.join(directory, name))
            except FileNotFoundError:
                continue  # closed meanwhile
            if target.startswith('socket:['):
                found.add(int(target[len('socket:['):-1]))
    except OSError:
        return None
    return found


def command_of(pid: int, proc: str = '/proc') -> Tuple[str, ...]:
    """Return the command line of a process.

    :raises OSError: it has ended.
    """
    with open(os.path.join(proc, str(pid), 'cmdline'), 'rb') as stream:
        return tuple(stream.read().decode('utf-8', 'replace').rstrip('\0').split('\0'))
