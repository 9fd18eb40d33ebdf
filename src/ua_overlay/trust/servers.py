"""Which servers a site has: those its CA stands for, those of its DERP map, and their addresses."""
import ipaddress
import socket

from ua_overlay.errors import OverlayError
from ua_overlay.system.deadline import call_within
from ua_overlay.trust import certificate as certificates

#: Seconds for a name server to answer while a person waits.
RESOLVE_TIMEOUT = 5.0


def servers_of(ca_pem):
    """DNS names and addresses (text) of a site's servers, sorted, as its CA says: its name constraints, or the names of
    a certificate that was imported instead of a CA.

    :param ca_pem: PEM text of one or more certificates.
    :raises CertificateError: as certificate.load_certificates.
    """
    found = set()
    for each in certificates.load_certificates(ca_pem, 'the CA'):
        for text in certificates.permitted(each) or sum(certificates.names_of(each), []):
            if '/' not in text:
                found.add(text)
            elif ipaddress.ip_network(text).num_addresses == 1:
                found.add(text.split('/')[0])
    # A name for many hosts, with a star or a leading dot, is the name of none.
    return sorted(name for name in found if not name.startswith(('*', '.')))


def servers_now(derp_map, ca_file):
    """Names and addresses of the site's servers: those of the CA, and those of the relays that the server names.

    :param derp_map: tailcfg.DERPMap (dict), None while there is none: then those of the CA are left.
    """
    found = []
    try:
        with open(ca_file, encoding='ascii') as stream:
            found += servers_of(stream.read())
    except (OSError, ValueError, OverlayError):
        pass  # the daemon's own map is left, and the rules of the file
    return found + derp_servers(derp_map)


def derp_servers(derp_map):
    """Names and addresses in a tailcfg.DERPMap (dict, or None)."""
    nodes = [node for region in ((derp_map or {}).get('Regions') or {}).values() for node in region.get('Nodes') or ()]
    return [node[field] for node in nodes for field in ('HostName', 'IPv4', 'IPv6') if node.get(field) not in (
        None, '', 'none')]


def remembered(derp_map):
    """A function() -> the last map that ``derp_map`` returned, None before the first; it does not raise.

    A tailscaled that starts again has none until it has heard of its server, and looks for its DERP at once then.
    """
    known = [None]

    def latest():
        try:
            known[0] = derp_map() or known[0]
        except OverlayError:
            pass  # it is down
        return known[0]

    return latest


def resolve(name):
    """Addresses (text) of a DNS name or of an address.

    :raises OSError: it has none, or no name server answers.
    """
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [each[4][0].split('%')[0] for each in found]


def resolve_soon(name, timeout=RESOLVE_TIMEOUT):
    """:func:`resolve` within a time. :raises OSError: as there, and TimeoutError when no name server answers."""
    return call_within(timeout, lambda: resolve(name))
