"""Relays and DERP regions on remote hosts, as values that are read from site.yaml and checked. Pure.

    relays:
      lab-b: {address: 203.0.113.11, port: 40000}
    derp:
      lab-b: {region: 901, address: 203.0.113.11, port: 8443, stun_port: 3478}
"""
import dataclasses
import ipaddress
from dataclasses import dataclass
from typing import Any, Callable, Dict, Hashable, Iterable, List, NamedTuple, Sequence, Tuple, Type, TypeVar, Union

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.system.schema import is_port
from ua_overlay.trust import names

#: The region of the DERP inside Headscale.
EMBEDDED_REGION = 999
#: The region of a derper beside Headscale, on the server itself, and its code.
SERVER_REGION, SERVER_REGION_NAME = 900, 'server'
#: The regions of remote hosts (Tailscale Inc. numbers its own below 900).
REGIONS = range(901, 999)


@dataclass(frozen=True)
class RelayHost:
    """A peer relay on a remote host.

    :param name: DNS label.
    :param address: IP address at which robots reach it; the outer one if ports are forwarded.
    :param port: UDP port.
    :raises UsageError: a value is invalid.
    """

    name: str
    address: str
    port: int = defaults.RELAY_PORT

    def __post_init__(self) -> None:
        check_name('relay', self.name)
        object.__setattr__(self, 'address', check_reachable(str(self.address)))
        check_port('port of relay ' + self.name, self.port)

    @property
    def host_name(self) -> str:
        """The name that its node asks for."""
        return 'relay-' + self.name


@dataclass(frozen=True)
class DerpHost:
    """A DERP region on a remote host: the last resort of robots whose UDP is blocked, and a STUN server.

    :param name: DNS label, the region's code.
    :param region: its number, which never changes: robots remember it.
    :param address: IP address at which robots reach it; the outer one if ports are forwarded.
    :param port: TCP port.
    :param stun_port: UDP port of STUN.
    :raises UsageError: a value is invalid.
    """

    name: str
    region: int
    address: str
    port: int = defaults.DERP_PORT
    stun_port: int = defaults.STUN_PORT

    def __post_init__(self) -> None:
        check_name('DERP region', self.name)
        if isinstance(self.region, bool) or not isinstance(self.region, int) or self.region not in REGIONS:
            raise UsageError('The region {!r} of DERP {} is not a number from {} to {}.'.format(
                self.region, self.name, REGIONS[0], REGIONS[-1]), 'ua-overlay derp create --help')
        object.__setattr__(self, 'address', check_reachable(str(self.address)))
        check_port('port of DERP ' + self.name, self.port)
        check_port('STUN port of DERP ' + self.name, self.stun_port)

    def host_name(self, server_name: str) -> str:
        """Return the name in its certificate.

        It lies below the server's name, because the site's CA may vouch for no other. It need not be in DNS: robots
        take the address from the DERP map.
        """
        return '{}.{}'.format(self.name, server_name)


class Region(NamedTuple):
    """A DERP region outside Headscale, as the map and the server's probe need it."""

    #: Its code.
    name: str
    number: int
    #: The name in its certificate.
    host_name: str
    #: Addresses at which robots reach it; none: they resolve the name.
    addresses: Tuple[str, ...]
    port: int
    stun_port: int
    #: The address at which the server reaches it.
    probed_at: str


AnyHost = Union[RelayHost, DerpHost]
Host = TypeVar('Host', RelayHost, DerpHost)


def check_name(kind: str, name: Any) -> None:
    """Refuse a name that is not a DNS label.

    :param kind: 'relay' or 'DERP region', for the error.
    :raises UsageError: with a valid name.
    """
    if not isinstance(name, str) or not names.LABEL.fullmatch(name) or len(name) > 50:
        raise UsageError('{!r} cannot be the name of a {}: it takes up to 50 lower-case letters, digits and hyphens '
                         'and starts with a letter.'.format(name, kind), 'another name, such as lab-b')


def check_port(what: str, value: Any) -> None:
    """Refuse a value that is not a port number.

    :param what: what the port is for: 'port of relay lab-b'.
    :raises UsageError:
    """
    if not is_port(value):
        raise UsageError('The {} {!r} is not a port number (1-65535).'.format(what, value),
                         'ua-overlay server init --help')


def check_reachable(text: str) -> str:
    """Return the canonical text of an address that a server can have.

    :raises UsageError: it is not an address, or a robot that is not in the overlay yet could not reach it.
    """
    address = names.check_address(text)
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified or parsed.is_multicast:
        raise UsageError('Robots cannot reach a server at {}.'.format(address), 'ua-overlay server init --help')
    return address


def read_hosts(kind: Type[Host], values: Any, source: str, key: str) -> Tuple[Host, ...]:
    """Read a section of site.yaml.

    :param values: mapping name -> fields, or None.
    :param source: name of the file, for errors.
    :param key: name of the section, for errors.
    :returns: the hosts, sorted by name.
    :raises UsageError: naming ``source`` and the entry.
    """
    edit = 'edit {}'.format(source)
    if not isinstance(values or {}, dict):
        raise UsageError('"{}" in {} is not a mapping of names.'.format(key, source), edit)
    hosts: List[Host] = []
    fields = _fields_of(kind)
    for name, entry in (values or {}).items():
        if not isinstance(entry, dict) or set(entry) - set(fields):
            raise UsageError('{} of "{}" in {} has other fields than {}.'.format(
                name, key, source, ', '.join(fields)), edit)
        missing = [field for field in ('address', 'region') if field in fields and field not in entry]
        if missing:
            raise UsageError('{} of "{}" in {} has no {}.'.format(name, key, source, missing[0]), edit)
        hosts.append(kind(str(name), **entry))
    return tuple(sorted(hosts, key=lambda host: host.name))


def dump_hosts(hosts: Iterable[AnyHost]) -> Dict[str, Dict[str, Any]]:
    """Return the mapping that :func:`read_hosts` reads."""
    return {host.name: {field: getattr(host, field) for field in _fields_of(type(host))} for host in hosts}


def _fields_of(kind: Type[AnyHost]) -> List[str]:
    return [field.name for field in dataclasses.fields(kind) if field.name != 'name']


def check_distinct(relays: Sequence[RelayHost], regions: Sequence[DerpHost]) -> None:
    """Refuse two relays, or two regions, with the same name, region number, or address and port.

    :raises UsageError: naming both.
    """
    _check_distinct('relay', relays, [('name', lambda host: host.name), _ADDRESS_AND_PORT])
    _check_distinct('DERP region', regions, [
        ('name', lambda host: host.name), ('region number', lambda host: host.region), _ADDRESS_AND_PORT])


#: What has to differ: its name, and function(host) -> its value.
_Distinct = Tuple[str, Callable[[Any], Hashable]]
_ADDRESS_AND_PORT: _Distinct = ('address and port', lambda host: (host.address, host.port))


def _check_distinct(kind: str, hosts: Sequence[AnyHost], distinct: Sequence[_Distinct]) -> None:
    for what, value_of in distinct:
        first: Dict[Hashable, AnyHost] = {}
        for host in hosts:
            other = first.setdefault(value_of(host), host)
            if other is not host:
                raise UsageError('The {}s {} and {} have the same {}.'.format(kind, other.name, host.name, what),
                                 'ua-overlay server status')


def free_region(regions: Sequence[DerpHost]) -> int:
    """Return the lowest region number that none of ``regions`` has.

    :raises UsageError: all are taken.
    """
    taken = {region.region for region in regions}
    free = next((number for number in REGIONS if number not in taken), None)
    if free is None:
        raise UsageError('The site has {} DERP regions already, and no number is left.'.format(len(taken)),
                         'ua-overlay derp list')
    return free
