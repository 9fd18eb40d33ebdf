"""Checks of the links to peers: relayed by the server, relayed on one LAN, packets that are too large. Pure."""
import ipaddress
from typing import Iterable, List, Optional, Sequence

from ua_overlay import defaults, link_types
from ua_overlay.advice import command
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdicts, error, listed, ok, warn
from ua_overlay.firewall import clamp
from ua_overlay.system.interfaces import InterfaceAddress, in_overlay

#: MTU of tailscaled's interface (tailscale.com v1.98.10, net/tstun/mtu.go: safeTUNMTU).
OVERLAY_MTU = 1280


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
                    command('sudo nft list ruleset   # does a rule drop UDP {}?', defaults.DAEMON_PORT))
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
                command('sudo nft list ruleset   # here and on {}: does a rule drop UDP?', peer.peer)))
    return verdicts or ok('No link is relayed within one LAN.')


def mtu(facts: Facts) -> Verdicts:
    """Packets of the overlay's full size get through, as tailscaled sends them, not only small ones."""
    overlay = facts.overlay_mtu or OVERLAY_MTU
    narrow = sorted((route for route in facts.routes or () if route.mtu < overlay + _overhead(route.address)),
                    key=lambda route: route.mtu - _overhead(route.address))
    if narrow:
        route = narrow[0]
        return error('The way to {} carries packets of at most {} bytes, and tailscaled\'s have up to {}.'.format(
            listed(item.address for item in narrow), route.mtu, overlay + _overhead(route.address)),
            'The kernel refuses longer ones (tailscaled sends them by UDP GSO, which it does not fragment): topics '
            'connect, pings pass, and large messages stop.', _clamp(route.mtu))
    bad = sorted((item for item in facts.packets or () if item.small and not item.full), key=lambda item: item.peer)
    if bad:
        fits = min((item.largest for item in bad if item.largest), default=0)
        return error('Small packets reach {}, full ones ({} bytes) do not.'.format(
            listed(item.peer for item in bad), overlay),
            'The path carries less than the {} bytes that WireGuard makes of them, and the message that would report '
            'it is dropped: topics connect, and large messages never arrive.'.format(overlay + clamp.WIREGUARD),
            _clamp(fits + clamp.WIREGUARD_6))
    good = sorted(item.peer for item in facts.packets or () if item.full)
    return ok('Full packets reach {}.'.format(listed(good))) if good else None


def _overhead(address: str) -> int:
    """Return the bytes that WireGuard adds to a packet on the way to ``address``."""
    return clamp.WIREGUARD_6 if ':' in address else clamp.WIREGUARD


def _clamp(path: int) -> str:
    return command('sudo ua-overlay robot mtu {}   # then start running nodes again', max(path, clamp.SMALLEST))
