"""Find the addresses of an egress rule: the current ones of the servers' names, and those in the installed rules file.

egress.py has the rule itself, egress_table.py its state in the kernel.
"""
import os
from typing import Callable, Iterable, List, Optional, Set, Tuple

from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import IPTABLES, NFT
from ua_overlay.firewall.egress import Egress, Settings
from ua_overlay.system import foreign_file
from ua_overlay.system.http_proxy import parse_proxy

#: A name or address -> its addresses; raises OSError if it does not resolve now.
Resolve = Callable[[str], Iterable[str]]


def make_settings(which: Egress, names: Iterable[str], resolve: Resolve,
                  desired: Optional[Settings] = None) -> Settings:
    """Return ``desired`` with all addresses of a site's servers and of its own proxies.

    If a name does not resolve now, the addresses of the installed rules stay.

    :param names: names and addresses of the servers.
    """
    desired = desired or Settings()
    addresses, complete = addresses_of(list(names) + proxy_hosts(desired), resolve)
    if not complete:
        addresses |= set((installed_settings(which) or Settings()).addresses)
    return desired._replace(addresses=tuple(sorted(addresses)))


def proxy_hosts(settings: Settings) -> List[str]:
    """Return the names or addresses of the proxies. Pure."""
    return [proxy.host for proxy in map(parse_proxy, settings.proxies) if proxy is not None]


def addresses_of(names: Iterable[str], resolve: Resolve) -> Tuple[Set[str], bool]:
    """Return (the addresses of ``names``, whether every name has one now)."""
    addresses: Set[str] = set()
    complete = True
    for name in names:
        try:
            addresses.update(resolve(name))
        except OSError:
            complete = False
    return addresses, complete


def installed_settings(which: Egress) -> Optional[Settings]:
    """Return the settings of the installed rules, None without any."""
    return egress.parse_settings(installed_rules(which))


def installed_kind(which: Egress) -> str:
    """Return the kind of backend of the installed rules, '' if none are installed."""
    return next((kind for kind in (NFT, IPTABLES) if os.path.exists(egress.rules_path(which, kind))), '')


def installed_rules(which: Egress) -> str:
    """Return the text of the installed rules, '' if there are none or this user may not read them."""
    try:
        return foreign_file.read_text(egress.rules_path(which, installed_kind(which) or NFT))
    except OSError:
        return ''
