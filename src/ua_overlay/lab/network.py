"""Cables, addresses and routes between the hosts of a lab, over netlink. The machine's own network stays untouched."""
import os
import socket
import threading
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, TypeVar, cast

from ua_overlay.errors import OverlayError
from ua_overlay.lab import kernel, nat, requirements
from ua_overlay.lab.topology import INET, Topology

Result = TypeVar('Result')

#: linux/if.h: the device takes no part in ARP.
_IFF_NOARP = 0x80


def in_network(pid: int, function: Callable[[], Result]) -> Result:
    """Run ``function()`` in the network of process ``pid`` and return its result; sockets made there stay there.

    A new thread enters the network, because a namespace belongs to a thread: the caller stays in its own.
    """
    outcome: List[Tuple[Optional[Result], Optional[BaseException]]] = []

    def enter() -> None:
        try:
            handle = os.open('/proc/{}/ns/net'.format(pid), os.O_RDONLY | os.O_CLOEXEC)
            try:
                kernel.setns(handle, kernel.CLONE_NEWNET)
            finally:
                os.close(handle)
            outcome.append((function(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=enter, name='in-network-{}'.format(pid))
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error is not None:
        raise error
    return cast(Result, result)


def udp_socket(pid: int) -> socket.socket:
    """Return a UDP socket in the network of process ``pid``."""
    return in_network(pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))


class Cabling:
    """Netlink sockets into the hosts' networks.

    :param pids: host name -> process id of its process 1.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self.pids = pids
        self._links: Dict[str, Any] = {}

    @classmethod
    @contextmanager
    def open(cls, pids: Mapping[str, int]) -> Iterator['Cabling']:
        """Yield a Cabling and close its sockets. :raises LabUnavailable: pyroute2 is missing."""
        requirements.check_netlink()
        cabling = cls(pids)
        try:
            yield cabling
        finally:
            for link in cabling._links.values():
                link.close()

    def link(self, host: str) -> Any:
        """Return the pyroute2.IPRoute of a host."""
        from pyroute2 import IPRoute
        if host not in self._links:
            self._links[host] = in_network(self.pids[host], IPRoute)
        return self._links[host]

    def index(self, host: str, interface: str) -> int:
        """Return the index of an interface, which has to exist."""
        return int(self.link(host).link_lookup(ifname=interface)[0])

    def bridge(self, host: str, interface: str, deaf: bool = False) -> None:
        """Make a bridge.

        :param deaf: answer no ARP request. Linux answers on every interface for any of its addresses; a host that
            believed such an answer would send its packets past the emulator behind this bridge.
        """
        link = self.link(host)
        link.link('add', ifname=interface, kind='bridge')
        # Fix its MAC address: otherwise it takes that of a port, and changes it when that port goes, so that its
        # neighbours have to resolve it again.
        index = self.index(host, interface)
        link.link('set', index=index, address=link.get_links(index)[0].get_attr('IFLA_ADDRESS'))
        if deaf:
            link.link('set', index=index, flags=_IFF_NOARP, change=_IFF_NOARP)
        self.up(host, interface)

    def cable(self, host: str, port: str, bridge: str, other: str, interface: str) -> None:
        """Make a veth pair: ``port`` on a bridge of ``host``, ``interface`` in ``other``."""
        handle = os.open('/proc/{}/ns/net'.format(self.pids[other]), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.link(host).link('add', ifname=port, kind='veth', peer={'ifname': interface, 'net_ns_fd': handle})
        finally:
            os.close(handle)
        self.attach(host, port, bridge)
        self.up(other, interface)

    def has(self, host: str, interface: str) -> bool:
        """Return whether a host has an interface."""
        return bool(self.link(host).link_lookup(ifname=interface))

    def attach(self, host: str, port: str, bridge: str) -> None:
        """Attach ``port`` to ``bridge``, detaching it from any other; both are devices of ``host``."""
        self.link(host).link('set', index=self.index(host, port), master=self.index(host, bridge), state='up')

    def remove(self, host: str, interface: str) -> None:
        """Delete an interface."""
        self.link(host).link('del', index=self.index(host, interface))

    def up(self, host: str, interface: str) -> None:
        """Switch an interface on."""
        self.link(host).link('set', index=self.index(host, interface), state='up')

    def address(self, host: str, interface: str, address: str, prefix: int) -> None:
        """Give an interface an IPv4 address."""
        self.link(host).addr('add', index=self.index(host, interface), address=address, prefixlen=prefix)

    def default_route(self, host: str, gateway: str) -> None:
        """Set the default route of a host."""
        self.link(host).route('add', dst='0.0.0.0/0', gateway=gateway)


def build(topology: Topology, pids: Mapping[str, int]) -> None:
    """Make the network of a topology.

    :param pids: host name -> process id of its process 1, for every host of the topology.
    :raises OverlayError: LAB_KERNEL, the kernel refuses a device.
    """
    from pyroute2.netlink.exceptions import NetlinkError
    try:
        with Cabling.open(pids) as cabling:
            _build(topology, cabling)
    except NetlinkError as error:
        raise OverlayError('This kernel cannot build the lab\'s network (veth and bridge are needed): {}.'.format(
            os.strerror(error.code)), code='LAB_KERNEL')


def _build(topology: Topology, cabling: Cabling) -> None:
    prefix = topology.subnet.prefixlen
    for name in topology.host_names():
        cabling.up(name, 'lo')
    cabling.bridge(INET, INET)
    for address in (topology.gateway, topology.dns):
        cabling.address(INET, INET, address, prefix)
    for host in topology.hosts:
        if host.behind:
            continue
        cabling.cable(INET, host.name, INET, host.name, 'eth0')
        for address in host.addresses:
            cabling.address(host.name, 'eth0', address, prefix)
        cabling.default_route(host.name, topology.gateway)
    for router in topology.nats:
        cabling.cable(INET, router.name, INET, router.name, nat.WAN)
        cabling.address(router.name, nat.WAN, router.address, prefix)
        cabling.default_route(router.name, topology.gateway)
        cabling.bridge(router.name, nat.LAN)
        cabling.address(router.name, nat.LAN, str(router.inside.ip), router.inside.network.prefixlen)
    inside: List[Tuple[str, str, Tuple[str, ...]]] = [
        (robot.name, robot.behind, (robot.address,)) for robot in topology.robots]
    inside += [(host.name, host.behind, host.addresses) for host in topology.hosts if host.behind]
    for name, behind, addresses in inside:
        router = topology.nat(behind)
        cabling.cable(router.name, name, nat.LAN, name, 'eth0')
        for address in addresses:
            cabling.address(name, 'eth0', address, router.inside.network.prefixlen)
        cabling.default_route(name, str(router.inside.ip))
