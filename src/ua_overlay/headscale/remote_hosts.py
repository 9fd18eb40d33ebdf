"""What a site has on remote hosts, as site.yaml names it: relays and DERP regions. Values and their checks alone.

    relays:
      lab-b: {address: 203.0.113.11, port: 40000}
    derp:
      lab-b: {region: 901, address: 203.0.113.11, port: 8443, stun_port: 3478}
"""
import ipaddress
from dataclasses import dataclass

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.trust import names

#: The region of the DERP inside Headscale, and those of remote hosts (Tailscale Inc. numbers its own below 900).
EMBEDDED_REGION = 999
REGIONS = range(901, 999)


@dataclass(frozen=True)
class RelayHost:
    """A peer relay on another host.

    :param name: DNS label.
    :param address: IP address by which robots reach it; behind forwarded ports, the outer one.
    :param port: UDP port.
    """

    name: str
    address: str
    port: int = defaults.RELAY_PORT

    def __post_init__(self):
        check_name('relay', self.name)
        object.__setattr__(self, 'address', check_reachable(str(self.address)))
        check_port('port of relay ' + self.name, self.port)

    @property
    def host_name(self):
        """The name that its node asks for."""
        return 'relay-' + self.name


@dataclass(frozen=True)
class DerpHost:
    """A DERP region on another host: the last resort of robots whose UDP is cut, and a STUN server.

    :param name: DNS label, the region's code.
    :param region: its number, for good: robots remember it.
    :param address: IP address by which robots reach it; behind forwarded ports, the outer one.
    :param port: TCP port.
    :param stun_port: UDP port of STUN.
    """

    name: str
    region: int
    address: str
    port: int = defaults.DERP_PORT
    stun_port: int = defaults.STUN_PORT

    def __post_init__(self):
        check_name('DERP region', self.name)
        if isinstance(self.region, bool) or not isinstance(self.region, int) or self.region not in REGIONS:
            raise UsageError('The region {!r} of DERP {} is no number from {} to {}.'.format(
                self.region, self.name, REGIONS[0], REGIONS[-1]), 'ua-overlay derp create --help')
        object.__setattr__(self, 'address', check_reachable(str(self.address)))
        check_port('port of DERP ' + self.name, self.port)
        check_port('STUN port of DERP ' + self.name, self.stun_port)

    def host_name(self, server_name):
        """The name in its certificate, below the server's, for which alone the site's CA may vouch. It need not be in
        DNS: robots take the address from the DERP map."""
        return '{}.{}'.format(self.name, server_name)


def check_name(kind, name):
    """Refuse a name that is no DNS label.

    :raises UsageError: with one that would do.
    """
    if not isinstance(name, str) or not names.LABEL.fullmatch(name) or len(name) > 50:
        raise UsageError('{!r} cannot be the name of a {}: it takes up to 50 lower-case letters, digits and hyphens '
                         'and starts with a letter.'.format(name, kind), 'another name, such as lab-b')


def check_port(what, value):
    """:raises UsageError: ``value`` is no port number; the sentence begins with ``what``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise UsageError('The {} {!r} is not a port number (1-65535).'.format(what, value),
                         'ua-overlay server init --help')


def check_reachable(text):
    """The canonical text of an address that a server can have.

    :raises UsageError: it is none, or none that a robot could reach before it is in the overlay.
    """
    address = names.check_address(text)
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified or parsed.is_multicast:
        raise UsageError('No robot can reach a server at {}.'.format(address), 'ua-overlay server init --help')
    if any(parsed in ipaddress.ip_network(network) for network in (defaults.OVERLAY_V4, defaults.OVERLAY_V6)):
        raise UsageError('The server address {} lies inside the overlay\'s own range, which exists only after the '
                         'server was reached.'.format(address), 'ua-overlay server init --help')
    return address


def read_hosts(kind, values, source, key):
    """A section of site.yaml as a tuple of ``kind`` (RelayHost or DerpHost), sorted by name.

    :param values: mapping name -> fields, or None.
    :raises UsageError: naming ``source`` and the part.
    """
    edit = 'edit {}'.format(source)
    if not isinstance(values or {}, dict):
        raise UsageError('"{}" in {} is not a mapping of names.'.format(key, source), edit)
    found = []
    fields = [field for field in kind.__dataclass_fields__ if field != 'name']
    for name, given in (values or {}).items():
        if not isinstance(given, dict) or set(given) - set(fields):
            raise UsageError('{} of "{}" in {} has other fields than {}.'.format(
                name, key, source, ', '.join(fields)), edit)
        missing = [field for field in ('address', 'region') if field in fields and field not in given]
        if missing:
            raise UsageError('{} of "{}" in {} has no {}.'.format(name, key, source, missing[0]), edit)
        found.append(kind(str(name), **given))
    return tuple(sorted(found, key=lambda host: host.name))


def dump_hosts(hosts):
    """The mapping that :func:`read_hosts` reads."""
    return {host.name: {field: getattr(host, field) for field in host.__dataclass_fields__ if field != 'name'}
            for host in hosts}


def check_distinct(relays, regions):
    """Refuse two with one name, one region number, or one place.

    :raises UsageError: naming both.
    """
    for kind, hosts in (('relay', relays), ('DERP region', regions)):
        for what, value_of in (('name', lambda host: host.name),
                               ('region number', lambda host: getattr(host, 'region', host.name)),
                               ('address and port', lambda host: (host.address, host.port))):
            seen = {}
            for host in hosts:
                other = seen.setdefault(value_of(host), host)
                if other is not host:
                    raise UsageError('The {}s {} and {} have the same {}.'.format(kind, other.name, host.name, what),
                                     'ua-overlay server status')


def free_region(regions):
    """The lowest region number that none of ``regions`` (DerpHost) has.

    :raises UsageError: all are taken.
    """
    taken = {region.region for region in regions}
    free = next((number for number in REGIONS if number not in taken), None)
    if free is None:
        raise UsageError('The site has {} DERP regions already.'.format(len(taken)), 'ua-overlay derp list')
    return free
