"""The settings of a site and the Headscale configuration that follows from them. No file, socket or clock here."""
import ipaddress
import os
from dataclasses import dataclass

import yaml

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.trust import names

#: Versions of site.yaml that this code reads.
SITE_VERSION = 1
#: The kernel's limit of a unix socket's path without the final zero (unix(7): sun_path is 108 bytes).
SOCKET_PATH_LIMIT = 107
#: The longest path below a site's directory that a socket has.
LONGEST_SOCKET = 'run/tailscaled.sock'

_FIELDS = ('name', 'addresses', 'port', 'stun_port', 'relay_port', 'base_domain')


@dataclass(frozen=True)
class SiteSettings:
    """What a site is called and where robots reach it.

    :param name: DNS name in the robots' server URL; never an address, because Go's TLS client does not check the name
        of a certificate then.
    :param addresses: IP addresses (str) under which robots reach the server, the first being the one they use when DNS
        is down; may be empty.
    :param port: TCP port of control and DERP.
    :param stun_port: UDP port of STUN.
    :param relay_port: UDP port of the site's peer relay.
    :param base_domain: suffix of the robots' names.
    """

    name: str
    addresses: tuple = ()
    port: int = defaults.SERVER_PORT
    stun_port: int = defaults.STUN_PORT
    relay_port: int = defaults.RELAY_PORT
    base_domain: str = defaults.BASE_DOMAIN

    def __post_init__(self):
        object.__setattr__(self, 'name', names.check_server_name(str(self.name)))
        object.__setattr__(self, 'addresses', tuple(_check_address(str(address)) for address in self.addresses))
        if not all(names.HOST_LABEL.fullmatch(label) for label in str(self.base_domain).split('.')):
            raise UsageError('The base domain {!r} is not a DNS name in lower case.'.format(self.base_domain),
                             'ua-overlay server init --base-domain {}'.format(defaults.BASE_DOMAIN))
        for what in ('port', 'stun_port', 'relay_port'):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
                raise UsageError('The {} {!r} is not a port number (1-65535).'.format(what.replace('_', ' '), value),
                                 'ua-overlay server init --help')
        if self.stun_port == self.relay_port:
            raise UsageError('STUN and the peer relay cannot share UDP port {}.'.format(self.stun_port),
                             'ua-overlay server init --relay-port {}'.format(defaults.RELAY_PORT))
        if self.name == self.base_domain or self.name.endswith('.' + self.base_domain):
            # Headscale refuses it too: the robots' resolver would answer for the server's own name.
            raise UsageError(
                'The server name {} lies inside the base domain {}, which the robots\' own names fill.'.format(
                    self.name, self.base_domain),
                'ua-overlay server init --base-domain {}'.format(defaults.BASE_DOMAIN))

    @property
    def url(self):
        """The robots' login server, always with its port (without one tailscale tries plain HTTP on port 80 first)."""
        return 'https://{}:{}'.format(self.name, self.port)


def _check_address(text):
    """The canonical text of an address that a server can have."""
    address = names.check_address(text)
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified or parsed.is_multicast:
        raise UsageError('No robot can reach a server at {}.'.format(address), 'ua-overlay server init --help')
    if any(parsed in ipaddress.ip_network(network) for network in (defaults.OVERLAY_V4, defaults.OVERLAY_V6)):
        raise UsageError('The server address {} lies inside the overlay\'s own range, which exists only after the '
                         'server was reached.'.format(address), 'ua-overlay server init --help')
    return address


def settings_to_dict(settings):
    """The part of site.yaml that describes the server."""
    return {field: list(value) if isinstance(value, tuple) else value
            for field, value in ((field, getattr(settings, field)) for field in _FIELDS)}


def settings_from_dict(values, source):
    """Read :class:`SiteSettings` from a mapping.

    :param values: the mapping, with the fields of SiteSettings.
    :param source: name of the file, for errors.
    :raises UsageError: an unknown or missing field, or a value that makes no sense.
    """
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        raise UsageError('{} has an unknown field {}.'.format(source, unknown[0]), 'edit {}'.format(source))
    if 'name' not in values:
        raise UsageError('{} does not say the name of the server.'.format(source), 'edit {}'.format(source))
    addresses = values.get('addresses', [])
    if not isinstance(addresses, list):
        raise UsageError('"addresses" in {} is not a list.'.format(source), 'edit {}'.format(source))
    return SiteSettings(**dict(values, addresses=tuple(addresses)))


def check_directory(directory):
    """Refuse a directory whose sockets would have too long a path.

    :raises UsageError: naming the limit.
    """
    length = len(os.fsencode(os.path.join(directory, LONGEST_SOCKET)))
    if length > SOCKET_PATH_LIMIT:
        raise UsageError(
            'The site directory {} is {} characters too long: a unix socket\'s path has at most {}.'.format(
                directory, length - SOCKET_PATH_LIMIT, SOCKET_PATH_LIMIT),
            'ua-overlay server init --dir {}'.format(defaults.SITE_DIR))


def headscale_config(settings, directory):
    """Headscale's configuration (0.29; keys of its config-example.yaml) as nested dicts.

    Nothing in it leaves the site: the DERP map is the embedded one alone, update checks and log shipping are off.

    :param settings: :class:`SiteSettings`.
    :param directory: absolute path of the site's directory.
    """
    def path(*parts):
        return os.path.join(directory, *parts)

    has_v6 = any(':' in address for address in settings.addresses)
    listen = '[::]' if has_v6 else '0.0.0.0'
    derp = {
        'enabled': True,
        'region_id': 999,
        'region_code': 'site',
        'region_name': 'Site',
        # Only nodes of this site may use its DERP.
        'verify_clients': True,
        'stun_listen_addr': '{}:{}'.format(listen, settings.stun_port),
        'private_key_path': path('headscale', 'derp.key'),
        'automatically_add_embedded_derp_region': True,
    }
    for version, key in ((4, 'ipv4'), (6, 'ipv6')):
        of_version = [a for a in settings.addresses if ipaddress.ip_address(a).version == version]
        if of_version:
            derp[key] = of_version[0]
    return {
        'server_url': settings.url,
        'listen_addr': '{}:{}'.format(listen, settings.port),
        'metrics_listen_addr': '',
        # gRPC with TLS cannot be switched off: loopback, and a port of the kernel's choice.
        'grpc_listen_addr': '127.0.0.1:0',
        'grpc_allow_insecure': False,
        'unix_socket': path('run', 'headscale.sock'),
        'unix_socket_permission': '0700',
        'noise': {'private_key_path': path('headscale', 'noise.key')},
        'prefixes': {'v4': defaults.OVERLAY_V4, 'v6': defaults.OVERLAY_V6, 'allocation': 'sequential'},
        'derp': {'server': derp, 'urls': [], 'paths': [], 'auto_update_enabled': False},
        'disable_check_updates': True,
        'node': {'expiry': '0', 'ephemeral': {'inactivity_timeout': '30m'}},
        'database': {'type': 'sqlite', 'sqlite': {'path': path('headscale', 'db.sqlite'), 'write_ahead_log': True}},
        'tls_cert_path': path('server.pem'),
        'tls_key_path': path('server.key'),
        'log': {'level': 'info', 'format': 'text'},
        'policy': {'mode': 'file', 'path': path('policy.json')},
        'dns': {
            'magic_dns': True,
            'base_domain': settings.base_domain,
            # The robots keep the resolver of the network they are in; only the base domain is answered by the overlay.
            'override_local_dns': False,
            'nameservers': {'global': [], 'split': {}},
            'search_domains': [],
            'extra_records': [],
        },
        'logtail': {'enabled': False},
        'taildrop': {'enabled': False},
        'auto_update': {'enabled': False},
    }


def dump_config(config):
    """The configuration as YAML text."""
    header = '# Headscale configuration, written from site.yaml at every start of the server: edit site.yaml instead.\n'
    return header + yaml.safe_dump(config, default_flow_style=False, sort_keys=False)
