"""Detect two machines with one identity, as after copying an SD card. Pure.

Every tailscaled reports its endpoints to the server, and the server sends them back within a second of a change
(measured). Two tailscaleds with one key overwrite each other's report: the first one then receives only endpoints that
it does not have.
"""
from typing import Collection, Tuple

from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdicts, ok, warn


def strangers(own: Collection[str], on_server: Collection[str]) -> Tuple[str, ...]:
    """Return ``on_server``, sorted, if all these endpoints belong to another machine, else ().

    A common endpoint does not prove that it is the same machine: private addresses repeat behind NATs. But no common
    endpoint, more than a second after a change, proves that it is another machine.

    :param own: endpoints (ip:port) that this tailscaled reports.
    :param on_server: endpoints of this robot in the network map.
    """
    return tuple(sorted(on_server)) if own and on_server and not set(own) & set(on_server) else ()


def duplicate_identity(facts: Facts) -> Verdicts:
    """No other machine uses the identity of this robot."""
    if facts.network is None or facts.server is None or facts.server.strangers is None:
        return None
    name = facts.network.self_node.name
    if not facts.server.strangers:
        return ok('The server knows {} at this machine\'s own endpoints.'.format(name))
    return warn('Another machine seems to use the identity of {}: the server has the endpoints {}, and none of them is '
                'this machine\'s.'.format(name, ', '.join(facts.server.strangers[:3])),
                'A copied SD card or disk has the keys too; the two take packets from each other.',
                # The server has the endpoints of the copy until this machine reports its own again.
                'ua-overlay leave --new-identity   # on the copy; then here: ua-overlay leave; ua-overlay join')
