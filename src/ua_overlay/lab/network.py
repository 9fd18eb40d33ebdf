"""Cables, addresses and routes between the hosts of a lab, over netlink. The machine's own network is never touched."""
import os
import socket
import threading
from contextlib import contextmanager

from ua_overlay.errors import OverlayError
from ua_overlay.lab import kernel, nat, requirements
from ua_overlay.lab.topology import INET

#: linux/if.h: the device takes no part in ARP.
_IFF_NOARP = 0x80


def in_network(pid, function):
    """Run ``function()`` with the network of process ``pid`` and return its result; sockets made there stay there.

    A thread of its own enters, because a namespace belongs to a thread: the caller never leaves its own network.
    """
    outcome = []

    def enter():
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
    return result


def udp_socket(pid):
    """A UDP socket in the network of process ``pid``."""
    return in_network(pid, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))


class Cabling:
    """Netlink sockets into the hosts' networks.

    :param pids: host name -> process id of its process 1.
    """

    def __init__(self, pids):
        self.pids = pids
        self._links = {}

    @classmethod
    @contextmanager
    def open(cls, pids):
        """:raises LabUnavailable: no pyroute2."""
        requirements.check_netlink()
        cabling = cls(pids)
        try:
            yield cabling
        finally:
            for link in cabling._links.values():
                link.close()

    def link(self, host):
        from pyroute2 import IPRoute
        if host not in self._links:
            self._links[host] = in_network(self.pids[host], IPRoute)
        return self._links[host]

    def index(self, host, interface):
        return self.link(host).link_lookup(ifname=interface)[0]

    def bridge(self, host, interface, deaf=False):
        """Make a bridge.

        :param deaf: it only passes packets on, and answers no question for an address of ``host``: Linux answers for
            any of its addresses on every interface, and who believes that sends past what lies behind this bridge.
        """
        link = self.link(host)
        link.link('add', ifname=interface, kind='bridge')
        # Its own address from now on: else it takes that of a port, and another one when that port goes, and whoever
        # talked to it has to find it anew.
        index = self.index(host, interface)
        link.link('set', index=index, address=link.get_links(index)[0].get_attr('IFLA_ADDRESS'))
        if deaf:
            link.link('set', index=index, flags=_IFF_NOARP, change=_IFF_NOARP)
        self.up(host, interface)

    def cable(self, host, port, bridge, other, interface):
        """A veth pair: ``port`` on a bridge of ``host``, ``interface`` in ``other``."""
        handle = os.open('/proc/{}/ns/net'.format(self.pids[other]), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.link(host).link('add', ifname=port, kind='veth', peer={'ifname': interface, 'net_ns_fd': handle})
        finally:
            os.close(handle)
        self.hang(host, port, bridge)
        self.up(other, interface)

    def has(self, host, interface):
        return bool(self.link(host).link_lookup(ifname=interface))

    def hang(self, host, port, bridge):
        """Make ``port`` one of ``bridge``, wherever it was before; both are devices of ``host``."""
        self.link(host).link('set', index=self.index(host, port), master=self.index(host, bridge), state='up')

    def remove(self, host, interface):
        self.link(host).link('del', index=self.index(host, interface))

    def up(self, host, interface):
        self.link(host).link('set', index=self.index(host, interface), state='up')

    def address(self, host, interface, address, prefix):
        self.link(host).addr('add', index=self.index(host, interface), address=address, prefixlen=prefix)

    def default_route(self, host, gateway):
        self.link(host).route('add', dst='0.0.0.0/0', gateway=gateway)


def build(topology, pids):
    """Wire up a topology.

    :param pids: host name -> process id of its process 1, for every host of the topology.
    :raises OverlayError: LAB_KERNEL when the kernel refuses a device, naming it.
    """
    from pyroute2.netlink.exceptions import NetlinkError
    try:
        with Cabling.open(pids) as cabling:
            _build(topology, cabling)
    except NetlinkError as error:
        raise OverlayError('This kernel cannot build the lab\'s network (veth and bridge are needed): {}.'.format(
            os.strerror(error.code)), code='LAB_KERNEL')


def _build(topology, cabling):
    prefix = topology.subnet.prefixlen
    for host in topology.host_names():
        cabling.up(host, 'lo')
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
    inside = [(robot.name, robot.behind, (robot.address,)) for robot in topology.robots]
    inside += [(host.name, host.behind, host.addresses) for host in topology.hosts if host.behind]
    for name, behind, addresses in inside:
        router = topology.nat(behind)
        cabling.cable(router.name, name, nat.LAN, name, 'eth0')
        for address in addresses:
            cabling.address(name, 'eth0', address, router.inside.network.prefixlen)
        cabling.default_route(name, str(router.inside.ip))
