"""A lab's topology: a YAML file, checked, as plain values. Pure."""
import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Set, Tuple, Union

from ua_overlay.digits import is_number
from ua_overlay.errors import UsageError
from ua_overlay.lab import nat, shape
from ua_overlay.protocols import JsonObject
from ua_overlay.system import schema

#: The host that plays the internet: the bridge between all others, the gateway, and the DNS server.
INET = 'inet'
#: The unprivileged account of a robot host.
ROBOT_USER = 'robot'
VERSION = 1
# Host names become interface names on the bridge (at most 15 bytes, linux/if.h IFNAMSIZ) and DNS labels (RFC 1123).
_HOST = re.compile(r'[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?')
_DNS_NAME = re.compile(r'([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?')
_hostname = schema.text(_HOST, 'a host name')
_congestion = schema.text(re.compile(r'[a-z0-9_]{0,15}'), 'a congestion control, such as cubic')


class TopologyError(UsageError):
    """The topology file is invalid; the sentence names the field."""

    code = 'LAB_TOPOLOGY'


@dataclass(frozen=True)
class InetHost:
    """A host with public addresses, such as the server; or with private ones ``behind`` a router that forwards."""

    name: str
    addresses: Tuple[str, ...]
    hostname: str
    behind: str = ''


@dataclass(frozen=True)
class Nat:
    """A router: ``address`` on the internet, ``inside`` its address and prefix towards the robots, ``forward`` as in
    :func:`nat.ruleset`."""

    name: str
    address: str
    inside: ipaddress.IPv4Interface
    kind: str
    forward: Tuple[nat.Forward, ...] = ()


@dataclass(frozen=True)
class Robot:
    """A host behind the NAT ``behind``, with a private address."""

    name: str
    behind: str
    address: str
    hostname: str


@dataclass(frozen=True)
class Topology:
    """A checked topology.

    :ivar names: DNS name -> address.
    :ivar links: host -> the shape of its link, for each host whose link has one.
    :ivar source: the mapping that it was parsed from.
    """

    subnet: ipaddress.IPv4Network
    gateway: str
    dns: str
    names: Dict[str, str]
    hosts: Tuple[InetHost, ...]
    nats: Tuple[Nat, ...]
    robots: Tuple[Robot, ...]
    source: JsonObject
    links: Dict[str, shape.Shape]
    #: Congestion control of TCP on every host, '' for the machine's own.
    congestion: str = ''

    def host_names(self) -> Tuple[str, ...]:
        """Return the names of every host, the internet first."""
        items: Tuple[Union[InetHost, Nat, Robot], ...] = self.hosts + self.nats + self.robots
        return (INET,) + tuple(item.name for item in items)

    def ends(self) -> Tuple[Union[InetHost, Robot], ...]:
        """Return the hosts that are neither routers nor the internet."""
        return self.hosts + self.robots

    def hostname(self, name: str) -> str:
        """Return the host name (uname -n) of the host ``name``: in the field it differs from the overlay's name."""
        return next((item.hostname for item in self.ends() if item.name == name), name)

    def nat(self, name: str) -> Nat:
        """Return a router. :raises UsageError: there is no such NAT; the sentence names the NATs of the lab."""
        for item in self.nats:
            if item.name == name:
                return item
        raise UsageError('The lab has no NAT {}; it has {}.'.format(
            name, ', '.join(item.name for item in self.nats) or 'none'))


def parse(text: str, source: str = 'the topology') -> Topology:
    """Parse a topology file.

    :param text: YAML.
    :param source: its path, for errors.
    :raises TopologyError: one sentence that names the file and the part.
    """
    with schema.errors_as(TopologyError, source):
        return _topology(schema.load(text))


def from_mapping(data: Any) -> Topology:
    """Parse the mapping of a topology file. :raises TopologyError: as :func:`parse`, without the file."""
    with schema.errors_as(TopologyError):
        return _topology(data)


def _topology(data: Any) -> Topology:
    top = schema.section(schema.TOP, data, ('version', 'inet'), ('names', 'hosts', 'nats', 'robots', 'congestion'))
    schema.version(top['version'], VERSION)
    inet = schema.section('inet', top['inet'], ('subnet', 'dns'), ())
    subnet = _network(inet['subnet'])
    reader = _Reader(subnet)
    gateway = str(subnet.network_address + 1)
    reader.take('inet', 'the gateway', gateway)
    dns = reader.inet_address('inet.dns', inet['dns'])
    names = {}
    for name, address in schema.section('names', top.get('names')).items():
        if not isinstance(name, str) or not _DNS_NAME.fullmatch(name):
            raise schema.invalid('names.{}'.format(name),
                                 'a full lower-case DNS name is needed, such as server.ua.test')
        names[name] = str(_address('names.' + name, address))
    hosts = tuple(reader.host(name, value) for name, value in schema.section('hosts', top.get('hosts')).items())
    nats = tuple(reader.nat(name, value) for name, value in schema.section('nats', top.get('nats')).items())
    by_name = {item.name: item for item in nats}
    for host in hosts:
        reader.check_inside(host, by_name)
    robots = tuple(reader.robot(name, value, by_name)
                   for name, value in schema.section('robots', top.get('robots')).items())
    congestion = _congestion('congestion', top.get('congestion', ''))
    return Topology(subnet, gateway, dns, names, hosts, nats, robots, data, reader.links, congestion)


class _Reader:
    """Checks hosts one by one and remembers which names and addresses are taken. ``where`` is a place for errors."""

    def __init__(self, subnet: ipaddress.IPv4Network) -> None:
        self.subnet = subnet
        self.names: Set[str] = {INET, nat.LAN, nat.WAN, 'lo'}
        #: (router or 'inet', address) -> whose it is.
        self.taken: Dict[Tuple[str, str], str] = {}
        self.links: Dict[str, shape.Shape] = {}

    def link(self, name: str, where: str, fields: JsonObject) -> None:
        if 'link' in fields:
            try:
                self.links[name] = shape.parse(fields['link'])
            except shape.ShapeError as error:
                raise schema.Invalid('{}.{}'.format(where, error.sentence))

    def take(self, segment: str, owner: str, address: str) -> None:
        other = self.taken.setdefault((segment, address), owner)
        if other != owner:
            raise schema.Invalid('{} and {} both have the address {}.'.format(other, owner, address))

    def inet_address(self, where: str, value: Any) -> str:
        address = _inside(where, value, self.subnet)
        self.take('inet', where.split('.')[0] if where.count('.') == 0 else where.rsplit('.', 1)[0], address)
        return address

    def name(self, section: str, name: Any) -> str:
        if not isinstance(name, str) or not _HOST.fullmatch(name):
            raise schema.invalid('{}.{}'.format(section, name),
                                 'a host name is 1 to 15 lower-case letters, digits and hyphens')
        if name in self.names:
            raise schema.invalid('{}.{}'.format(section, name), 'that name is taken')
        self.names.add(name)
        return '{}.{}'.format(section, name)

    def host(self, name: str, value: Any) -> InetHost:
        where = self.name('hosts', name)
        fields = schema.section(where, value, ('address',), ('also', 'behind', 'hostname', 'link'))
        self.link(name, where, fields)
        also = schema.listing(where + '.also', fields.get('also'))
        behind, texts = fields.get('behind', ''), [fields['address']] + also
        if behind:
            addresses = tuple(str(_address(where + '.address', address)) for address in texts)
        else:
            addresses = tuple(self.inet_address(where + '.address', address) for address in texts)
        return InetHost(name, addresses, _hostname(where + '.hostname', fields.get('hostname', name)), behind)

    def check_inside(self, host: InetHost, nats: Mapping[str, Nat]) -> None:
        """Check the router of a host. Routers are read after hosts, so that this has to come later."""
        for address in host.addresses if host.behind else ():
            self.inside_address('hosts.' + host.name, address, host.behind, nats)

    def inside_address(self, where: str, value: Any, behind: str, nats: Mapping[str, Nat]) -> str:
        if behind not in nats:
            raise schema.invalid(where + '.behind', 'there is no NAT {}'.format(behind))
        address = _inside(where + '.address', value, nats[behind].inside.network)
        self.take(behind, where, address)
        return address

    def nat(self, name: str, value: Any) -> Nat:
        where = self.name('nats', name)
        fields = schema.section(where, value, ('address', 'inside'), ('forward', 'kind', 'link'))
        self.link(name, where, fields)
        kind = schema.choice(nat.KINDS)(where + '.kind', fields.get('kind', nat.EASY))
        try:
            inside = ipaddress.IPv4Interface(fields['inside'])
        except ValueError:
            raise schema.invalid(where + '.inside', '{} is not an address with a prefix, such as 10.0.2.2/24'.format(
                fields['inside']))
        if inside.network.overlaps(self.subnet):
            raise schema.invalid(where + '.inside', '{} overlaps the internet {}'.format(inside, self.subnet))
        _inside(where + '.inside', str(inside.ip), inside.network)
        self.take(name, where, str(inside.ip))
        forward = tuple(_forward(where, item, inside.network)
                        for item in schema.section(where + '.forward', fields.get('forward')).items())
        return Nat(name, self.inet_address(where + '.address', fields['address']), inside, kind, forward)

    def robot(self, name: str, value: Any, nats: Mapping[str, Nat]) -> Robot:
        where = self.name('robots', name)
        fields = schema.section(where, value, ('behind', 'address'), ('hostname', 'link'))
        self.link(name, where, fields)
        address = self.inside_address(where, fields['address'], fields['behind'], nats)
        return Robot(name, fields['behind'], address, _hostname(where + '.hostname', fields.get('hostname', name)))


def _forward(where: str, item: Tuple[Any, Any], network: ipaddress.IPv4Network) -> nat.Forward:
    """Read an entry of `forward`."""
    what, address = item
    # A lab's record is JSON, whose keys are text.
    what = int(what) if isinstance(what, str) and is_number(what) else what
    if what != nat.PING and not schema.is_port(what):
        raise schema.invalid(where + '.forward', '{!r} is neither a port nor {}'.format(what, nat.PING))
    return what, _inside('{}.forward.{}'.format(where, what), address, network)


def _network(value: Any) -> ipaddress.IPv4Network:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        raise schema.invalid('inet.subnet', '{} is not an IPv4 network, such as 203.0.113.0/24'.format(value))
    if network.num_addresses < 8:
        raise schema.invalid('inet.subnet', '{} is too small'.format(network))
    return network


def _address(where: str, value: Any) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(value if isinstance(value, str) else '')
    except ValueError:
        raise schema.invalid(where, '{} is not an IPv4 address'.format(value))


def _inside(where: str, value: Any, network: ipaddress.IPv4Network) -> str:
    address = _address(where, value)
    if address not in network or address in (network.network_address, network.broadcast_address):
        raise schema.invalid(where, '{} is not a host address of {}'.format(address, network))
    return str(address)
