"""Check of the rule that nothing leaves the site, on a robot that was prepared."""
import os

from ua_overlay.checks import facts as seen
from ua_overlay.checks.finding import error, ok, unknown, warn
from ua_overlay.firewall import egress as rules
from ua_overlay.firewall import egress_table
from ua_overlay.tailscale.prepare import MANIFEST
from ua_overlay.trust.servers import remembered, resolve_soon, servers_now

WHY = 'While the site\'s server is away, tailscaled asks hosts of its vendor for its address; nothing else stops it.'


def egress(facts):
    """The rule that nothing leaves the site is in force, for the addresses that the site has."""
    found = facts.egress
    if found is None:
        return None
    if not found.set_up:
        return warn('This robot was prepared without the rule that nothing leaves the site.', WHY,
                    'sudo ua-overlay robot prepare --user "$USER"')
    sight = found.sight
    if sight.state == egress_table.UNREADABLE:
        return unknown('Whether the rule that nothing leaves the site is in force cannot be told: {}'.format(
            sight.why), '', sight.mend)
    flaws = egress_table.flaws(sight, found.addresses, found.complete)
    if flaws:
        if sight.state == egress_table.IN_FORCE:
            return error(' '.join(flaws), 'The operator service keeps its addresses; it seems not to run.',
                         'systemctl status {}'.format(rules.ROBOT.keeper))
        return error(' '.join(flaws), WHY, 'sudo nft -f {}'.format(rules.ROBOT.rules))
    return ok('tailscaled connects to {} and to other robots only.'.format(', '.join(sight.addresses) or 'nobody'))


def look_at_egress(api, ca_file, manifest=MANIFEST, look=egress_table.look, resolve=resolve_soon):
    """facts.Egress of this robot, None when it was not prepared: then nobody promised anything.

    :param api: localapi.LocalApi.
    """
    if not os.path.exists(manifest):
        return None
    if not os.path.exists(rules.ROBOT.rules):
        return seen.Egress(False)
    sight = look(rules.ROBOT)
    if sight.state != egress_table.IN_FORCE:
        return seen.Egress(True, sight)
    # Without tailscaled's map nobody here knows of the site's further hosts.
    derp_map = remembered(api.derp_map)()
    addresses, complete = set(), bool(derp_map)
    for name in servers_now(derp_map, ca_file):
        try:
            addresses.update(resolve(name))
        except OSError:
            complete = False
    return seen.Egress(True, sight, tuple(sorted(addresses)), complete)
