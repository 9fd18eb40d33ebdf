"""Observe the site's server from this robot."""
import time
from dataclasses import replace
from functools import partial
from typing import Callable, Optional, Protocol, Tuple

from ua_overlay.checks.duplicate_identity import strangers
from ua_overlay.checks.facts import Server
from ua_overlay.errors import OverlayError, Problem
from ua_overlay.system import foreign_file
from ua_overlay.tailscale.api import ObserverApi
from ua_overlay.tailscale.daemon_proxy import daemon_proxies
from ua_overlay.tailscale.model import Status, parse_prefs, parse_status, parse_whois
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.names import parse_server_url
from ua_overlay.trust.probe import ServerHealth, check_server
from ua_overlay.trust.verify import verify_node_key

#: (own, on the server): this machine's endpoints according to tailscaled, and according to its network map, as ip:port.
Endpoints = Tuple[Tuple[str, ...], Tuple[str, ...]]
#: (URL, CA as PEM text, node key, seconds) -> whether the server knows the key, None when that is unknown.
VerifyNodeKey = Callable[[str, str, str, float], Optional[bool]]


class CheckServer(Protocol):
    """trust.probe.check_server: raises OverlayError when the site's server does not answer."""

    def __call__(self, url: str, ca_pem: str, timeout: float) -> ServerHealth:
        ...


#: As tailscaled reaches the server: through its proxy, if it has one.
CHECK_SERVER: CheckServer = partial(check_server, proxies=daemon_proxies)
VERIFY_NODE_KEY: VerifyNodeKey = partial(verify_node_key, proxies=daemon_proxies)


def key_in_use(status: Status) -> str:
    """Return the public node key in use, which the server should know; '' without one."""
    return status.self_node.public_key if status.running else ''


def endpoints_of(api: ObserverApi) -> Endpoints:
    """Return the endpoints of this robot; both are () while unknown."""
    try:
        own = parse_status(api.status(peers=False)).self_node
        if not own.online or not own.addresses:
            return (), ()
        return own.endpoints, parse_whois(api.whois(own.addresses[0])).endpoints
    except OverlayError:
        return (), ()


def proxy_of(url: str) -> str:
    """Return the URL of tailscaled's proxy for a server, '' without one."""
    try:
        server = parse_server_url(url)
    except ValueError:
        return ''
    proxy = daemon_proxies(server.host, server.port)
    return proxy.url if proxy else ''


def probe_server(url: str, ca_file: str, timeout: float, check: CheckServer = CHECK_SERVER, node_key: str = '',
                 verify: VerifyNodeKey = VERIFY_NODE_KEY) -> Server:
    """Probe the server at ``url`` with the CA in ``ca_file``; network errors become part of the result.

    :param url: '' if this robot is in no network; then do nothing.
    :param timeout: seconds.
    :param node_key: this robot's; with '' skip the query whether the server knows it.
    """
    if not url:
        return Server()
    view = Server(url, proxy=proxy_of(url))
    try:
        ca_pem = foreign_file.read_text(ca_file, encoding='ascii')
        authorities = certificates.load_certificates(ca_pem, ca_file)
        view = replace(view, ca_not_after=max(certificates.not_after(item).timestamp() for item in authorities))
        health = check(url, ca_pem, timeout=timeout)
        if node_key:
            view = replace(view, key_known=verify(url, ca_pem, node_key, timeout))
    except OverlayError as error:
        return replace(view, problem=error.problem())
    except OSError as error:
        return replace(view, problem=Problem(
            'NOT_PREPARED', 'The CA of the site cannot be read from {}: {}.'.format(ca_file, error.strerror),
            'sudo ua-overlay robot prepare --invitation FILE --user "$USER"'))
    return replace(view, clock_offset=health.clock_offset, not_after=health.not_after.timestamp())


def observe_server(api: ObserverApi, ca_file: str, patience: float) -> Server:
    """Get the server's URL from tailscaled, probe the server, and compare the endpoints of this robot.

    :param patience: seconds for each step.
    """
    try:
        status = parse_status(api.status(peers=False))
        if not status.have_node_key:
            return Server()
        url = parse_prefs(api.prefs()).control_url
    except OverlayError as error:
        return Server(problem=error.problem())
    view = probe_server(url, ca_file, patience, node_key=key_in_use(status))
    if view.problem is not None or not key_in_use(status):
        return view
    others = strangers(*endpoints_of(api))
    if others:
        # The network map follows this machine's endpoints within one or two seconds, and they may have just changed.
        time.sleep(patience)
        others = strangers(*endpoints_of(api))
    return replace(view, strangers=others)
