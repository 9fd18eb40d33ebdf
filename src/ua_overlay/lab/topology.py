"""What a lab consists of: a YAML file, checked, as plain values. No side effects."""
import ipaddress
import re
from dataclasses import dataclass

import yaml

from ua_overlay.errors import UsageError
from ua_overlay.lab import nat, shape

#: The host that stands for the internet: the bridge that joins all, the gateway, and the DNS server.
INET = 'inet'
#: Account of a person or robot in every host: nothing of a robot needs root.
ROBOT_USER = 'robot'
VERSION = 1
# Host names become interface names on the bridge (at most 15 bytes, linux/if.h IFNAMSIZ) and DNS labels (RFC 1123).
_HOST = re.compile(r'[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?')
_DNS_NAME = re.compile(r'([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?')


class TopologyError(UsageError):
    """The topology file asks for something that makes no sense; the sentence says which part."""

    code = 'LAB_TOPOLOGY'


@dataclass(frozen=True)
class InetHost:
    """A host with public addresses, the server for one; or with private ones ``behind`` a router that forwards."""

    name: str
    addresses: tuple
    hostname: str
    behind: str = ''


@dataclass(frozen=True)
class Nat:
    """A router: ``address`` on the internet, ``inside`` its interface (address and prefix) towards the robots;
    ``forward``: pairs (port or nat.PING, address inside)."""

    name: str
    address: str
    inside: ipaddress.IPv4Interface
    kind: str
    forward: tuple = ()


@dataclass(frozen=True)
class Robot:
    """A host behind the NAT ``behind``, with a private address."""

    name: str
    behind: str
    address: str
    hostname: str


@dataclass(frozen=True)
class Topology:
    """A checked topology. ``names`` maps DNS names to addresses; ``links`` hosts to the shape.Shape of their link where
    it has one; ``source`` is what it was parsed from."""

    subnet: ipaddress.IPv4Network
    gateway: str
    dns: str
    names: dict
    hosts: tuple
    nats: tuple
    robots: tuple
    source: dict
    links: dict
    #: Congestion control of TCP on every host, '' for the machine's own.
    congestion: str = ''

    def host_names(self):
        """Every host, the internet first."""
        return (INET,) + tuple(item.name for item in self.hosts + self.nats + self.robots)

    def hostname(self, name):
        """What the host ``name`` calls itself: in the field that is another name than the overlay's."""
        return next((item.hostname for item in self.hosts + self.robots if item.name == name), name)

    def nat(self, name):
        """:raises UsageError: when there is no such NAT, naming those that are there."""
        for item in self.nats:
            if item.name == name:
                return item
        raise UsageError('The lab has no NAT {}; it has {}.'.format(
            name, ', '.join(item.name for item in self.nats) or 'none'))


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML says that keys are unique (YAML 1.2, 3.2.1.1); PyYAML takes the last one silently."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise TopologyError('line {} names {} a second time.'.format(key_node.start_mark.line + 1, key))
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(text, source='the topology'):
    """Parse a topology file.

    :param text: YAML.
    :param source: its path, for the sentences.
    :raises TopologyError: one sentence that names the file and the part.
    """
    try:
        data = yaml.load(text, Loader=_UniqueKeyLoader)
        return from_mapping(data)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        where = ' at line {}'.format(mark.line + 1) if mark else ''
        raise TopologyError('{} is not YAML{}.'.format(source, where))
    except TopologyError as error:
        raise TopologyError('{}: {}'.format(source, error.sentence))


def from_mapping(data):
    """Check the mapping that a topology file holds. :raises TopologyError: as :func:`parse`, without the file."""
    top = _section(data, 'the file', {'version', 'inet'}, {'names', 'hosts', 'nats', 'robots', 'congestion'})
    if top['version'] != VERSION:
        raise TopologyError('version is {}, this program reads version {}.'.format(top['version'], VERSION))
    inet = _section(top['inet'], 'inet', {'subnet', 'dns'}, set())
    subnet = _network(inet['subnet'])
    reader = _Reader(subnet)
    gateway = str(subnet.network_address + 1)
    reader.take('inet', 'the gateway', gateway)
    dns = reader.inet_address('inet.dns', inet['dns'])
    names = {}
    for name, address in _section(top.get('names'), 'names', set(), None).items():
        if not isinstance(name, str) or not _DNS_NAME.fullmatch(name):
            raise TopologyError('names.{}: a full lower-case DNS name is needed, such as server.ua.test.'.format(name))
        names[name] = str(_address('names.' + name, address))
    hosts = tuple(reader.host(name, value) for name, value in _section(top.get('hosts'), 'hosts', set(), None).items())
    nats = tuple(reader.nat(name, value) for name, value in _section(top.get('nats'), 'nats', set(), None).items())
    by_name = {item.name: item for item in nats}
    for host in hosts:
        reader.check_inside(host, by_name)
    robots = tuple(reader.robot(name, value, by_name)
                   for name, value in _section(top.get('robots'), 'robots', set(), None).items())
    congestion = top.get('congestion', '')
    if not isinstance(congestion, str) or not re.fullmatch(r'[a-z0-9_]{0,15}', congestion):
        raise TopologyError('congestion: {!r} is no congestion control, such as cubic.'.format(congestion))
    return Topology(subnet, gateway, dns, names, hosts, nats, robots, data, reader.links, congestion)


class _Reader:
    """Checks hosts one by one and remembers which names and addresses are taken."""

    def __init__(self, subnet):
        self.subnet = subnet
        self.names = {INET, nat.LAN, nat.WAN, 'lo'}
        self.taken = {}
        self.links = {}

    def link(self, name, where, fields):
        if 'link' in fields:
            try:
                self.links[name] = shape.parse(fields['link'])
            except shape.ShapeError as error:
                raise TopologyError('{}.{}'.format(where, error.sentence))

    def take(self, segment, who, address):
        other = self.taken.setdefault((segment, address), who)
        if other != who:
            raise TopologyError('{} and {} both have the address {}.'.format(other, who, address))

    def inet_address(self, where, value):
        address = _inside(where, value, self.subnet)
        self.take('inet', where.split('.')[0] if where.count('.') == 0 else where.rsplit('.', 1)[0], address)
        return address

    def name(self, section, name):
        if not isinstance(name, str) or not _HOST.fullmatch(name):
            raise TopologyError('{}.{}: a host name is 1 to 15 lower-case letters, digits and hyphens.'.format(
                section, name))
        if name in self.names:
            raise TopologyError('{}.{}: that name is taken.'.format(section, name))
        self.names.add(name)
        return '{}.{}'.format(section, name)

    def host(self, name, value):
        where = self.name('hosts', name)
        fields = _section(value, where, {'address'}, {'also', 'behind', 'hostname', 'link'})
        self.link(name, where, fields)
        also = fields.get('also') or []
        if not isinstance(also, list):
            raise TopologyError('{}.also: a list of addresses is needed.'.format(where))
        behind, texts = fields.get('behind', ''), [fields['address']] + also
        if behind:
            addresses = tuple(str(_address(where + '.address', address)) for address in texts)
        else:
            addresses = tuple(self.inet_address(where + '.address', address) for address in texts)
        return InetHost(name, addresses, _hostname(where, fields.get('hostname', name)), behind)

    def check_inside(self, host, nats):
        """The routers are read after the hosts: only now is it known whether a host's own exists."""
        for address in host.addresses if host.behind else ():
            self.inside_address('hosts.' + host.name, address, host.behind, nats)

    def inside_address(self, where, value, behind, nats):
        if behind not in nats:
            raise TopologyError('{}.behind: there is no NAT {}.'.format(where, behind))
        address = _inside(where + '.address', value, nats[behind].inside.network)
        self.take(behind, where, address)
        return address

    def nat(self, name, value):
        where = self.name('nats', name)
        fields = _section(value, where, {'address', 'inside'}, {'forward', 'kind', 'link'})
        self.link(name, where, fields)
        kind = fields.get('kind', nat.EASY)
        if kind not in nat.KINDS:
            raise TopologyError('{}.kind: {} is no kind of NAT; there are {}.'.format(
                where, kind, ', '.join(nat.KINDS)))
        try:
            inside = ipaddress.IPv4Interface(fields['inside'])
        except ValueError:
            raise TopologyError('{}.inside: {} is no address with a prefix, such as 10.0.2.2/24.'.format(
                where, fields['inside']))
        if inside.network.overlaps(self.subnet):
            raise TopologyError('{}.inside: {} overlaps the internet {}.'.format(where, inside, self.subnet))
        _inside(where + '.inside', str(inside.ip), inside.network)
        self.take(name, where, str(inside.ip))
        forward = tuple(_forward(where, item, inside.network)
                        for item in _section(fields.get('forward'), where + '.forward', set(), None).items())
        return Nat(name, self.inet_address(where + '.address', fields['address']), inside, kind, forward)

    def robot(self, name, value, nats):
        where = self.name('robots', name)
        fields = _section(value, where, {'behind', 'address'}, {'hostname', 'link'})
        self.link(name, where, fields)
        address = self.inside_address(where, fields['address'], fields['behind'], nats)
        return Robot(name, fields['behind'], address, _hostname(where, fields.get('hostname', name)))


def _section(value, where, needed, optional):
    """A mapping with exactly the known keys; ``optional`` None lets any key pass."""
    if value is None and not needed:
        return {}
    if not isinstance(value, dict):
        raise TopologyError('{}: a mapping is needed, not {!r}.'.format(where, value))
    for key in sorted(needed - set(value)):
        raise TopologyError('{}: {} is missing.'.format(where, key))
    if optional is not None:
        for key in value:
            if key not in needed | optional:
                raise TopologyError('{}: {} is unknown; known are {}.'.format(
                    where, key, ', '.join(sorted(needed | optional))))
    return value


def _forward(where, item, network):
    """A line of `forward`: (port or nat.PING, address)."""
    what, address = item
    # A lab's record is JSON, whose keys are text.
    what = int(what) if isinstance(what, str) and what.isdigit() else what
    if what != nat.PING and (isinstance(what, bool) or not isinstance(what, int) or not 0 < what < 65536):
        raise TopologyError('{}.forward: {!r} is neither a port nor {}.'.format(where, what, nat.PING))
    return what, _inside('{}.forward.{}'.format(where, what), address, network)


def _network(value):
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError:
        raise TopologyError('inet.subnet: {} is no IPv4 network, such as 203.0.113.0/24.'.format(value))
    if network.num_addresses < 8:
        raise TopologyError('inet.subnet: {} is too small.'.format(network))
    return network


def _address(where, value):
    try:
        return ipaddress.IPv4Address(value if isinstance(value, str) else '')
    except ValueError:
        raise TopologyError('{}: {} is no IPv4 address.'.format(where, value))


def _inside(where, value, network):
    address = _address(where, value)
    if address not in network or address in (network.network_address, network.broadcast_address):
        raise TopologyError('{}: {} is no host address of {}.'.format(where, address, network))
    return str(address)


def _hostname(where, value):
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise TopologyError('{}.hostname: {} is no host name.'.format(where, value))
    return value
