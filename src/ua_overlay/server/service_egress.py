"""The egress rule of a server, relay or DERP: the machines to which it may connect, its keeper, and its state."""
import ipaddress
from typing import Callable, Iterable, List, NamedTuple, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress_keeper, egress_table
from ua_overlay.firewall.egress_addresses import addresses_of, installed_kind
from ua_overlay.firewall.egress_keeper import EgressKeeper
from ua_overlay.protocols import JsonObject, Say, Stop
from ua_overlay.relays.remote_host import RemoteHost
from ua_overlay.server import service
from ua_overlay.server.service import Service
from ua_overlay.site import last_good
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.trust import names
from ua_overlay.trust.servers import derp_servers, remembered, resolve, resolve_soon, servers_of

#: Seconds between two readings of the site's file, which commands may change.
PERIOD = 10.0

#: () -> the last tailcfg.DERPMap of a relay's tailscaled, None before the first.
DerpMap = Callable[[], Optional[JsonObject]]


class RuleState(NamedTuple):
    """The state of a service's egress rule, for people."""

    #: None if unknown.
    ok: Optional[bool]
    text: str
    next_command: str


def servers(served: Service, directory: str, derp_map: Optional[DerpMap] = None) -> List[str]:
    """Return the names and addresses to which a service may connect, in addition to its own machine.

    :param served: service.SERVER, RELAY or DERP.
    :param directory: of the site, or of the relay or DERP.
    :param derp_map: of a relay; None asks its tailscaled.
    :raises OverlayError: the directory holds no valid settings.
    """
    if served is service.SERVER:
        settings = last_good.load(directory)[0].settings
        # If ports are forwarded, the public addresses belong to another machine.
        return list(settings.addresses) + [host.address for host in settings.derp]
    remote_host = RemoteHost(directory, served.kind)
    found = servers_of(remote_host.load().ca_pem)
    if served is service.RELAY:
        found += derp_servers((derp_map or relay_map(remote_host))())
    return found


def questions(served: Service, directory: str, derp_map: Optional[DerpMap] = None) -> List[str]:
    """Return the DNS names that a service may resolve: those of the site's servers.

    :raises OverlayError: the directory holds no valid settings.
    """
    if served is service.SERVER:
        settings = last_good.load(directory)[0].settings
        return [settings.name] + [host.host_name(settings.name) for host in settings.derp]
    return names_among(servers(served, directory, derp_map), RemoteHost(directory, served.kind).load().server_url)


def names_among(found: Iterable[str], server_url: str) -> List[str]:
    """Return the DNS names among ``found``, and the server's, which a certificate made elsewhere may have as a pattern
    only. Pure."""
    return sorted(name for name in set(found) | {names.parse_server_url(server_url).host} if not _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def relay_map(remote_host: RemoteHost) -> DerpMap:
    """Return the DerpMap of a relay's own tailscaled."""
    return remembered(LocalApi(remote_host.path('run', 'tailscaled.sock'), timeout=2.0).derp_map)


def keep(served: Service, directory: str, user: str, stop: Stop, say: Say) -> None:
    """Reconcile the egress rule of a service until ``stop`` is set.

    :param user: the user who runs the service.
    """
    derp_map = relay_map(RemoteHost(directory, served.kind)) if served is service.RELAY else None
    egress_keeper.keep(served.egress, lambda: servers(served, directory, derp_map), resolve, stop, say, user,
                       PERIOD if served is service.SERVER else EgressKeeper.PERIOD, derp_map,
                       questions=lambda: questions(served, directory, derp_map))


def rule_state(served: Service, directory: str) -> Optional[RuleState]:
    """Return the state of a service's egress rule, None if the service is not installed."""
    if not service.applier(served=served).applied():
        return None
    which = served.egress
    if not installed_kind(which):
        return RuleState(None, 'there is none (--no-egress)', 'sudo {}'.format(which.command))
    table_state = egress_table.inspect(which)
    if table_state.state == egress_table.UNREADABLE:
        return RuleState(None, 'unknown: {}'.format(table_state.why.rstrip('.')), table_state.next_command)
    try:
        addresses, complete = addresses_of(servers(served, directory), resolve_soon)
    except OverlayError as error:
        return RuleState(None, 'whether its addresses are right is unknown: {}'.format(error.sentence.rstrip('.')),
                         error.next_command)
    problems = egress_table.find_problems(table_state, sorted(addresses), complete)
    if problems:
        return RuleState(False, ' '.join(problems).rstrip('.'), 'sudo systemctl restart {}'.format(which.keeper))
    return RuleState(True, 'in force for {}'.format(', '.join(table_state.addresses) or 'no other machine'), '')
