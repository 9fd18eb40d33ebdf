"""The settings of a site and the Headscale configuration that follows from them. No file, socket or clock here."""
import ipaddress
import os
from dataclasses import dataclass

import yaml

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.headscale import derp_map as derp
from ua_overlay.headscale import remote_hosts
from ua_overlay.headscale.remote_hosts import DerpHost, RelayHost
from ua_overlay.trust import names

#: Versions of site.yaml that this code reads.
SITE_VERSION = 1
#: The kernel's limit of a unix socket's path without the final zero (unix(7): sun_path is 108 bytes).
SOCKET_PATH_LIMIT = 107
#: The longest path below a site's directory that a socket has.
LONGEST_SOCKET = 'run/tailscaled.sock'

_FIELDS = ('name', 'addresses', 'port', 'stun_port', 'relay_port', 'base_domain')
#: Written to site.yaml only where they say something.
_OPTIONAL = ('private', 'relays', 'derp')


@dataclass(frozen=True)
class SiteSettings:
    """What a site is called and where robots reach it.

    :param name: DNS name in the robots' server URL; never an address, because Go's TLS client does not check the name
        of a certificate then.
    :param addresses: public IP addresses (str) under which robots reach the server, the first being the one they use
        when DNS is down; behind forwarded ports, those of the machine that forwards. May be empty.
    :param private: the server's own addresses behind such a machine; empty when it has the public ones itself.
    :param port: TCP port of control and DERP.
    :param stun_port: UDP port of STUN.
    :param relay_port: UDP port of the site's peer relay.
    :param base_domain: suffix of the robots' names.
    :param relays: RelayHosts, sorted by name.
    :param derp: DerpHosts, sorted by name.
    """

    name: str
    addresses: tuple = ()
    port: int = defaults.SERVER_PORT
    stun_port: int = defaults.STUN_PORT
    relay_port: int = defaults.RELAY_PORT
    base_domain: str = defaults.BASE_DOMAIN
    private: tuple = ()
    relays: tuple = ()
    derp: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, 'name', names.check_server_name(str(self.name)))
        for field in ('addresses', 'private'):
            object.__setattr__(self, field, tuple(
                remote_hosts.check_reachable(str(each)) for each in getattr(self, field)))
        if self.private and not self.addresses:
            raise UsageError('A server with a private address needs the public one that is forwarded to it.',
                             'ua-overlay server init --address PUBLIC --private {}'.format(self.private[0]))
        if not all(names.HOST_LABEL.fullmatch(label) for label in str(self.base_domain).split('.')):
            raise UsageError('The base domain {!r} is not a DNS name in lower case.'.format(self.base_domain),
                             'ua-overlay server init --base-domain {}'.format(defaults.BASE_DOMAIN))
        for what in ('port', 'stun_port', 'relay_port'):
            remote_hosts.check_port(what.replace('_', ' '), getattr(self, what))
        remote_hosts.check_distinct(self.relays, self.derp)
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


def settings_to_dict(settings):
    """The part of site.yaml that describes the server."""
    values = {field: list(value) if isinstance(value, tuple) else value
              for field, value in ((field, getattr(settings, field)) for field in _FIELDS)}
    more = {'private': list(settings.private), 'relays': remote_hosts.dump_hosts(settings.relays),
            'derp': remote_hosts.dump_hosts(settings.derp)}
    values.update({field: more[field] for field in _OPTIONAL if more[field]})
    return values


def settings_from_dict(values, source):
    """Read :class:`SiteSettings` from a mapping.

    :param values: the mapping, with the fields of SiteSettings.
    :param source: name of the file, for errors.
    :raises UsageError: an unknown or missing field, or a value that makes no sense.
    """
    unknown = sorted(set(values) - set(_FIELDS + _OPTIONAL))
    if unknown:
        raise UsageError('{} has an unknown field {}.'.format(source, unknown[0]), 'edit {}'.format(source))
    if 'name' not in values:
        raise UsageError('{} does not say the name of the server.'.format(source), 'edit {}'.format(source))
    lists = {}
    for field in ('addresses', 'private'):
        if not isinstance(values.get(field, []), list):
            raise UsageError('"{}" in {} is not a list.'.format(field, source), 'edit {}'.format(source))
        lists[field] = tuple(values.get(field, []))
    return SiteSettings(**dict(
        values, relays=remote_hosts.read_hosts(RelayHost, values.get('relays'), source, 'relays'),
        derp=remote_hosts.read_hosts(DerpHost, values.get('derp'), source, 'derp'), **lists))


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

    Nothing in it leaves the site: the DERP map is the site's alone, update checks and log shipping are off.

    :param settings: :class:`SiteSettings`.
    :param directory: absolute path of the site's directory.
    """
    def path(*parts):
        return os.path.join(directory, *parts)

    has_v6 = any(':' in address for address in settings.addresses)
    listen = '[::]' if has_v6 else '0.0.0.0'
    server = {
        'enabled': True,
        'region_id': remote_hosts.EMBEDDED_REGION,
        'region_code': 'site',
        'region_name': 'Site',
        # Only nodes of this site may use its DERP.
        'verify_clients': True,
        'stun_listen_addr': '{}:{}'.format(listen, settings.stun_port),
        'private_key_path': path('headscale', 'derp.key'),
        # With remote regions the map is a file, because it says more of the embedded one than Headscale would.
        'automatically_add_embedded_derp_region': not settings.derp,
    }
    for version, key in ((4, 'ipv4'), (6, 'ipv6')):
        of_version = [a for a in settings.addresses if ipaddress.ip_address(a).version == version]
        if of_version:
            server[key] = of_version[0]
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
        'derp': dict(server=server, urls=[], paths=[path(derp.MAP_FILE)] if settings.derp else [],
                     auto_update_enabled=bool(settings.derp),
                     **({'update_frequency': derp.MAP_PERIOD} if settings.derp else {})),
        'disable_check_updates': True,
        'node': {'expiry': '0', 'ephemeral': {'inactivity_timeout': '30m'}},
        'database': {'type': 'sqlite', 'sqlite': {'path': path('headscale', 'db.sqlite'), 'write_ahead_log': True}},
        'tls_cert_path': path('server.pem'),
        'tls_key_path': path('server.key'),
        # Only debug lines say who is connected twice; `server run` takes them aside (sessions), the file has the rest.
        'log': {'level': 'debug', 'format': 'text'},
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
