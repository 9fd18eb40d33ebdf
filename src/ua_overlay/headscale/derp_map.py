"""DERP regions of a site: the map that robots get, and the `derper` of a remote host. Pure.

A robot has one region as its home and is reached there by those who have no better path. The DERP inside Headscale ends
whenever Headscale starts again, and robots cannot change their home meanwhile (magicsock keeps it while the control
server is away, for nobody could be told). So the regions on remote hosts are the homes as long as one of them answers,
and the embedded one is when none does. Headscale reads the map again by itself.
"""
import ipaddress
import os

import yaml

from ua_overlay.headscale import remote_hosts

#: Name of the map in the site's directory.
MAP_FILE = 'derp.yaml'
#: How often Headscale reads it and tells the robots.
MAP_PERIOD = '20s'


def derp_map(settings, answering):
    """The DERP map (tailcfg.DERPMap with the lower-case keys that Headscale's YAML takes).

    :param settings: SiteSettings.
    :param answering: names of the remote regions that answer now.
    """
    embedded = _region(remote_hosts.EMBEDDED_REGION, 'site', 'Site', settings.name, settings.addresses, settings.port,
                       settings.stun_port)
    if set(answering) & {host.name for host in settings.derp}:
        embedded['nomeasurenohome'] = True
    regions = {remote_hosts.EMBEDDED_REGION: embedded}
    for host in settings.derp:
        regions[host.region] = _region(host.region, host.name, host.name, host.host_name(settings.name),
                                       (host.address,), host.port, host.stun_port)
    return {'regions': regions}


def _region(number, code, name, host_name, addresses, port, stun_port):
    node = {'name': '{}a'.format(number), 'regionid': number, 'hostname': host_name, 'derpport': port,
            'stunport': stun_port}
    for version, key in ((4, 'ipv4'), (6, 'ipv6')):
        of_version = [each for each in addresses if ipaddress.ip_address(each).version == version]
        if of_version:
            node[key] = of_version[0]
    return {'regionid': number, 'regioncode': code, 'regionname': name, 'nodes': [node]}


def dump_map(value):
    """The map as YAML text."""
    header = '# DERP map, written by `ua-overlay server run` from site.yaml and from which regions answer.\n'
    return header + yaml.safe_dump(value, default_flow_style=False, sort_keys=False)


def derper_command(derper, directory, host_name, port, stun_port, server_url):
    """argv and extra environment of the DERP of a remote host.

    It serves nodes of this site alone: it asks Headscale about each, and while that does not answer nobody new gets in.

    :param directory: holds derper.key (made by itself), HOST_NAME.crt, HOST_NAME.key and ca.pem.
    """
    argv = [derper, '-c', os.path.join(directory, 'derper.key'), '-a', ':{}'.format(port), '-http-port', '-1',
            '-stun-port', str(stun_port), '-certmode', 'manual', '-certdir', directory, '-hostname', host_name,
            '-verify-client-url', server_url + '/verify', '-verify-client-url-fail-open=false', '-home', 'blank']
    return argv, {'SSL_CERT_FILE': os.path.join(directory, 'ca.pem')}
