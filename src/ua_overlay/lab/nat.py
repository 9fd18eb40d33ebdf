"""The rules of a NAT router, by kind. Pure: text for `nft -f`.

What the kinds mean in the words of RFC 4787, as measured with coturn's turnutils_natdiscovery on Linux:
easy: endpoint-independent mapping (the port is kept), address-and-port-dependent filtering;
hard: address-and-port-dependent mapping (a random port for every destination) and filtering;
udp-blocked: as easy for TCP; no UDP passes except queries to the DNS server, as in many campus networks.
"""
from typing import Sequence, Tuple, Union

EASY = 'easy'
HARD = 'hard'
UDP_BLOCKED = 'udp-blocked'
KINDS = (EASY, HARD, UDP_BLOCKED)

#: Names of the router's interfaces.
WAN = 'wan'
LAN = 'lan'
TABLE = 'ua_lab'

#: In place of a port in `forward`: ICMP echo requests.
PING = 'ping'
#: (port or PING, address inside).
Forward = Tuple[Union[int, str], str]

_RULES = '''\
table ip {table}
delete table ip {table}
table ip {table} {{
{forward}    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{wan}" masquerade{flags}
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname "{wan}" ct state established,related accept
        iifname "{wan}" drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        iifname "{lan}" oifname "{lan}" accept
{blocked}        iifname "{lan}" oifname "{wan}" accept
        iifname "{wan}" ct state established,related accept
        iifname "{wan}" ct status dnat accept
    }}
}}
'''

_FORWARD = '''\
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
{rules}
    }}
'''

_BLOCKED = '''\
        meta l4proto udp udp dport 53 ip daddr {dns} accept
        iifname "{wan}" udp sport 53 ip saddr {dns} ct state established accept
        meta l4proto udp drop
'''


def ruleset(kind: str, dns: str, forward: Sequence[Forward] = ()) -> str:
    """Return the rule set of a router; it replaces the one before in a single transaction.

    Unsolicited packets on the WAN side are dropped, not answered: a peer's early packet that reached the router itself
    would leave a conntrack entry that holds the port. The robot's own flow would then be mapped to another port, and no
    direct path would form. Robots behind one router reach each other in every kind; their bridged packets pass these
    rules where br_netfilter is on. Traffic that other nftables tables forward (dnat) is accepted.

    :param kind: one of :data:`KINDS`.
    :param dns: address of the lab's DNS server, reachable in every kind.
    :param forward: packets to this port of the router's own address go to that host.
    :raises ValueError: unknown kind.
    """
    if kind not in KINDS:
        raise ValueError('{} is no kind of NAT'.format(kind))
    return _RULES.format(
        table=TABLE, wan=WAN, lan=LAN, forward=_forwarding(forward), flags=' fully-random' if kind == HARD else '',
        blocked=_BLOCKED.format(dns=dns, wan=WAN) if kind == UDP_BLOCKED else '')


def _forwarding(forward: Sequence[Forward]) -> str:
    """Return the chain that forwards, '' when nothing is forwarded."""
    rules = []
    for what, address in forward:
        matches = ['icmp type echo-request'] if what == PING else \
            ['{} dport {}'.format(protocol, what) for protocol in ('tcp', 'udp')]
        rules += ['        iifname "{}" {} dnat to {}'.format(WAN, match, address) for match in matches]
    return _FORWARD.format(rules='\n'.join(rules)) if rules else ''
