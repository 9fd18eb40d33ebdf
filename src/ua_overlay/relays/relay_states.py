"""List the peer relays of a site and their states. Pure."""
from typing import Any, Dict, Iterable, List

from ua_overlay import defaults
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.protocols import JsonObject


def relay_states(report: JsonObject, settings: SiteSettings, nodes: Iterable[Node]) -> List[Dict[str, Any]]:
    """Return one row for each relay: `name`, `port`, `ok`, `state`, and for a remote one `address`.

    :param report: the running server's report of its relay (RelayKeeper.report).
    """
    rows: List[Dict[str, Any]] = [dict(report, name='site', port=settings.relay_port)]
    online = {node.requested_name: node.online for node in nodes if node.tags == (defaults.RELAY_TAG,)}
    for host in settings.relays:
        connected = online.get(host.host_name)
        rows.append({'name': host.name, 'address': host.address, 'port': host.port, 'ok': bool(connected),
                     'state': 'never joined' if connected is None else 'up' if connected else 'offline'})
    return rows
