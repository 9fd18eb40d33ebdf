"""List the network interfaces of this machine, and recognize the overlay's addresses."""
import ipaddress
from typing import Collection, FrozenSet, NamedTuple, Set, Tuple

from ua_overlay import defaults

_OVERLAY = tuple(ipaddress.ip_network(network) for network in (defaults.OVERLAY_V4, defaults.OVERLAY_V6))


class InterfaceAddress(NamedTuple):
    """One IPv4 address of an interface."""

    name: str
    address: str
    prefix: int


def ipv4_addresses() -> Tuple[InterfaceAddress, ...]:
    """Return every IPv4 address of this machine, read anew at each call (unlike roslaunch, which caches its list)."""
    import netifaces
    found = []
    for name in netifaces.interfaces():
        try:
            entries = netifaces.ifaddresses(name).get(netifaces.AF_INET, ())
        except ValueError:
            continue  # the interface disappeared between the two calls
        for entry in entries:
            if 'addr' in entry:
                mask = entry.get('netmask') or '255.255.255.255'
                found.append(InterfaceAddress(name, entry['addr'], ipaddress.ip_network('0.0.0.0/' + mask).prefixlen))
    return tuple(found)


def local_addresses() -> FrozenSet[str]:
    """Return the IPv4 addresses of this machine without their interfaces."""
    return frozenset(item.address for item in ipv4_addresses())


def addresses_on(names: Collection[str]) -> FrozenSet[str]:
    """Return the IPv4 and IPv6 addresses of these interfaces."""
    import netifaces
    found: Set[str] = set()
    for name in names:
        try:
            entries = netifaces.ifaddresses(name)
        except ValueError:
            continue  # there is no such interface now
        for family in (netifaces.AF_INET, netifaces.AF_INET6):
            found.update(entry['addr'].split('%')[0] for entry in entries.get(family, ()) if 'addr' in entry)
    return frozenset(found)


def in_overlay(address: str) -> bool:
    """Whether ``address`` lies in the overlay's ranges; False for a name. An IPv4 address mapped into IPv6 counts."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    parsed = getattr(parsed, 'ipv4_mapped', None) or parsed
    return any(parsed in network for network in _OVERLAY)
