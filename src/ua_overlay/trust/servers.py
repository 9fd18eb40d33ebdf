"""Find the servers of a site (in its CA and its DERP map), and their addresses."""
import ipaddress
import socket
from typing import Callable, List, Optional, Set

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import JsonObject
from ua_overlay.system.deadline import call_within
from ua_overlay.trust import certificate as certificates

#: Seconds to wait for a name server while a person waits.
RESOLVE_TIMEOUT = 5.0

#: tailcfg.DERPMap; None while there is none.
DerpMap = Optional[JsonObject]


def servers_of(ca_pem: str) -> List[str]:
    """Return the DNS names and addresses of a site's servers that are in its CA, sorted.

    They are in its name constraints, or in the names of a certificate that was imported instead of a CA.

    :param ca_pem: PEM text of one or more certificates.
    :raises CertificateError: see certificate.load_certificates.
    """
    servers: Set[str] = set()
    for each in certificates.load_certificates(ca_pem, 'the CA'):
        dns_names, addresses = certificates.names_of(each)
        for text in certificates.permitted(each) or dns_names + addresses:
            if '/' not in text:
                servers.add(text)
            elif ipaddress.ip_network(text).num_addresses == 1:
                servers.add(text.split('/')[0])
    # A name with a star or a leading dot matches many hosts, and cannot be resolved.
    return sorted(name for name in servers if not name.startswith(('*', '.')))


def servers_now(derp_map: DerpMap, ca_file: str) -> List[str]:
    """Return names and addresses of the site's servers: those in the CA file and those of the DERP map.

    A CA file that cannot be read adds none.
    """
    servers: List[str] = []
    try:
        with open(ca_file, encoding='ascii') as stream:
            servers += servers_of(stream.read())
    except (OSError, ValueError, OverlayError):
        pass  # the DERP map is left, and the addresses in the file of the egress rule
    return servers + derp_servers(derp_map)


def derp_servers(derp_map: DerpMap) -> List[str]:
    """Return names and addresses in a DERP map."""
    nodes = [node for region in ((derp_map or {}).get('Regions') or {}).values() for node in region.get('Nodes') or ()]
    return [node[field] for node in nodes for field in ('HostName', 'IPv4', 'IPv6') if node.get(field) not in (
        None, '', 'none')]


def remembered(derp_map: Callable[[], DerpMap]) -> Callable[[], DerpMap]:
    """Return a function that returns the last map that ``derp_map`` returned, None before the first; it never raises.

    A restarted tailscaled has no map until it has reached its server, and then it connects to its DERP at once.
    """
    last: List[DerpMap] = [None]

    def latest() -> DerpMap:
        try:
            last[0] = derp_map() or last[0]
        except OverlayError:
            pass  # it is down
        return last[0]

    return latest


def resolve(name: str) -> List[str]:
    """Return the addresses of a DNS name, or of an address.

    :raises OSError: it has none, or no name server answers.
    """
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [str(answer[4][0]).split('%')[0] for answer in answers]


def resolve_soon(name: str, timeout: float = RESOLVE_TIMEOUT) -> List[str]:
    """:func:`resolve` within ``timeout`` seconds.

    :raises OSError: see :func:`resolve`; a TimeoutError when no name server answers.
    """
    return call_within(timeout, lambda: resolve(name))
