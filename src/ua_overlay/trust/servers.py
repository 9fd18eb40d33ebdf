"""Find the servers of a site (in its CA and its DERP map), and their addresses."""
import errno
import ipaddress
import socket
from typing import Any, Callable, List, Optional, Set

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import JsonObject
from ua_overlay.system import foreign_file
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
            elif _is_one_address(text):
                servers.add(text.split('/')[0])
    # A name with a star or a leading dot matches many hosts, and cannot be resolved.
    return sorted(name for name in servers if not name.startswith(('*', '.')))


def _is_one_address(text: str) -> bool:
    """Return whether a network has one address; False for a name with a slash, which no resolver knows."""
    try:
        return ipaddress.ip_network(text).num_addresses == 1
    except ValueError:
        return False


def servers_now(derp_map: DerpMap, ca_file: str) -> List[str]:
    """Return names and addresses of the site's servers: those in the CA file and those of the DERP map.

    A CA file that cannot be read adds none.
    """
    servers: List[str] = []
    try:
        servers += servers_of(foreign_file.read_text(ca_file, certificates.MAX_PEM_BYTES))
    except (OSError, OverlayError):
        pass  # the DERP map is left, and the addresses in the file of the egress rule
    return servers + derp_servers(derp_map)


def derp_servers(derp_map: DerpMap) -> List[str]:
    """Return names and addresses in a DERP map; parts of another shape add none."""
    regions = _values(derp_map, 'Regions')
    nodes = [node for region in (regions.values() if isinstance(regions, dict) else ())
             for node in _values(region, 'Nodes') or () if isinstance(node, dict)]
    found = [node.get(field) for node in nodes for field in ('HostName', 'IPv4', 'IPv6')]
    return [text for text in found if isinstance(text, str) and text not in ('', 'none')]


def _values(value: Any, field: str) -> Any:
    """Return a list or mapping in a field of a JSON object; None if there is neither."""
    inside = value.get(field) if isinstance(value, dict) else None
    return inside if isinstance(inside, (dict, list)) else None


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
        pass
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except ValueError:  # a label of more than 63 characters, or a NUL: Python's own encoder refuses it
        raise OSError(errno.EINVAL, 'Not a DNS name') from None
    return [str(answer[4][0]).split('%')[0] for answer in answers]


def resolve_soon(name: str, timeout: float = RESOLVE_TIMEOUT) -> List[str]:
    """:func:`resolve` within ``timeout`` seconds.

    :raises OSError: see :func:`resolve`; a TimeoutError when no name server answers.
    """
    return call_within(timeout, lambda: resolve(name))
