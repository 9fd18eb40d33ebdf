"""The egress rule: the machines to which tailscaled itself may connect. An nftables table as text, and its recipe.
Pure.

Its addresses come from egress_addresses.py; egress_table.py reads the rule back; egress_keeper.py reconciles it.

A tailscaled that cannot reach its server fast enough asks hosts of its vendor for the server's address (tailscale's
net/dnsfallback: addresses in the program, TCP 443), and no option disables that. So the rule limits the connections
that tailscaled opens, TCP and everything else, to the site's servers. UDP stays open, because it carries the links
between robots, whose addresses are not known in advance. So does TCP to port 53, because tailscaled forwards the
robot's DNS queries to the resolver of the local network.

The rule recognizes tailscaled's packets by the mark that tailscaled sets on its sockets as root, to keep them out of
its own interface (tsconst.LinuxBypassMark). A server's tailscaled has no interface and sets no mark; it runs as its
own user, and the rule recognizes that user.

The rule matches only packets that open a connection (SYN without ACK), so the answers of a server to its clients always
pass.
"""
import ipaddress
import json
import re
from typing import Iterable, List, NamedTuple, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.system.recipe import Command, File
from ua_overlay.system.rules_unit import rules_unit
from ua_overlay.system.units import UNIT_DIR, daemon_reload, unit_commands


class Egress(NamedTuple):
    """The names and files of one egress rule."""

    #: Name of the nftables table, of the family inet.
    table: str
    #: Path of the file with its rules.
    rules: str
    #: Name of the unit that loads the rules.
    unit: str
    #: Name of the unit that the rule is for.
    service: str
    #: The command that installs the rule.
    command: str
    #: Name of the unit that keeps it in force.
    keeper: str


ROBOT = Egress('ua_overlay_egress', defaults.CONFIG_DIR + '/egress.nft', 'ua-overlay-egress.service',
               'tailscaled.service', 'ua-overlay robot prepare', 'ua-overlay-agent.service')
#: Separate tables, because one machine can be a robot and a server.
SERVER = Egress('ua_overlay_server_egress', defaults.CONFIG_DIR + '/server_egress.nft',
                'ua-overlay-server-egress.service', 'ua-overlay-server.service', 'ua-overlay server service install',
                'ua-overlay-server-egress-keeper.service')
RELAY, DERP = (
    Egress('ua_overlay_{}_egress'.format(kind), '{}/{}_egress.nft'.format(defaults.CONFIG_DIR, kind),
           'ua-overlay-{}-egress.service'.format(kind), 'ua-overlay-{}.service'.format(kind),
           'ua-overlay {} service install'.format(kind), 'ua-overlay-{}-egress-keeper.service'.format(kind))
    for kind in ('relay', 'derp'))

_SETTINGS = '# addresses: '
#: tsconst.LinuxBypassMark and its mask.
MARK, MARK_MASK = 0x00080000, 0x00ff0000
_MARKED = 'meta mark & 0x{:08x} != 0x{:08x} return'.format(MARK_MASK, MARK)
_USER = re.compile(r'meta skuid != "([^"]+)" return')
_RULES = '''\
# Written by `{command}`.
{settings}
# One transaction: whatever was in the table is replaced, nothing outside it is touched.
add table inet {table}
delete table inet {table}
table inet {table} {{
    set site4 {{
        type ipv4_addr
{elements4}    }}
    set site6 {{
        type ipv6_addr
{elements6}    }}
    counter refused {{ }}
    chain output {{
        type filter hook output priority 0; policy accept;
        {whose}
        oifname "lo" return
        oifname "{interface}" return
        meta l4proto udp return
        tcp dport 53 return
        ip daddr @site4 return
        ip6 daddr @site6 return
        fib daddr type local return
        tcp flags & (fin | syn | rst | ack) == syn counter name "refused" reject with tcp reset
        meta l4proto != {{ tcp, icmpv6 }} counter name "refused" reject
    }}
}}
'''
#: Number of rules in the chain.
RULES = _RULES.split('policy accept;')[1].count('\n        ')


def ruleset(which: Egress, addresses: Iterable[str], user: Optional[str] = None) -> str:
    """Return the rules as input of `nft -f`. Loading them twice has the same effect as once.

    :param which: ROBOT, SERVER, RELAY or DERP.
    :param addresses: of the site's servers.
    :param user: name of the user who runs a server; None for tailscaled's marked packets.
    :raises UsageError: as :func:`split`.
    """
    v4, v6 = split(addresses)
    return _RULES.format(
        command=which.command, settings=_SETTINGS + json.dumps(v4 + v6), table=which.table,
        interface=defaults.INTERFACE, elements4=_elements(v4), elements6=_elements(v6),
        whose='meta skuid != "{}" return'.format(user) if user else _MARKED)


def split(addresses: Iterable[str]) -> Tuple[List[str], List[str]]:
    """Return (IPv4 addresses, IPv6 addresses): sorted, each once.

    :raises UsageError: one of them is no address.
    """
    try:
        parsed = {ipaddress.ip_address(address) for address in addresses}
    except ValueError as error:
        raise UsageError('A server of the site cannot have the address {}.'.format(error), 'ua-overlay status')
    v4 = sorted(each for each in parsed if isinstance(each, ipaddress.IPv4Address))
    v6 = sorted(each for each in parsed if isinstance(each, ipaddress.IPv6Address))
    return [str(each) for each in v4], [str(each) for each in v6]


def _elements(addresses: List[str]) -> str:
    return '        elements = {{ {} }}\n'.format(', '.join(addresses)) if addresses else ''


def update(which: Egress, addresses: Iterable[str]) -> str:
    """Return input of `nft -f -` that replaces the site's addresses with these, in one transaction."""
    lines = []
    for name, found in zip(('site4', 'site6'), split(addresses)):
        lines.append('flush set inet {} {}'.format(which.table, name))
        if found:
            lines.append('add element inet {} {} {{ {} }}'.format(which.table, name, ', '.join(found)))
    return '\n'.join(lines) + '\n'


def parse_addresses(text: str) -> List[str]:
    """Return the addresses in a text of :func:`ruleset`, [] for any other text."""
    for line in text.split('\n'):
        if line.startswith(_SETTINGS):
            try:
                v4, v6 = split(json.loads(line[len(_SETTINGS):]))
            except (ValueError, TypeError, UsageError):
                return []
            return v4 + v6
    return []


def parse_user(text: str) -> Optional[str]:
    """Return the user whose packets a text of :func:`ruleset` matches, None for tailscaled's marked ones."""
    match = _USER.search(text)
    return match.group(1) if match else None


def delete(which: Egress) -> str:
    """Return the argument of nft that removes the table, if it exists."""
    return 'add table inet {0}; delete table inet {0}'.format(which.table)


def unit_path(which: Egress) -> str:
    return UNIT_DIR + '/' + which.unit


def files(which: Egress, rules: str, nft: str, service_manager: str) -> Tuple[File, ...]:
    """Return the recipe's files.

    :param rules: text of :func:`ruleset`.
    :param nft: absolute path of nft.
    :param service_manager: 'systemd' or 'none'.
    """
    desired: Tuple[File, ...] = (File(which.rules, rules),)
    if service_manager == 'systemd':
        desired += (File(unit_path(which), rules_unit(
            'Egress rule: which machines {} may connect to'.format(which.service), which.command, nft, which.rules,
            delete(which), before=which.service)),)
    return desired


def commands(which: Egress, nft: str, service_manager: str) -> Tuple[Command, ...]:
    """Return the recipe's commands: load the rule now (if it changed or is not loaded) and at each boot."""
    listed = (nft, 'list', 'table', 'inet', which.table)
    load = (Command((nft, '-f', which.rules), (which.rules,), undo=(nft, delete(which))),
            Command((nft, '-f', which.rules), unless=listed))
    if service_manager == 'none':
        return load
    return load + (daemon_reload(unit_path(which)),) + unit_commands(which.unit)
