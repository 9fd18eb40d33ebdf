"""DERP regions of a site: the DERP map for the robots, and the command of a `derper`. Pure.

Each robot has one home region; peers without a better path reach it there. The DERP inside Headscale is down whenever
Headscale restarts, and robots cannot change their home meanwhile (magicsock keeps it while the control server is
unreachable, because it could not report a new one). So the regions outside Headscale (on remote hosts, and that of a
derper beside it) are the homes while at least one of them answers, and the embedded region is the home when none does.
It stays in the map: a tailscaled that starts with a home that the map no longer has needs 24 s to find another
(1.102.5). Headscale rereads the map periodically.
"""
import ipaddress
import os
from typing import Collection, Dict, List, Sequence, Tuple

import yaml

from ua_overlay.headscale import remote_hosts
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.protocols import JsonObject

#: Name of the map in the site's directory.
MAP_FILE = 'derp.yaml'
#: How often Headscale reads the map and sends it to the robots.
MAP_PERIOD = '20s'


def derp_map(settings: SiteSettings, answering: Collection[str]) -> JsonObject:
    """Return the DERP map (tailcfg.DERPMap with the lower-case keys that Headscale's YAML takes).

    :param answering: names of the regions outside Headscale that answer now.
    """
    embedded = _region(remote_hosts.EMBEDDED_REGION, 'site', 'Site', settings.name, settings.addresses, settings.port,
                       settings.stun_port)
    if set(answering) & {region.name for region in settings.regions}:
        embedded['nomeasurenohome'] = True
    regions = {remote_hosts.EMBEDDED_REGION: embedded}
    for region in settings.regions:
        regions[region.number] = _region(region.number, region.name, region.name, region.host_name, region.addresses,
                                         region.port, region.stun_port)
    return {'regions': regions}


def _region(number: int, code: str, name: str, host_name: str, addresses: Sequence[str], port: int,
            stun_port: int) -> JsonObject:
    node: JsonObject = {'name': '{}a'.format(number), 'regionid': number, 'hostname': host_name, 'derpport': port,
                        'stunport': stun_port}
    for version, key in ((4, 'ipv4'), (6, 'ipv6')):
        of_version = [each for each in addresses if ipaddress.ip_address(each).version == version]
        if of_version:
            node[key] = of_version[0]
    return {'regionid': number, 'regioncode': code, 'regionname': name, 'nodes': [node]}


def dump_map(value: JsonObject) -> str:
    """Return the map as YAML text."""
    header = '# DERP map, written by `ua-overlay server run` from site.yaml and from which regions answer.\n'
    return header + yaml.safe_dump(value, default_flow_style=False, sort_keys=False)


def derper_command(derper: str, directory: str, host_name: str, port: int, stun_port: int,
                   verify_url: str) -> Tuple[List[str], Dict[str, str]]:
    """Return argv and extra environment of a DERP outside Headscale.

    It serves only nodes of this site: it asks ``verify_url`` about each new client, and refuses all new clients while
    nobody answers there.

    :param derper: path of the program.
    :param directory: holds HOST_NAME.crt, HOST_NAME.key and ca.pem; derper creates derper.key there itself.
    """
    argv = [derper, '-c', os.path.join(directory, 'derper.key'), '-a', ':{}'.format(port), '-http-port', '-1',
            '-stun-port', str(stun_port), '-certmode', 'manual', '-certdir', directory, '-hostname', host_name,
            '-verify-client-url', verify_url, '-verify-client-url-fail-open=false', '-home', 'blank']
    return argv, {'SSL_CERT_FILE': os.path.join(directory, 'ca.pem')}
