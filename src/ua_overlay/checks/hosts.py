"""Find the machine that the host of a URI refers to, for the checks of names and of environments. Pure."""
from typing import Iterable, Optional, Set, Tuple
from urllib.parse import urlsplit

from ua_overlay.digits import is_number
from ua_overlay.rosenv.team import Node, dns_name, ipv4
from ua_overlay.system.interfaces import in_overlay
from ua_overlay.tailscale.model import Status

LOCAL = ('localhost', '127.0.0.1', '127.0.1.1', '::1')


def host_of(uri: str) -> str:
    """Return the host of a URI in lower case, '' for one without a host and for an invalid URI."""
    try:
        return (urlsplit(uri).hostname or '').rstrip('.')
    except ValueError:
        return ''


def port_of(uri: str) -> int:
    """Return the port of a URI, 0 when there is none."""
    tail = uri.rstrip('/').rpartition(':')[2]
    return int(tail) if is_number(tail, 5) and int(tail) < 65536 else 0


def is_loopback(host: str) -> bool:
    return host in LOCAL or host.startswith('127.')


def full_names(nodes: Iterable[Node]) -> Set[str]:
    """Return the names and addresses of ``nodes`` that every robot of the overlay can resolve."""
    return {value for node in nodes for value in (dns_name(node).lower(), ipv4(node)) if value}


def short_names(nodes: Iterable[Node]) -> Set[str]:
    """Return the first labels, which resolve only where the search domain is set."""
    return {node.name.lower() for node in nodes if node.name}


def overlay_nodes(status: Optional[Status]) -> Tuple[Node, ...]:
    """Return this robot and its peers, () when tailscaled does not answer."""
    return () if status is None else (status.self_node,) + status.peers


def is_overlay_host(host: str, status: Optional[Status]) -> bool:
    """Return whether ``host`` refers to a machine of the overlay."""
    nodes = overlay_nodes(status)
    suffix = '' if status is None else status.suffix.rstrip('.').lower()
    return (in_overlay(host) or host in full_names(nodes) or host in short_names(nodes)
            or bool(suffix) and host.endswith('.' + suffix))
