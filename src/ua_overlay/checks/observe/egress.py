"""Observe the egress rule of this robot in the kernel."""
import os
from typing import Callable, Iterable, Optional, Set

from ua_overlay.checks.facts import Egress
from ua_overlay.firewall import egress as rules
from ua_overlay.firewall import egress_table
from ua_overlay.firewall.egress_addresses import installed_kind, installed_settings, proxy_hosts
from ua_overlay.firewall.egress_table import TableState
from ua_overlay.tailscale.api import ObserverApi
from ua_overlay.tailscale.prepare import MANIFEST
from ua_overlay.trust.servers import remembered, resolve_soon, servers_now


def observe_egress(api: ObserverApi, ca_file: str, manifest: str = MANIFEST,
                   inspect: Callable[[rules.Egress], TableState] = egress_table.inspect,
                   resolve: Callable[[str], Iterable[str]] = resolve_soon) -> Optional[Egress]:
    """Return the state of the rule, None on a robot that was not prepared, which needs no rule.

    :param manifest: path of the manifest of `robot prepare`.
    :param resolve: DNS name or address -> addresses; raises OSError.
    """
    if not os.path.exists(manifest):
        return None
    if not installed_kind(rules.ROBOT):
        return Egress(False)
    state = inspect(rules.ROBOT)
    if state.state != egress_table.IN_FORCE:
        return Egress(True, state)
    # Only tailscaled's DERP map has the site's remote hosts.
    derp_map = remembered(api.derp_map)()
    addresses: Set[str] = set()
    complete = bool(derp_map)
    settings = installed_settings(rules.ROBOT)
    for name in servers_now(derp_map, ca_file) + (proxy_hosts(settings) if settings else []):
        try:
            addresses.update(resolve(name))
        except OSError:
            complete = False
    return Egress(True, state, tuple(sorted(addresses)), complete)
