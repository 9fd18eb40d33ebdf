"""What a machine in front of the server has to forward, as nftables rules and as text. Pure.

The server must see whom a packet is from: STUN tells a robot its own public address, and a relay remembers where a
robot is. So the sources are left alone, and the answers have to leave by the same machine. Only packets that come from
behind it get its source: those of the server's own relay, which calls the server by its public name, and of robots in
the server's own network. Without it the server would answer these directly, from an address that they did not ask.
"""
import ipaddress
from dataclasses import dataclass

from ua_overlay.errors import UsageError

TABLE = 'ua_overlay_forward'


@dataclass(frozen=True)
class Forward:
    """One port. protocol: 'tcp' or 'udp'; what: for people; public, private: addresses (str)."""

    protocol: str
    port: int
    what: str
    public: str
    private: str


def forwards(settings, private=None):
    """The Forwards of a site: one for each port and public address.

    :param settings: SiteSettings.
    :param private: where to forward to instead of what the settings say.
    :raises UsageError: it is not known where to, or addresses of both kinds are needed and one is missing.
    """
    targets = (private,) if private else settings.private
    if not settings.addresses:
        raise UsageError('The site {} has no public address.'.format(settings.name),
                         'edit "addresses" in site.yaml')
    if not targets:
        raise UsageError('The site {} has no private address: nothing has to be forwarded.'.format(settings.name),
                         'ua-overlay server forwarding --to ADDRESS')
    found = []
    for public in settings.addresses:
        same = [each for each in targets if _version(each) == _version(public)]
        if not same:
            raise UsageError('The public address {} is of another IP version than {}.'.format(
                public, ', '.join(targets)), 'add a private address of that version to site.yaml')
        for protocol, port, what in (('tcp', settings.port, 'control and DERP'), ('udp', settings.stun_port, 'STUN'),
                                     ('udp', settings.relay_port, 'peer relay')):
            found.append(Forward(protocol, port, what, public, same[0]))
    return found


def _version(address):
    return ipaddress.ip_address(address).version


def check_beside(network):
    """The network of robots beside the server. :raises UsageError: it is none."""
    try:
        return ipaddress.ip_network(network)
    except ValueError:
        raise UsageError('{} is no network.'.format(network), 'ua-overlay server forwarding --beside 192.168.7.0/24')


def nftables(found, beside=()):
    """A rule set for `nft -f`, that replaces itself as a whole.

    :param found: list of Forward.
    :param beside: networks (ipaddress) behind the machine whose robots reach the server by its public name, too.
    """
    nat, back, passed = [], [], []
    for each in found:
        family, dnat = ('ip6', 'ip6') if _version(each.public) == 6 else ('ip', 'ip')
        target = '[{}]'.format(each.private) if family == 'ip6' else each.private
        nat.append('{} daddr {} {} dport {} dnat {} to {}:{} comment "{}"'.format(
            family, each.public, each.protocol, each.port, dnat, target, each.port, each.what))
        callers = [(each.private, 'the server calls itself')]
        callers += [(network, 'robots beside the server') for network in beside
                    if network.version == _version(each.private)]
        own = ['{0} saddr {1} {0} daddr {2} ct status dnat masquerade comment "{3}"'.format(
            family, caller, each.private, why) for caller, why in callers]
        back += [rule for rule in own if rule not in back]
        passed.append('{} daddr {} {} dport {} ct status dnat accept'.format(
            family, each.private, each.protocol, each.port))
    return _NFT.format(table=TABLE, nat=_lines(nat), back=_lines(back), passed=_lines(passed))


def _lines(rules):
    return ''.join('        {}\n'.format(rule) for rule in rules).rstrip('\n')


_NFT = '''\
#!/usr/sbin/nft -f
# Forwards a site of ua_overlay. Needs net.ipv4.ip_forward=1 (and net.ipv6.conf.all.forwarding=1 for IPv6).
# Where the server's side is a bridge (of virtual machines or containers), net.bridge.bridge-nf-call-iptables=1 keeps
# the server from calling itself: set it to 0, or give the server the public address on lo (`--format text` says how).
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


def text(found, beside=()):
    """The same in words, for a router that somebody else runs."""
    lines = ['Please forward these ports, each to the same port number:', '']
    for each in found:
        lines.append('  {:<4}{:<6} of {}  to  {}   ({})'.format(
            each.protocol.upper(), each.port, each.public, each.private, each.what))
    private = found[0].private
    lines += [
        '',
        'Keep the source addresses (no SNAT of the incoming packets): robots learn their own address from the server.',
        'So the answers of {} have to leave through the same router: it is its default gateway.'.format(private),
        'Let {} itself reach {} as well ("hairpin" or "NAT loopback"). Where the router cannot:'.format(
            private, found[0].public),
        '  on the server, at every boot:  ip address add {}/{} dev lo'.format(
            found[0].public, 128 if _version(found[0].public) == 6 else 32),
        'UDP mappings should last at least 120 s (RFC 4787).',
    ]
    lines += ['Let {} reach {} alike: that needs the source of these packets replaced, or the server answers directly.'
              .format(network, found[0].public) for network in beside]
    return '\n'.join(lines) + '\n'
