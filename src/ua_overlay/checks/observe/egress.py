"""Observe the egress rule of this robot in the kernel."""
import os
from typing import Callable, Iterable, Optional, Set

from ua_overlay.checks.facts import Egress
from ua_overlay.firewall import egress as rules
from ua_overlay.firewall import egress_table
from ua_overlay.firewall.egress_addresses import installed_kind, installed_settings, proxy_hosts
from ua_overlay.firewall.egress_table import TableState
from ua_overlay.protocols import Environ
from ua_overlay.tailscale.api import ObserverApi
from ua_overlay.tailscale.daemon_proxy import proxies_of, read_environment
from ua_overlay.tailscale.prepare import MANIFEST
from ua_overlay.trust.servers import remembered, resolve_soon, servers_now


def observe_egress(api: ObserverApi, ca_file: str, manifest: str = MANIFEST,
                   inspect: Callable[[rules.Egress], TableState] = egress_table.inspect,
                   resolve: Callable[[str], Iterable[str]] = resolve_soon,
                   environment: Callable[[], Environ] = read_environment) -> Optional[Egress]:
    """Return the state of the rule, None on a robot that was not prepared, which needs no rule.

    :param manifest: path of the manifest of `robot prepare`.
    :param environment: () -> tailscaled's environment, as far as this user may know it.
    :param resolve: DNS name or address -> addresses; raises OSError.
    """
    if not os.path.exists(manifest):
        return None
    if not installed_kind(rules.ROBOT):
        return Egress(False)
    settings = installed_settings(rules.ROBOT)
    known = settings.proxies if settings else ()
    other = tuple(url for url in proxies_of(environment()) if settings and url not in known)
    state = inspect(rules.ROBOT)
    if state.state != egress_table.IN_FORCE:
        return Egress(True, state, other_proxies=other)
    # Only tailscaled's DERP map has the site's remote hosts.
    derp_map = remembered(api.derp_map)()
    addresses: Set[str] = set()
    complete = bool(derp_map)
    for name in servers_now(derp_map, ca_file) + (proxy_hosts(settings) if settings else []):
        try:
            addresses.update(resolve(name))
        except OSError:
            complete = False
    return Egress(True, state, tuple(sorted(addresses)), complete, other)
