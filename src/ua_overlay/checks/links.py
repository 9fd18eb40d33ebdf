"""Checks of the links to peers: relayed by the server, relayed on one LAN, packets that are too large. Pure."""
import ipaddress
from typing import Iterable, List, Optional, Sequence

from ua_overlay import defaults, link_types
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdicts, error, listed, ok, warn
from ua_overlay.system.interfaces import InterfaceAddress, in_overlay


def derp(facts: Facts) -> Verdicts:
    """No link passes through the server, which is ten times slower than a relay."""
    if facts.links is None or facts.daemon_problem is not None:
        return None
    counts = {kind: sum(link.type == kind for link in facts.links) for kind in link_types.ORDER}
    text = ', '.join('{} {}'.format(counts[kind], kind) for kind in link_types.ORDER if counts[kind]) or 'no peers'
    slow = sorted(link.peer for link in facts.links if link.type == link_types.DERP)
    if slow:
        return warn('{} (through the server: {}).'.format(text, listed(slow)),
                    'UDP is blocked on one side, or the path has just changed; DERP is ten times slower than a relay.',
                    'ua-overlay status')
    return ok('Links: {}.'.format(text))


def _addresses(endpoints: Iterable[str]) -> List[str]:
    """Return the IPv4 addresses of endpoints (ip:port), without those of loopback and the overlay."""
    addresses = []
    for endpoint in endpoints:
        host = endpoint.rpartition(':')[0].strip('[]')
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            continue
        if address.version == 4 and not address.is_loopback and not in_overlay(host):
            addresses.append(host)
    return addresses


def shared_lan(own_endpoints: Iterable[str], endpoints: Iterable[str],
               interfaces: Sequence[InterfaceAddress]) -> Optional[str]:
    """Return the subnet that this robot and a peer share, or None.

    The same private subnet alone proves nothing (192.168.0.0/24 is everywhere), so both must also share an address that
    none of our interfaces has: the router's, as STUN saw it.

    :param own_endpoints: of this robot, as ip:port.
    :param endpoints: of the peer, as ip:port.
    :param interfaces: of this machine.
    """
    ours, theirs = set(_addresses(own_endpoints)), set(_addresses(endpoints))
    local = {address for _, address, _ in interfaces}
    if not (ours & theirs) - local:
        return None
    for _, address, length in interfaces:
        if in_overlay(address) or address.startswith('127.'):
            continue
        subnet = ipaddress.ip_interface('{}/{}'.format(address, length)).network
        if any(other != address and ipaddress.ip_address(other) in subnet for other in theirs):
            return str(subnet)
    return None


def lan(facts: Facts) -> Verdicts:
    """No link is relayed although both robots are on one LAN."""
    if facts.lans is None or facts.interfaces is None:
        return None
    verdicts = []
    for peer in facts.lans:
        subnet = shared_lan(facts.own_endpoints, peer.endpoints, facts.interfaces)
        if subnet and peer.link_type in link_types.RELAYED:
            verdicts.append(warn(
                'The link to {} is {} although both are on {}.'.format(peer.peer, peer.link_type, subnet),
                'The access point isolates its clients, or a firewall on one of the robots drops UDP {}.'.format(
                    defaults.DAEMON_PORT),
                'ping one from the other by its LAN address; then: sudo nft list ruleset'))
    return verdicts or ok('No link is relayed within one LAN.')


def mtu(facts: Facts) -> Verdicts:
    """Packets of the overlay's full size get through, not only small ones."""
    if not facts.packets:
        return None
    bad = sorted(item.peer for item in facts.packets if item.small and not item.full)
    if bad:
        return error('Small packets reach {}, full ones (1280 bytes) do not.'.format(listed(bad)),
                     'The path carries less than the 1340 bytes that WireGuard makes of them, and the message that '
                     'would report it is dropped: topics connect, and large messages never arrive.',
                     'tracepath -n SERVER, and set a smaller MTU on the interface that leads there')
    good = sorted(item.peer for item in facts.packets if item.full)
    return ok('Full packets reach {}.'.format(listed(good))) if good else None
