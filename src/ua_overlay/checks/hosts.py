"""Whose host is it in a URI? What the checks of names and of environments share. Pure."""
from urllib.parse import urlsplit

from ua_overlay.rosenv.team import dns_name, ipv4
from ua_overlay.system.interfaces import in_overlay

LOCAL = ('localhost', '127.0.0.1', '127.0.1.1', '::1')


def host_of(uri):
    """The host of a URI in lower case, '' when there is none or it is no URI."""
    try:
        return (urlsplit(uri).hostname or '').rstrip('.')
    except ValueError:
        return ''


def is_loopback(host):
    return host in LOCAL or host.startswith('127.')


def full_names(nodes):
    """Names and addresses under which every robot of the overlay finds ``nodes``, as a set."""
    found = set()
    for node in nodes:
        found.update(value for value in (dns_name(node).lower(), ipv4(node)) if value)
    return found


def short_names(nodes):
    """First labels: resolve where the search domain is set, and nowhere else."""
    return {node.name.lower() for node in nodes if node.name}


def overlay_nodes(status):
    """This robot and its peers, () when tailscaled does not answer."""
    if status is None:
        return ()
    return (status.self_node,) + tuple(status.peers or ())


def is_overlay_host(host, status):
    """``host`` means a machine of the overlay."""
    nodes = overlay_nodes(status)
    suffix = (getattr(status, 'suffix', '') or '').rstrip('.').lower()
    return (in_overlay(host) or host in full_names(nodes) or host in short_names(nodes)
            or bool(suffix) and host.endswith('.' + suffix))
