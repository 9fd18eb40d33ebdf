"""Compare the egress rule in the kernel, as nft lists it, with the written one, and read its addresses.

Pure, except for :func:`inspect`.
"""
import json
import pwd
from dataclasses import dataclass
from typing import Callable, Iterable, List, Optional, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.firewall.egress import Egress
from ua_overlay.firewall.egress_addresses import installed_rules
from ua_overlay.protocols import Json, JsonObject
from ua_overlay.system import nft

#: Loaded as written; not loaded; loaded with other rules; not listable by this user.
IN_FORCE, MISSING, CHANGED, UNREADABLE = 'IN_FORCE', 'MISSING', 'CHANGED', 'UNREADABLE'


@dataclass(frozen=True)
class TableState:
    """An egress rule in the kernel.

    :ivar state: one of the words above.
    :ivar addresses: the site's addresses in the rule, sorted.
    :ivar why: why it is UNREADABLE, as a sentence.
    :ivar next_command: the command to type then.
    """

    state: str
    addresses: Tuple[str, ...] = ()
    why: str = ''
    next_command: str = ''


def inspect(which: Egress, find: Callable[[], str] = lambda: nft.find_nft(otherwise=''),
            list_table: Callable[[str, str], Optional[str]] = nft.list_table) -> TableState:
    """Return the state of the rule ``which`` on this machine.

    :param find: () -> path of nft.
    :param list_table: (table, path of nft) -> its JSON, None when there is no such table.
    """
    try:
        listed = list_table(which.table, find())
    except OverlayError as error:
        return TableState(UNREADABLE, (), error.sentence, error.next_command)
    return TableState(MISSING) if listed is None else parse(listed, installed_rules(which))


def parse(listed: str, text: str) -> TableState:
    """Return the state of a table.

    :param listed: nft's JSON of the table.
    :param text: the written rules (egress.ruleset), which name the user whose packets they match.
    """
    try:
        items = json.loads(listed)['nftables']
        chains = [item['chain'] for item in items if 'chain' in item]
        rules = [item['rule']['expr'] for item in items if 'rule' in item]
        v4, v6 = egress.split(address for item in items if 'set' in item for address in _elements(item['set']))
    except (ValueError, KeyError, TypeError, OverlayError):
        return TableState(CHANGED)
    ours = (len(chains) == 1 and chains[0].get('hook') == 'output' and len(rules) == egress.RULES
            and _is_about(rules[0], egress.parse_user(text)) and all(_rejects(rule) for rule in rules[-2:]))
    return TableState(IN_FORCE if ours else CHANGED, tuple(v4 + v6))


def _elements(listed: JsonObject) -> List[str]:
    # Newer versions of nft wrap an element to add its counter or time-out.
    return [each['elem']['val'] if isinstance(each, dict) else each for each in listed.get('elem', ())]


def _is_about(rule: Json, user: Optional[str]) -> bool:
    """Return whether the first rule accepts all packets except those of ``user``, or of tailscaled without a user."""
    match = rule[0]['match']
    if match['op'] != '!=' or 'return' not in rule[-1]:
        return False
    if not user:
        return (match['left'], match['right']) == ({'&': [{'meta': {'key': 'mark'}}, egress.MARK_MASK]}, egress.MARK)
    try:
        # nft lists the user's number, which changes when the user is removed and created again.
        return match['left'] == {'meta': {'key': 'skuid'}} and match['right'] in (user, pwd.getpwnam(user).pw_uid)
    except KeyError:
        return False


def _rejects(rule: Json) -> bool:
    return bool('reject' in rule[-1])


def find_problems(table_state: TableState, addresses: Iterable[str], complete: bool) -> Tuple[str, ...]:
    """Return the problems of a rule as sentences, () without any or when it is UNREADABLE.

    :param addresses: of the site's servers.
    :param complete: whether these are all addresses; if not, no address in the rule counts as wrong.
    """
    if table_state.state == MISSING:
        return ('The egress rule is not loaded: somebody flushed it.',)
    if table_state.state == CHANGED:
        return ('The egress rule is not the one that was written: somebody changed it.',)
    if table_state.state == UNREADABLE:
        return ()
    site = list(addresses)
    lacking = [each for each in site if each not in table_state.addresses]
    foreign = [each for each in table_state.addresses if each not in site] if complete else []
    problems: Tuple[str, ...] = ()
    if lacking:
        problems += ('The egress rule blocks {}, which belongs to the site.'.format(', '.join(lacking)),)
    if foreign:
        problems += ('The egress rule allows {}, which does not belong to the site.'.format(', '.join(foreign)),)
    return problems
