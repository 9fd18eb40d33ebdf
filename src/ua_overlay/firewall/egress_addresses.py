"""Find the addresses of an egress rule: the current ones of the servers' names, and those in the installed rules file.

egress.py has the rule itself, egress_table.py its state in the kernel.
"""
from typing import Callable, Iterable, List, Optional, Set, Tuple

from ua_overlay.firewall import egress
from ua_overlay.firewall.egress import Egress

#: A name or address -> its addresses; raises OSError if it does not resolve now.
Resolve = Callable[[str], Iterable[str]]


def make_rules(which: Egress, names: Iterable[str], resolve: Resolve, user: Optional[str] = None) -> str:
    """Return the rules for all addresses of a site's servers.

    If a name does not resolve now, the addresses of the installed rules stay.

    :param names: names and addresses of the servers.
    :param user: as for egress.ruleset.
    """
    addresses, complete = addresses_of(names, resolve)
    return egress.ruleset(which, addresses if complete else addresses | set(installed_addresses(which)), user)


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


def installed_addresses(which: Egress) -> List[str]:
    """Return the addresses in the installed rules, [] without any."""
    return egress.parse_addresses(installed_rules(which))


def installed_rules(which: Egress) -> str:
    """Return the text of the installed rules, '' if there are none or this user may not read them."""
    try:
        with open(which.rules, encoding='utf-8') as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return ''
