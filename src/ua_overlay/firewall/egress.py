"""Nothing leaves the site: what tailscaled itself may connect to. A table of nftables' own, as text, and its recipe.

A tailscaled that cannot reach its server, or not fast enough, asks hosts of its vendor for the server's address
(tailscale's net/dnsfallback: addresses in the program, TCP 443), and no switch covers that. So what it opens itself is
limited: TCP and all else to the site's servers alone. UDP stays open, for it carries the links between robots, whose
addresses nobody knows beforehand; so does TCP to port 53, since tailscaled passes the robot's own questions on to the
resolver of the network that it is in.

Whose packets these are is told by the mark that tailscaled sets on its sockets as root, so as not to send them through
its own interface (tsconst.LinuxBypassMark), or, for servers, which run as a user of their own and set no mark
(a tailscaled without an interface never does), by that user.

Only what opens a connection is looked at (SYN without ACK): answers of a server to its clients never look like that.
"""
import ipaddress
import json
import re
from collections import namedtuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system.recipe import Command, File
from ua_overlay.system.rules_unit import rules_unit
from ua_overlay.system.units import UNIT_DIR, daemon_reload, unit_commands

#: What belongs to one rule: ``table`` of nftables, the file of its ``rules``, its ``unit`` (name), the ``service`` that
#: it is for, the ``command`` that writes it, and the unit that is its ``keeper``.
Egress = namedtuple('Egress', 'table rules unit service command keeper')
ROBOT = Egress('ua_overlay_egress', defaults.CONFIG_DIR + '/egress.nft', 'ua-overlay-egress.service',
               'tailscaled.service', 'ua-overlay robot prepare', 'ua-overlay-agent.service')
#: A table of its own: one machine can be both.
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


#: How many rules the chain has.
RULES = _RULES.split('policy accept;')[1].count('\n        ')


def ruleset(which, addresses, user=None):
    """What `nft -f` loads. Loading it twice is the same as once.

    :param which: ROBOT, SERVER, RELAY or DERP.
    :param addresses: of the site's servers, text.
    :param user: name of who runs a server; None: tailscaled's marked packets.
    :raises UsageError: what is no address.
    """
    v4, v6 = split(addresses)
    return _RULES.format(
        command=which.command, settings=_SETTINGS + json.dumps(v4 + v6), table=which.table,
        interface=defaults.INTERFACE, elements4=_elements(v4), elements6=_elements(v6),
        whose='meta skuid != "{}" return'.format(user) if user else _MARKED)


def split(addresses):
    """(IPv4 addresses, IPv6 addresses) of texts: sorted, each once.

    :raises UsageError: what is no address.
    """
    try:
        parsed = {ipaddress.ip_address(address) for address in addresses}
    except ValueError as error:
        raise UsageError('A server of the site cannot have the address {}.'.format(error), 'ua-overlay status')
    return tuple([str(each) for each in sorted(a for a in parsed if a.version == version)] for version in (4, 6))


def _elements(addresses):
    return '        elements = {{ {} }}\n'.format(', '.join(addresses)) if addresses else ''


def update(which, addresses):
    """What `nft -f -` reads to make these addresses the site's, in one transaction."""
    lines = []
    for name, found in zip(('site4', 'site6'), split(addresses)):
        lines.append('flush set inet {} {}'.format(which.table, name))
        if found:
            lines.append('add element inet {} {} {{ {} }}'.format(which.table, name, ', '.join(found)))
    return '\n'.join(lines) + '\n'


def parse_addresses(text):
    """The addresses of a text that :func:`ruleset` made, [] of any other."""
    for line in text.split('\n'):
        if line.startswith(_SETTINGS):
            try:
                return sum(split(json.loads(line[len(_SETTINGS):])), [])
            except (ValueError, TypeError, UsageError):
                return []
    return []


def parse_user(text):
    """The user whose packets a text that :func:`ruleset` made is about, None for tailscaled's marked ones."""
    found = _USER.search(text)
    return found.group(1) if found else None


def delete(which):
    """What undoes the table, also when there is none: an argument of nft."""
    return 'add table inet {0}; delete table inet {0}'.format(which.table)


def unit_path(which):
    return UNIT_DIR + '/' + which.unit


def files(which, rules, nft, service_manager):
    """The recipe's files.

    :param rules: of :func:`ruleset`; ``nft``: its absolute path; ``service_manager``: 'systemd' or 'none'.
    """
    desired = (File(which.rules, rules),)
    if service_manager == 'systemd':
        desired += (File(unit_path(which), rules_unit(
            'Nothing leaves the site: whom {} may connect to'.format(which.service), which.command, nft, which.rules,
            delete(which), before=which.service)),)
    return desired


def commands(which, nft, service_manager):
    """The recipe's commands: loaded now, when it changed or is not there, and at each boot."""
    listed = (nft, 'list', 'table', 'inet', which.table)
    load = (Command((nft, '-f', which.rules), (which.rules,), undo=(nft, delete(which))),
            Command((nft, '-f', which.rules), unless=listed))
    if service_manager == 'none':
        return load
    return load + (daemon_reload(unit_path(which)),) + unit_commands(which.unit)


def parse_refused(text):
    """Packets refused, from `nft -j list table inet TABLE`.

    :raises OverlayError: the table is there but not ours.
    """
    try:
        return next(item['counter']['packets'] for item in json.loads(text)['nftables']
                    if 'counter' in item and item['counter']['name'] == 'refused')
    except (ValueError, KeyError, TypeError, StopIteration):
        raise OverlayError('The nftables table of the egress rule was made by somebody else.',
                           'sudo ua-overlay robot prepare --user USER')
