"""The egress rule: the machines to which tailscaled itself may connect. A text for nft or for sh, and its recipe. Pure,
except for :func:`try_rules`.

Its addresses come from egress_addresses.py; egress_table.py reads the rule back; egress_keeper.py reconciles it;
backend.py chooses between nftables and iptables.

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

A server's rule also limits the DNS queries of its user to the names of the site's servers. Any robot may ask the
relay's tailscaled to resolve a name (tailscale 1.98, ipn/ipnlocal/peerapi.go: replyToDNSQueries allows every node of
the same owner, and all tagged nodes have one), which would show the names of the server's network, and let queries of
robots leave the site through the server. No policy and no option forbids it.

A robot's rule refuses the DNS queries for the vendor's names that tailscaled asks for where it looks for a captive
portal. The policy's attribute against that does not hold for netcheck, whose full report looks for one whenever STUN
does not answer within 200 ms: at the start with a kept network map, and every five minutes (tailscale.com v1.102.5,
feature/captiveportal/netcheckhook; net/captivedetection/endpoints.go has the names). Go's resolver asks with sockets
without the mark, so this part holds for every program of the robot. It needs nftables.

If tailscaled uses an HTTP proxy, the proxy is one of the addresses, and what tailscaled asks of it passes the rule.
"""
import ipaddress
import json
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.system import foreign_json, iptables, nft
from ua_overlay.system.iptables import Chain
from ua_overlay.system.recipe import Command, File
from ua_overlay.system.rules_unit import rules_unit
from ua_overlay.system.units import UNIT_DIR, daemon_reload, unit_commands


class Egress(NamedTuple):
    """The names and files of one egress rule."""

    #: Name of the nftables table, of the family inet.
    table: str
    #: Path of the file with its rules for nft.
    rules: str
    #: Name of the unit that loads the rules.
    unit: str
    #: Name of the unit that the rule is for.
    service: str
    #: The command that installs the rule.
    command: str
    #: Name of the unit that keeps it in force.
    keeper: str
    #: Name of another unit that the rule is for, '' for none.
    beside: str = ''


ROBOT = Egress('ua_overlay_egress', defaults.CONFIG_DIR + '/egress.nft', 'ua-overlay-egress.service',
               'tailscaled.service', 'ua-overlay robot prepare', 'ua-overlay-agent.service')
#: Separate tables, because one machine can be a robot and a server.
SERVER = Egress('ua_overlay_server_egress', defaults.CONFIG_DIR + '/server_egress.nft',
                'ua-overlay-server-egress.service', 'ua-overlay-server.service', 'ua-overlay server service install',
                'ua-overlay-server-egress-keeper.service', 'ua-overlay-server-relay.service')
RELAY, DERP = (
    Egress('ua_overlay_{}_egress'.format(kind), '{}/{}_egress.nft'.format(defaults.CONFIG_DIR, kind),
           'ua-overlay-{}-egress.service'.format(kind), 'ua-overlay-{}.service'.format(kind),
           'ua-overlay {} service install'.format(kind), 'ua-overlay-{}-egress-keeper.service'.format(kind))
    for kind in ('relay', 'derp'))

class Settings(NamedTuple):
    """What a rule depends on; the first lines of its file hold it.

    :ivar addresses: of the site's servers and of tailscaled's proxies.
    :ivar user: name of the user who runs a server; '' for tailscaled's marked packets.
    :ivar interface: tailscaled's network interface.
    :ivar names: for a server: the DNS names that it may resolve.
    :ivar proxies: URLs of the HTTP proxies that tailscaled uses, without user and password.
    """

    addresses: Tuple[str, ...] = ()
    user: str = ''
    interface: str = defaults.INTERFACE
    proxies: Tuple[str, ...] = ()
    names: Tuple[str, ...] = ()


_SETTINGS = '# settings: '
#: tsconst.LinuxBypassMark and its mask.
MARK, MARK_MASK = 0x00080000, 0x00ff0000
#: The rule of iptables that returns every packet without tailscaled's mark.
CHAIN_MARK = '-m mark ! --mark 0x{:x}/0x{:x} -j RETURN'.format(MARK, MARK_MASK)
_MARKED = 'meta mark & 0x{:08x} != 0x{:08x} return'.format(MARK_MASK, MARK)
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
{names}    chain output {{
        type filter hook output priority 0; policy accept;
        {whose}
{dns}        oifname "lo" return
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
#: What tailscaled asks for besides the site's DERP servers, where it looks for a captive portal.
VENDOR_NAMES = ('controlplane.tailscale.com', 'login.tailscale.com')
_VENDOR = '''\
    chain vendor {{
        type filter hook output priority 0; policy accept;
{rules}    }}
'''
#: Number of rules in the chain `output`, without those of :data:`_DNS`.
RULES = _RULES.split('policy accept;')[1].count('\n        ') + 1
#: Before loopback, where a resolver of the machine may listen.
_DNS = '''\
        udp dport 53 goto names
        tcp dport 53 counter name "refused" reject with tcp reset
'''
#: `return` leaves the chain that the `goto` came from, too: the packet is accepted.
_NAMES = '''\
    chain names {{
{rules}        counter name "refused" reject
    }}
'''
#: Bytes between the beginning of the UDP header and the name in the question (RFC 768, RFC 1035), and the longest piece
#: that nft compares.
_TO_NAME, _PIECE = 8 + 12, 16


def ruleset(which: Egress, settings: Settings, backend: Backend) -> str:
    """Return the rules as a text for :func:`load_argv`. Loading it twice has the same effect as once.

    :param which: ROBOT, SERVER, RELAY or DERP.
    :raises UsageError: as :func:`split`.
    """
    v4, v6 = split(settings.addresses)
    line = _SETTINGS + json.dumps(settings._replace(addresses=tuple(v4 + v6))._asdict(), sort_keys=True)
    if backend.kind == IPTABLES:
        return iptables.script(chain(which, settings), backend.programs, '# Written by `{}`.\n{}'.format(
            which.command, line))
    return _RULES.format(
        command=which.command, settings=line, table=which.table, interface=settings.interface,
        elements4=_elements(v4), elements6=_elements(v6),
        dns=_DNS if settings.user else '',
        names=_NAMES.format(rules=''.join(
            '        {}\n'.format(rule) for rule in _name_rules(settings.names))) if settings.user else _VENDOR.format(
                rules=''.join('        {}\n'.format(rule) for rule in _vendor_rules())),
        whose='meta skuid != "{}" return'.format(settings.user) if settings.user else _MARKED)


def chain(which: Egress, settings: Settings) -> Chain:
    """Return the rules as chains of iptables, for tailscaled's marked packets: a server needs nftables.

    :raises UsageError: as :func:`split`.
    """
    v4, v6 = split(settings.addresses)
    first = (CHAIN_MARK, '-o lo -j RETURN', '-o {} -j RETURN'.format(settings.interface), '-p udp -j RETURN',
             '-p tcp -m tcp --dport 53 -j RETURN')
    last = ('-m addrtype --dst-type LOCAL -j RETURN',
            '-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset', '-p tcp -j RETURN')
    return Chain(which.table, 'OUTPUT',
                 first + tuple('-d {}/32 -j RETURN'.format(each) for each in v4) + last + (
                     '-j REJECT --reject-with icmp-port-unreachable',),
                 first + tuple('-d {}/128 -j RETURN'.format(each) for each in v6) + last + (
                     '-p ipv6-icmp -j RETURN', '-j REJECT --reject-with icmp6-port-unreachable'))


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


def _name_rules(names: Iterable[str]) -> List[str]:
    """Return rules that accept queries for these names, and for nothing below them."""
    rules = []
    for name in sorted(set(names)):
        labels = name.lower().encode('ascii', 'replace').split(b'.')
        if not all(re.fullmatch(rb'[a-z0-9_-]{1,63}', label) for label in labels):
            continue  # no DNS name
        rules.append(_question(_wire(labels) + b'\0') + ' return')
    return rules


def _vendor_rules() -> List[str]:
    """Return rules that refuse queries for the vendor's names, also with a search domain of the network behind them."""
    return ['udp dport 53 {} counter name "refused" reject'.format(_question(_wire(name.encode('ascii').split(b'.'))))
            for name in VENDOR_NAMES]


def _wire(labels: Iterable[bytes]) -> bytes:
    return b''.join(bytes([len(label)]) + label for label in labels)


def _question(wire: bytes) -> str:
    """Return the match of a DNS query over UDP whose question begins with these bytes."""
    pieces = [wire[start:start + _PIECE] for start in range(0, len(wire), _PIECE)]
    return ' '.join('@th,{},{} 0x{}'.format((_TO_NAME + number * _PIECE) * 8, len(piece) * 8, piece.hex())
                    for number, piece in enumerate(pieces))


def _elements(addresses: List[str]) -> str:
    return '        elements = {{ {} }}\n'.format(', '.join(addresses)) if addresses else ''


def try_rules(which: Egress, settings: Settings, backend: Backend) -> None:
    """Let the kernel check the rules, without putting them in force. Needs root.

    :raises OverlayError: the kernel or a program refuses one of them.
    """
    if backend.kind == IPTABLES:
        iptables.try_rules(chain(which, settings), backend.programs)
    else:
        nft.check(ruleset(which, settings, backend), backend.programs[0])


def update(which: Egress, settings: Settings, backend: Backend) -> str:
    """Return a text that replaces the addresses and names of a loaded rule with those of ``settings``, in one
    transaction."""
    if backend.kind == IPTABLES:
        return ruleset(which, settings, backend)
    lines = []
    for name, found in zip(('site4', 'site6'), split(settings.addresses)):
        lines.append('flush set inet {} {}'.format(which.table, name))
        if found:
            lines.append('add element inet {} {} {{ {} }}'.format(which.table, name, ', '.join(found)))
    if settings.user:
        lines.append('flush chain inet {} names'.format(which.table))
        lines += ['add rule inet {} names {}'.format(which.table, rule)
                  for rule in _name_rules(settings.names) + ['counter name "refused" reject']]
    return '\n'.join(lines) + '\n'


def parse_settings(text: str) -> Optional[Settings]:
    """Return the settings in a text of :func:`ruleset`, None for any other text."""
    for line in text.split('\n'):
        if line.startswith(_SETTINGS):
            try:
                return _settings(foreign_json.parse_object(line[len(_SETTINGS):]))
            except (ValueError, TypeError, KeyError, UsageError):
                return None
    return None


def _settings(values: Dict[str, Any]) -> Settings:
    v4, v6 = split(_texts(values['addresses']))
    for name in ('user', 'interface'):
        if not isinstance(values[name], str):
            raise ValueError('not a text')
    return Settings(tuple(v4 + v6), values['user'], values['interface'], tuple(_texts(values['proxies'])),
                    tuple(_texts(values['names'])))


def _texts(value: object) -> List[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('not a list of texts')
    return value


def rules_path(which: Egress, kind: str) -> str:
    """Return the path of the rules.

    :param kind: of the backend; each has its own file, so that the other's is removed when the choice changes.
    """
    return which.rules if kind == NFT else which.rules.rpartition('.')[0] + '.iptables'


def load_argv(which: Egress, backend: Backend) -> Tuple[str, ...]:
    """Return the argv that loads the installed rules."""
    path = rules_path(which, backend.kind)
    return ('/bin/sh', path) if backend.kind == IPTABLES else (backend.programs[0], '-f', path)


def delete_argv(which: Egress, backend: Backend) -> Tuple[str, ...]:
    """Return the argv that removes the rules from the kernel, if they are there."""
    if backend.kind == IPTABLES:
        return iptables.removal(which.table, 'OUTPUT', backend.programs)
    return backend.programs[0], 'add table inet {0}; delete table inet {0}'.format(which.table)


def presence_argv(which: Egress, backend: Backend) -> Tuple[str, ...]:
    """Return the argv that exits with 0 if the rules are in the kernel."""
    if backend.kind == IPTABLES:
        return iptables.presence(which.table, 'OUTPUT', backend.programs)
    return backend.programs[0], 'list', 'table', 'inet', which.table


def unit_path(which: Egress) -> str:
    return UNIT_DIR + '/' + which.unit


def files(which: Egress, rules: str, backend: Backend, service_manager: str) -> Tuple[File, ...]:
    """Return the recipe's files.

    :param rules: text of :func:`ruleset` for this backend.
    :param service_manager: 'systemd' or 'none'.
    """
    desired: Tuple[File, ...] = (File(rules_path(which, backend.kind), rules),)
    if service_manager == 'systemd':
        desired += (File(unit_path(which), rules_unit(
            'Egress rule: which machines {} may connect to'.format(which.service), which.command,
            load_argv(which, backend), delete_argv(which, backend),
            before=' '.join(filter(None, (which.service, which.beside))),
            legacy=backend.kind == IPTABLES)),)
    return desired


def commands(which: Egress, backend: Backend, service_manager: str) -> Tuple[Command, ...]:
    """Return the recipe's commands: load the rule now (if it changed or is not loaded) and at each boot."""
    argv = load_argv(which, backend)
    load = (Command(argv, (rules_path(which, backend.kind),), undo=delete_argv(which, backend)),
            Command(argv, unless=presence_argv(which, backend)))
    if service_manager == 'none':
        return load
    return load + (daemon_reload(unit_path(which)),) + unit_commands(which.unit)
