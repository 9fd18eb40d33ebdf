"""Which programs of this machine listen on TCP, from /proc: who would be cut off by the guard without being ROS."""
import ipaddress
import os
import re
from dataclasses import dataclass

from ua_overlay import defaults

#: TCP_LISTEN in the column `st` of /proc/net/tcp (include/net/tcp_states.h).
_LISTEN = '0A'
#: Programs of ROS by name, and the arguments that roslaunch gives to every node.
_ROS_PROGRAM = re.compile(r'(?:^|/)ros(?:core|launch|master|out|topic|service|node|param|bag|run|test)$')
_ROS_ARGUMENT = re.compile(r'^__(?:name|log|master|ns|ip|hostname):=')
_OVERLAY = (ipaddress.ip_network(defaults.OVERLAY_V4), ipaddress.ip_network(defaults.OVERLAY_V6))


@dataclass(frozen=True)
class Listener:
    """``address`` is '0.0.0.0' or '::' for all interfaces; ``command`` is empty when it is not known."""

    address: str
    port: int
    inode: int = 0
    command: tuple = ()


def parse_listeners(text):
    """Listeners in the text of /proc/net/tcp or tcp6, without their commands."""
    found = []
    for line in text.split('\n')[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, port = fields[1].split(':')
            found.append(Listener(_address(address), int(port, 16), int(fields[9])))
    return found


def _address(digits):
    """Four bytes at a time, each group in the machine's byte order: little on every robot that runs ROS."""
    raw = b''.join(bytes.fromhex(digits[at:at + 8])[::-1] for at in range(0, len(digits), 8))
    return str(ipaddress.ip_address(raw))


def read_listeners(proc='/proc'):
    """All listeners of this machine; their commands as far as this user may see them."""
    found = []
    for name in ('tcp', 'tcp6'):
        try:
            with open('{}/net/{}'.format(proc, name)) as stream:
                found += parse_listeners(stream.read())
        except FileNotFoundError:
            continue  # a kernel without IPv6
    owners = _owners(proc, {listener.inode for listener in found})
    return [Listener(item.address, item.port, item.inode, owners.get(item.inode, ())) for item in found]


def _owners(proc, inodes):
    """{inode: command} of the sockets."""
    targets = {'socket:[{}]'.format(inode): inode for inode in inodes}
    owners = {}
    for entry in os.listdir(proc):
        if not entry.isdigit():
            continue
        directory = '{}/{}/fd'.format(proc, entry)
        try:
            for descriptor in os.listdir(directory):
                inode = targets.get(os.readlink('{}/{}'.format(directory, descriptor)))
                if inode is not None:
                    with open('{}/{}/cmdline'.format(proc, entry), 'rb') as stream:
                        owners[inode] = tuple(stream.read().decode('utf-8', 'replace').rstrip('\0').split('\0'))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return owners


def is_ros(command):
    """Looks like a program of ROS. A node that was started by hand without ROS's own tools does not."""
    return any(_ROS_ARGUMENT.match(word) for word in command) or any(_ROS_PROGRAM.search(word) for word in command[:3])


def cut_off(listeners, guarded):
    """Listeners that are reached from outside, not ROS as far as one can tell, and on a guarded port; one per port.

    :param guarded: port -> bool.
    """
    found = {}
    for item in listeners:
        address = ipaddress.ip_address(item.address)
        mapped = getattr(address, 'ipv4_mapped', None)
        address = mapped or address
        inside = address.is_loopback or any(address in network for network in _OVERLAY if
                                            network.version == address.version)
        if guarded(item.port) and not inside and not is_ros(item.command):
            found.setdefault(item.port, item)
    return tuple(found[port] for port in sorted(found))
