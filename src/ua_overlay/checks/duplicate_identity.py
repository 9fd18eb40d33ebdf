"""Two machines with one identity: a copied SD card. Pure.

Every tailscaled tells the server where it can be reached (its endpoints), and the server tells them back to it within a
second of a change (measured). Two tailscaleds with one key overwrite each other there: the one that spoke first then
hears endpoints of which it has none.
"""
from ua_overlay.checks.finding import ok, warn


def strangers(own, on_server):
    """Those of ``on_server`` when they are another machine's: not one is this machine's own. Else ().

    One that is shared proves nothing against it: private addresses repeat behind NATs. None that is shared proves it,
    once the server had the second that it takes.

    :param own: endpoints (ip:port) that this tailscaled has found.
    :param told: endpoints that the network map has of this robot.
    """
    return tuple(sorted(on_server)) if own and on_server and not set(own) & set(on_server) else ()


def duplicate_identity(facts):
    """No other machine uses the identity of this robot."""
    if not facts.running or facts.server is None or facts.server.strangers is None:
        return None
    name = facts.status.self_node.name
    if not facts.server.strangers:
        return ok('The server knows {} at this machine\'s own endpoints.'.format(name))
    return warn('Another machine seems to use the identity of {}: the server was told of {}, and this machine has '
                'none of these.'.format(name, ', '.join(facts.server.strangers[:3])),
                'A copied SD card or disk has the keys too; the two take packets from each other.',
                'on the copy: ua-overlay leave --forget; on the server: ua-overlay robot remove {0}, and an invitation '
                'for each machine'.format(name))
