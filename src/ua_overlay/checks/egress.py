"""Check the egress rule of a prepared robot, which keeps tailscaled's traffic inside the site. Pure."""
from ua_overlay.advice import command
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdicts, error, listed, ok, unknown, warn
from ua_overlay.firewall import egress as rules
from ua_overlay.firewall import egress_table

WHY = 'While the site\'s server is away, tailscaled asks its vendor\'s hosts for its address; only the rule stops that.'


def egress(facts: Facts) -> Verdicts:
    """The egress rule is in force, for the addresses of the site."""
    view = facts.egress
    if view is None:
        return None
    state = view.table_state
    if not view.set_up or state is None:
        return warn('This robot was prepared without the egress rule, by which nothing leaves the site.', WHY,
                    'sudo ua-overlay robot prepare --user "$USER"   # if the kernel has nftables or iptables')
    if view.other_proxies:
        return error('tailscaled uses the proxy {}, which the egress rule blocks.'.format(
            listed(view.other_proxies)), 'It was set after `robot prepare` read the settings of tailscaled.',
            'sudo ua-overlay robot prepare --user "$USER"')
    if state.state == egress_table.UNREADABLE:
        return unknown('Whether the egress rule is in force cannot be seen: {}'.format(state.why), '',
                       state.next_command)
    problems = egress_table.find_problems(state, view.addresses, view.complete)
    if problems:
        if state.state == egress_table.IN_FORCE:
            return error(' '.join(problems), 'The agent keeps its addresses; it seems not to run.',
                         command('systemctl status {}', rules.ROBOT.keeper))
        return error(' '.join(problems), WHY, state.next_command)
    return ok('tailscaled connects only to {} and to other robots.'.format(', '.join(state.addresses) or 'nothing'))
