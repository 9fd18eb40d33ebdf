"""Generate the rules of a machine that forwards ports to the server, as nftables rules and as text. Pure.

The server must see the source of a packet: STUN tells a robot its own public address, and a relay remembers where a
robot is. So the forwarding machine keeps the source addresses, and the answers must return through it. It replaces the
source only of packets from behind it: those of the server's own relay, which connects to the server's public name, and
of robots in the server's network. Otherwise the server would answer these directly, from an address to which they did
not connect.
"""
import ipaddress
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple, Union

from ua_overlay.errors import UsageError
from ua_overlay.headscale.site_settings import SiteSettings

TABLE = 'ua_overlay_forward'
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@dataclass(frozen=True)
class Forward:
    """One forwarded port.

    :param protocol: 'tcp' or 'udp'.
    :param what: purpose of the port, for people.
    :param public: the public address.
    :param private: the address to forward to, with the same port number.
    """

    protocol: str
    port: int
    what: str
    public: str
    private: str


def forwards(settings: SiteSettings, private: Optional[str] = None) -> List[Forward]:
    """Return the Forwards of a site: one for each port and public address.

    :param private: address to forward to, instead of those in the settings.
    :raises UsageError: there is no address to forward to, or none with the IP version of a public address.
    """
    targets = (private,) if private else settings.private
    if not settings.addresses:
        raise UsageError('The site {} has no public address.'.format(settings.name),
                         'edit "addresses" in site.yaml')
    if not targets:
        raise UsageError('The site {} has no private address, so no port needs forwarding.'.format(settings.name),
                         'ua-overlay server forwarding --to ADDRESS')
    ports: List[Forward] = []
    for public in settings.addresses:
        same = [each for each in targets if _version(each) == _version(public)]
        if not same:
            raise UsageError('The public address {} is of another IP version than {}.'.format(
                public, ', '.join(targets)), 'add a private address of that version to site.yaml')
        own = [('tcp', settings.derp_port, 'DERP beside Headscale')] if settings.derp_port else []
        for protocol, port, what in [('tcp', settings.port, 'control and DERP')] + own + [
                ('udp', settings.stun_port, 'STUN'), ('udp', settings.relay_port, 'peer relay')]:
            ports.append(Forward(protocol, port, what, public, same[0]))
    return ports


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def check_beside(network: str) -> Network:
    """Parse the network of robots beside the server.

    :raises UsageError: the text is not a network.
    """
    try:
        return ipaddress.ip_network(network)
    except ValueError:
        raise UsageError('{} is not a network.'.format(network), 'ua-overlay server forwarding --beside 192.168.7.0/24')


def nftables(forwarded: Sequence[Forward], beside: Sequence[Network] = ()) -> str:
    """Return a rule set for `nft -f`; loading it again replaces the previous one.

    :param beside: networks behind the forwarding machine whose robots reach the server by its public name, too.
    """
    nat: List[str] = []
    back: List[str] = []
    passed: List[str] = []
    for each in forwarded:
        family = 'ip6' if _version(each.public) == 6 else 'ip'
        target = '[{}]'.format(each.private) if family == 'ip6' else each.private
        nat.append('{0} daddr {1} {2} dport {3} dnat {0} to {4}:{3} comment "{5}"'.format(
            family, each.public, each.protocol, each.port, target, each.what))
        callers: List[Tuple[str, str]] = [(each.private, 'the server calls itself')]
        callers += [(str(network), 'robots beside the server') for network in beside
                    if network.version == _version(each.private)]
        for caller, why in callers:
            rule = '{0} saddr {1} {0} daddr {2} ct status dnat masquerade comment "{3}"'.format(
                family, caller, each.private, why)
            if rule not in back:
                back.append(rule)
        passed.append('{} daddr {} {} dport {} ct status dnat accept'.format(
            family, each.private, each.protocol, each.port))
    return _NFT.format(table=TABLE, nat=_lines(nat), back=_lines(back), passed=_lines(passed))


def _lines(rules: Sequence[str]) -> str:
    return '\n'.join('        ' + rule for rule in rules)


_NFT = '''\
#!/usr/sbin/nft -f
# Forwards a site of ua_overlay. Needs net.ipv4.ip_forward=1 (and net.ipv6.conf.all.forwarding=1 for IPv6).
# When the server is behind a bridge (of virtual machines or containers), net.bridge.bridge-nf-call-iptables=1 stops
# the server from calling itself: set it to 0, or give the server the public address on lo (see `--format text`).
table inet {table}
delete table inet {table}
table inet {table} {{
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
{nat}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
{back}
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
{passed}
    }}
}}
'''


def as_text(forwarded: Sequence[Forward], beside: Sequence[Network] = ()) -> str:
    """Return the same rules in words, for the administrator of a router."""
    lines = ['Please forward these ports, each to the same port number:', '']
    for each in forwarded:
        lines.append('  {:<4}{:<6} of {}  to  {}   ({})'.format(
            each.protocol.upper(), each.port, each.public, each.private, each.what))
    public, private = forwarded[0].public, forwarded[0].private
    lines += [
        '',
        'Keep the source addresses (no SNAT of the incoming packets): robots learn their own address from the server.',
        'So the answers of {} have to leave through the same router: make it the default gateway.'.format(private),
        'Let {} itself reach {} as well ("hairpin" or "NAT loopback"). If the router cannot:'.format(private, public),
        '  on the server, at every boot:  ip address add {}/{} dev lo'.format(
            public, 128 if _version(public) == 6 else 32),
        'UDP mappings should last at least 120 s (RFC 4787).',
    ]
    lines += ['Let {} reach {} in the same way. The router has to replace the source of these packets; otherwise the '
              'server answers directly.'.format(network, public) for network in beside]
    return '\n'.join(lines) + '\n'
