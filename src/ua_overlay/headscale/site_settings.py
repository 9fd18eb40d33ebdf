"""The settings of a site: its name, and its addresses and ports. Pure."""
import ipaddress
import os
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.clock import parse_duration
from ua_overlay.errors import UsageError
from ua_overlay.headscale import remote_hosts
from ua_overlay.headscale.remote_hosts import DerpHost, Region, RelayHost
from ua_overlay.printable import printable
from ua_overlay.trust import names

#: Versions of site.yaml that this code reads.
SITE_VERSION = 1
#: The longest path of a unix socket, without the final zero (unix(7): sun_path is 108 bytes).
SOCKET_PATH_LIMIT = 107
#: The longest path of a socket below a site's directory.
LONGEST_SOCKET = 'run/tailscaled.sock'

_V6 = ipaddress.ip_network(defaults.OVERLAY_V6)
_FIELDS = ('name', 'addresses', 'port', 'stun_port', 'relay_port', 'base_domain')
#: Fields that are written to site.yaml only if they are not empty.
_OPTIONAL = ('private', 'derp_port', 'relays', 'derp', 'prefix', 'admission_memory')


@dataclass(frozen=True)
class SiteSettings:
    """The name of a site, and the addresses and ports at which robots reach it.

    :param name: DNS name in the robots' server URL; never an address, because Go's TLS client does not check the name
        of a certificate then.
    :param addresses: public IP addresses of the server. Robots use the first one when DNS is down. If ports are
        forwarded, they are the addresses of the forwarding machine. May be empty.
    :param private: the server's own addresses behind such a machine; empty if the server itself has the public ones.
    :param port: TCP port of control and DERP.
    :param stun_port: UDP port of STUN.
    :param relay_port: UDP port of the site's peer relay.
    :param base_domain: suffix of the robots' names.
    :param relays: relays on remote hosts, sorted by name.
    :param derp: DERP regions on remote hosts, sorted by name.
    :param prefix: the range of the robots' IPv4 addresses, inside tailscale's own.
    :param derp_port: TCP port of a derper beside Headscale, which then serves STUN, too; 0: Headscale has the server's
        only DERP, on ``port``.
    :param admission_memory: how long the DERPs outside Headscale admit robots that Headscale confirmed, while it does
        not answer, and how long robots may start with the network map that they keep: '12h', '1d'.
    :raises UsageError: a value is invalid, or two contradict each other.
    """

    name: str
    addresses: Tuple[str, ...] = ()
    port: int = defaults.SERVER_PORT
    stun_port: int = defaults.STUN_PORT
    relay_port: int = defaults.RELAY_PORT
    base_domain: str = defaults.BASE_DOMAIN
    private: Tuple[str, ...] = ()
    relays: Tuple[RelayHost, ...] = ()
    derp: Tuple[DerpHost, ...] = ()
    prefix: str = defaults.OVERLAY_V4
    admission_memory: str = defaults.ADMISSION_MEMORY_TEXT
    derp_port: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, 'name', names.check_server_name(str(self.name)))
        for field in ('addresses', 'private'):
            object.__setattr__(self, field, tuple(
                remote_hosts.check_reachable(str(each)) for each in getattr(self, field)))
        object.__setattr__(self, 'prefix', _check_prefix(str(self.prefix)))
        inside = ipaddress.ip_network(self.prefix)
        for each in self.addresses + self.private + tuple(host.address for host in self.relays + self.derp):
            if ipaddress.ip_address(each) in inside or ipaddress.ip_address(each) in _V6:
                raise UsageError('The server address {} lies inside the overlay\'s own range, which robots reach only '
                                 'after they have reached the server.'.format(each), 'ua-overlay server init --help')
        if self.private and not self.addresses:
            raise UsageError('The private address {} needs a public address that is forwarded to it.'.format(
                self.private[0]),
                command('ua-overlay server init --name FQDN --address PUBLIC --private {}', self.private[0]))
        if not all(names.HOST_LABEL.fullmatch(label) for label in str(self.base_domain).split('.')):
            raise UsageError('The base domain {!r} is not a DNS name in lower case.'.format(self.base_domain),
                             command('ua-overlay server init --name FQDN --base-domain {}', defaults.BASE_DOMAIN))
        for field in ('port', 'stun_port', 'relay_port'):
            remote_hosts.check_port(field.replace('_', ' '), getattr(self, field))
        remote_hosts.check_distinct(self.relays, self.derp)
        self._check_derp_port()
        _memory(self.admission_memory)
        if self.stun_port == self.relay_port:
            raise UsageError('STUN and the peer relay cannot share UDP port {}.'.format(self.stun_port),
                             command('ua-overlay server init --name FQDN --relay-port {}', defaults.RELAY_PORT))
        if self.name == self.base_domain or self.name.endswith('.' + self.base_domain):
            # Headscale refuses it too: the robots' resolver would answer for the server's own name.
            raise UsageError(
                'The server name {} lies inside the base domain {}, which is for the names of robots.'.format(
                    self.name, self.base_domain),
                command('ua-overlay server init --name FQDN --base-domain {}', defaults.BASE_DOMAIN))

    def _check_derp_port(self) -> None:
        if self.derp_port == 0 and not isinstance(self.derp_port, bool):
            return
        remote_hosts.check_port('derp port', self.derp_port)
        if self.derp_port == self.port:
            raise UsageError('Headscale and derper cannot share TCP port {}.'.format(self.port), command(
                'ua-overlay server init --name FQDN --derp-port {}', defaults.DERP_PORT))
        if any(host.name == remote_hosts.SERVER_REGION_NAME for host in self.derp):
            raise UsageError("A remote DERP region cannot have the name {}, which is that of the server's own.".format(
                remote_hosts.SERVER_REGION_NAME), 'edit site.yaml   # remove derp_port, or rename that region')

    @property
    def regions(self) -> Tuple[Region, ...]:
        """The DERP regions outside Headscale: that of the server itself, then those of remote hosts."""
        own = (Region(remote_hosts.SERVER_REGION_NAME, remote_hosts.SERVER_REGION, self.name, self.addresses,
                      self.derp_port, self.stun_port, '127.0.0.1'),) if self.derp_port else ()
        return own + tuple(Region(host.name, host.region, host.host_name(self.name), (host.address,), host.port,
                                  host.stun_port, host.address) for host in self.derp)

    @property
    def admission_seconds(self) -> int:
        """admission_memory in seconds."""
        return _memory(self.admission_memory)

    @property
    def url(self) -> str:
        """The robots' login server, always with its port (without one tailscale tries plain HTTP on port 80 first)."""
        return 'https://{}:{}'.format(self.name, self.port)


def _memory(text: object) -> int:
    """Return admission_memory in seconds.

    :raises UsageError: it is invalid.
    """
    try:
        seconds = int(parse_duration(str(text)))
    except ValueError:
        seconds = -1
    shortest, longest = defaults.ADMISSION_MEMORY_RANGE
    if not shortest <= seconds <= longest:
        raise UsageError('admission_memory, {!r}, is not a time from a minute to 30 days.'.format(text),
                         'edit site.yaml   # admission_memory: {}'.format(defaults.ADMISSION_MEMORY_TEXT))
    return seconds


def _check_prefix(text: str) -> str:
    """Return the canonical text of a range for the robots.

    Headscale accepts any range, but tailscaled recognizes overlay addresses by its own one (net/tsaddr: CGNATRange).

    :raises UsageError: it is no network, lies outside of that range, or has too few addresses.
    """
    hint = 'ua-overlay server init --name FQDN --prefix 100.96.0.0/16'
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError:
        raise UsageError('The prefix {!r} is not an IPv4 network.'.format(text), hint) from None
    if not network.subnet_of(ipaddress.IPv4Network(defaults.OVERLAY_V4)) or network.prefixlen > 28:
        raise UsageError('The prefix {} is not inside {}, or has fewer than 16 addresses.'.format(
            network, defaults.OVERLAY_V4), hint)
    return str(network)


def settings_to_dict(settings: SiteSettings) -> Dict[str, Any]:
    """Return the part of site.yaml that describes the server."""
    values = {field: list(value) if isinstance(value, tuple) else value
              for field, value in ((field, getattr(settings, field)) for field in _FIELDS)}
    optional = {'private': list(settings.private), 'derp_port': settings.derp_port,
                'relays': remote_hosts.dump_hosts(settings.relays),
                'derp': remote_hosts.dump_hosts(settings.derp),
                'prefix': '' if settings.prefix == defaults.OVERLAY_V4 else settings.prefix,
                'admission_memory': '' if settings.admission_memory == defaults.ADMISSION_MEMORY_TEXT
                else settings.admission_memory}
    values.update({field: optional[field] for field in _OPTIONAL if optional[field]})
    return values


def settings_from_dict(values: Mapping[str, Any], source: str) -> SiteSettings:
    """Read :class:`SiteSettings` from a mapping with the same fields.

    :param source: name of the file, for errors.
    :raises UsageError: a field is unknown, missing or invalid.
    """
    edit = 'edit {}'.format(source)
    unknown = [key for key in values if key not in _FIELDS + _OPTIONAL]
    if unknown:
        raise UsageError('{} has an unknown field {}.'.format(source, printable(unknown[0], 60)), edit)
    if 'name' not in values:
        raise UsageError('{} lacks the name of the server.'.format(source), edit)
    lists = {}
    for field in ('addresses', 'private'):
        if not isinstance(values.get(field, []), list):
            raise UsageError('"{}" in {} is not a list.'.format(field, source), edit)
        lists[field] = tuple(values.get(field, []))
    return SiteSettings(**dict(
        values, relays=remote_hosts.read_hosts(RelayHost, values.get('relays'), source, 'relays'),
        derp=remote_hosts.read_hosts(DerpHost, values.get('derp'), source, 'derp'), **lists))


def check_directory(directory: str) -> None:
    """Refuse a directory whose sockets would have too long a path.

    :raises UsageError: naming the limit.
    """
    length = len(os.fsencode(os.path.join(directory, LONGEST_SOCKET)))
    if length > SOCKET_PATH_LIMIT:
        raise UsageError(
            'The site directory {} is {} characters too long: the path of a unix socket has at most {}.'.format(
                directory, length - SOCKET_PATH_LIMIT, SOCKET_PATH_LIMIT),
            command('ua-overlay server init --name FQDN --dir {}', defaults.SITE_DIR))
