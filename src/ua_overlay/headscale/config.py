"""Generate the configuration of Headscale from a site's settings. Pure."""
import ipaddress
import os

import yaml

from ua_overlay import defaults
from ua_overlay.headscale import derp_map, keys, remote_hosts
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.protocols import JsonObject


def headscale_config(settings: SiteSettings, directory: str) -> JsonObject:
    """Return Headscale's configuration (0.29; keys of its config-example.yaml) as nested dicts.

    It keeps all traffic inside the site: the DERP map has only the site's regions, and update checks and log shipping
    are off.

    :param directory: absolute path of the site's directory.
    """
    def path(*parts: str) -> str:
        return os.path.join(directory, *parts)

    has_v6 = any(':' in address for address in settings.addresses)
    listen = '[::]' if has_v6 else '0.0.0.0'
    server: JsonObject = {
        'enabled': True,
        'region_id': remote_hosts.EMBEDDED_REGION,
        'region_code': 'site',
        'region_name': 'Site',
        # Only nodes of this site may use the embedded DERP.
        'verify_clients': True,
        # Headscale cannot serve DERP without STUN; a derper beside it has the port.
        'stun_listen_addr': '127.0.0.1:0' if settings.derp_port else '{}:{}'.format(listen, settings.stun_port),
        'private_key_path': path(keys.DERP_KEY),
        # With regions outside Headscale the map is a file, which describes the embedded region better than Headscale
        # would.
        'automatically_add_embedded_derp_region': not settings.regions,
    }
    for version, key in ((4, 'ipv4'), (6, 'ipv6')):
        of_version = [a for a in settings.addresses if ipaddress.ip_address(a).version == version]
        if of_version:
            server[key] = of_version[0]
    return {
        'server_url': settings.url,
        'listen_addr': '{}:{}'.format(listen, settings.port),
        'metrics_listen_addr': '',
        # gRPC with TLS cannot be disabled, so it listens on loopback, at a port that the kernel chooses.
        'grpc_listen_addr': '127.0.0.1:0',
        'grpc_allow_insecure': False,
        'unix_socket': path('run', 'headscale.sock'),
        'unix_socket_permission': '0700',
        'noise': {'private_key_path': path(keys.NOISE_KEY)},
        # Not 100.64.0.1 and so on: carriers give such addresses to their name servers and gateways.
        'prefixes': {'v4': settings.prefix, 'v6': defaults.OVERLAY_V6, 'allocation': 'random'},
        'derp': dict(server=server, urls=[], paths=[path(derp_map.MAP_FILE)] if settings.regions else [],
                     auto_update_enabled=bool(settings.regions),
                     **({'update_frequency': derp_map.MAP_PERIOD} if settings.regions else {})),
        'disable_check_updates': True,
        'node': {'expiry': '0', 'ephemeral': {'inactivity_timeout': '30m'}},
        'database': {'type': 'sqlite', 'sqlite': {
            'path': path('headscale', 'db.sqlite'), 'write_ahead_log': True,
            # Headscale opens SQLite with synchronous=NORMAL (hscontrol/db/sqliteconfig, 0.29): the log reaches the disk
            # with a checkpoint only (sqlite.org/wal.html). With the usual 1,000 pages a power cut would undo what was
            # acknowledged: robots that joined, and those that were removed.
            'wal_autocheckpoint': 1}},
        'tls_cert_path': path('server.pem'),
        'tls_key_path': path('server.key'),
        # Only debug lines show which nodes are connected twice. `server run` reads these lines (sessions) and omits
        # them from the log file.
        'log': {'level': 'debug', 'format': 'text'},
        'policy': {'mode': 'file', 'path': path('policy.json')},
        'dns': {
            'magic_dns': True,
            'base_domain': settings.base_domain,
            # The robots keep the resolver of the network they are in; the overlay answers for the base domain only.
            'override_local_dns': False,
            'nameservers': {'global': [], 'split': {}},
            'search_domains': [],
            'extra_records': [],
        },
        'logtail': {'enabled': False},
        'taildrop': {'enabled': False},
        'auto_update': {'enabled': False},
    }


def dump_config(config: JsonObject) -> str:
    """Return the configuration as YAML text."""
    header = ('# Headscale configuration, written from site.yaml whenever the server starts: edit site.yaml instead.\n')
    return header + yaml.safe_dump(config, default_flow_style=False, sort_keys=False)
