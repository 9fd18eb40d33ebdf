"""Find programs other than ROS on guarded ports, which neighbours can no longer reach."""
import ipaddress
import re
from dataclasses import dataclass
from typing import Callable, Collection, Dict, Iterable, List, Tuple

from ua_overlay.system import procnet
from ua_overlay.system.process import list_pids

#: Names of ROS programs, and the arguments that roslaunch passes to every node.
_ROS_PROGRAM = re.compile(r'(?:^|/)ros(?:core|launch|master|out|topic|service|node|param|bag|run|test)$')
_ROS_ARGUMENT = re.compile(r'^__(?:name|log|master|ns|ip|hostname):=')


@dataclass(frozen=True)
class Listener:
    """A program that listens on TCP.

    :ivar address: '0.0.0.0' or '::' for all interfaces.
    :ivar command: its command line; () if another user runs it.
    """

    address: str
    port: int
    command: Tuple[str, ...] = ()


def read_listeners() -> List[Listener]:
    """Return all TCP listeners of this machine."""
    sockets = [socket for socket in procnet.read_sockets('tcp') if socket.state == procnet.LISTEN]
    commands: Dict[int, Tuple[str, ...]] = {}
    for pid in list_pids():
        held = procnet.inodes_of(pid) or set()
        for socket in sockets:
            if socket.inode in held:
                try:
                    commands[socket.inode] = procnet.command_of(pid)
                except FileNotFoundError:
                    continue  # it ended meanwhile
    return [Listener(each.local, each.local_port, commands.get(each.inode, ())) for each in sockets]


def is_ros(command: Tuple[str, ...]) -> bool:
    """Return whether a command line looks like ROS; False for a node that was started without ROS's tools."""
    return any(_ROS_ARGUMENT.match(word) for word in command) or any(_ROS_PROGRAM.search(word) for word in command[:3])


def cut_off(listeners: Iterable[Listener], guarded: Callable[[int], bool],
            trusted: Collection[str] = ()) -> Tuple[Listener, ...]:
    """Return the listeners that neighbours can no longer reach, one for each port, sorted by port.

    They listen beyond loopback and the trusted interfaces, on a guarded port, and do not look like ROS.

    :param guarded: port -> whether it is guarded.
    :param trusted: the addresses of the interfaces on which ROS answers.
    """
    found: Dict[int, Listener] = {}
    for item in listeners:
        inside = ipaddress.ip_address(item.address).is_loopback or item.address in trusted
        if guarded(item.port) and not inside and not is_ros(item.command):
            found.setdefault(item.port, item)
    return tuple(found[port] for port in sorted(found))
