"""Check of the rule that nothing leaves the site, on a robot that was prepared."""
import os

from ua_overlay.checks import facts as fact_types
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
    table_state = found.table_state
    if table_state.state == egress_table.UNREADABLE:
        return unknown('Whether the rule that nothing leaves the site is in force cannot be told: {}'.format(
            table_state.why), '', table_state.next_command)
    problems = egress_table.find_problems(table_state, found.addresses, found.complete)
    if problems:
        if table_state.state == egress_table.IN_FORCE:
            return error(' '.join(problems), 'The agent keeps its addresses; it seems not to run.',
                         'systemctl status {}'.format(rules.ROBOT.keeper))
        return error(' '.join(problems), WHY, 'sudo nft -f {}'.format(rules.ROBOT.rules))
    return ok('tailscaled connects to {} and to other robots only.'.format(
        ', '.join(table_state.addresses) or 'nobody'))


def observe_egress(api, ca_file, manifest=MANIFEST, inspect=egress_table.inspect, resolve=resolve_soon):
    """facts.Egress of this robot, None when it was not prepared: then nobody promised anything.

    :param api: localapi.LocalApi.
    """
    if not os.path.exists(manifest):
        return None
    if not os.path.exists(rules.ROBOT.rules):
        return fact_types.Egress(False)
    table_state = inspect(rules.ROBOT)
    if table_state.state != egress_table.IN_FORCE:
        return fact_types.Egress(True, table_state)
    # Without tailscaled's map nobody here knows of the site's remote hosts.
    derp_map = remembered(api.derp_map)()
    addresses, complete = set(), bool(derp_map)
    for name in servers_now(derp_map, ca_file):
        try:
            addresses.update(resolve(name))
        except OSError:
            complete = False
    return fact_types.Egress(True, table_state, tuple(sorted(addresses)), complete)
