"""Compare the egress rule in the kernel, as nft or iptables lists it, with the written one, and read its addresses.

Pure, except for :func:`inspect`.
"""
import pwd
from dataclasses import dataclass, replace
from typing import Callable, Iterable, List, Optional, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import backend as backends
from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.firewall.egress import Egress, Settings
from ua_overlay.firewall.egress_addresses import installed_kind, installed_settings
from ua_overlay.protocols import Json, JsonObject
from ua_overlay.system import foreign_json, iptables, nft
from ua_overlay.system.iptables import Listed

#: Loaded as written; not loaded; loaded with other rules; not listable by this user.
IN_FORCE, MISSING, CHANGED, UNREADABLE = 'IN_FORCE', 'MISSING', 'CHANGED', 'UNREADABLE'


@dataclass(frozen=True)
class TableState:
    """An egress rule in the kernel.

    :ivar state: one of the words above.
    :ivar addresses: the site's addresses in the rule, sorted.
    :ivar why: why it is UNREADABLE, as a sentence.
    :ivar next_command: the command to type then; for MISSING and CHANGED, the one that loads the rule again.
    """

    state: str
    addresses: Tuple[str, ...] = ()
    why: str = ''
    next_command: str = ''


def inspect(which: Egress, find: Callable[[str], Backend] = backends.installed,
            list_table: Callable[[str, str], Optional[str]] = nft.list_table,
            list_chain: Callable[..., Listed] = iptables.list_chain) -> TableState:
    """Return the state of the rule ``which`` on this machine.

    :param find: (kind) -> the backend of the installed rules.
    :param list_table: (table, path of nft) -> its JSON, None when there is no such table.
    :param list_chain: iptables.list_chain.
    """
    settings = installed_settings(which) or Settings()
    try:
        found = find(installed_kind(which) or NFT)
        if found.kind == IPTABLES:
            state = parse_chain(list_chain(which.table, 'OUTPUT', found.programs), which)
        else:
            listed = list_table(which.table, found.programs[0])
            state = TableState(MISSING) if listed is None else parse(listed, settings)
    except OverlayError as error:
        return TableState(UNREADABLE, (), error.sentence, error.next_command)
    if state.state == IN_FORCE:
        return state
    return replace(state, next_command='sudo ' + ' '.join(egress.load_argv(which, found)))


def parse(listed: str, settings: Settings) -> TableState:
    """Return the state of a table of nftables.

    :param listed: nft's JSON of the table.
    :param settings: of the written rules, which name the user whose packets they match.
    """
    try:
        items = foreign_json.parse_object(listed)['nftables']
        chains = {item['chain']['name']: item['chain'] for item in items if 'chain' in item}
        rules = [item['rule']['expr'] for item in items if 'rule' in item and item['rule']['chain'] == 'output']
        names = [item['rule']['expr'] for item in items if 'rule' in item and item['rule']['chain'] == 'names']
        vendor = [item['rule']['expr'] for item in items if 'rule' in item and item['rule']['chain'] == 'vendor']
        v4, v6 = egress.split(address for item in items if 'set' in item for address in _elements(item['set']))
        ours = (sorted(chains) == (['names', 'output'] if settings.user else ['output', 'vendor'])
                and chains['output'].get('hook') == 'output'
                and len(rules) == egress.RULES + (2 if settings.user else 0)
                and _is_about(rules[0], settings.user) and all(_rejects(rule) for rule in rules[-2:])
                and (_limits_names(rules, names) if settings.user else
                     chains['vendor'].get('hook') == 'output' and len(vendor) == len(egress.VENDOR_NAMES)
                     and all(_rejects(rule) for rule in vendor)))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverlayError):
        return TableState(CHANGED)
    return TableState(IN_FORCE if ours else CHANGED, tuple(v4 + v6))


def parse_chain(listed: Listed, which: Egress) -> TableState:
    """Return the state of a chain of iptables."""
    if listed.rules4 is None:
        return TableState(MISSING)
    desired = egress.chain(which, Settings())
    addresses: List[str] = []
    ours = listed.hooked
    for rules, expected in ((listed.rules4, desired.rules4), (listed.rules6, desired.rules6)):
        if rules is None:
            continue  # a machine without IPv6, or `hooked` is False
        found = [rule.split()[1].partition('/')[0] for rule in rules if rule.startswith('-d ')]
        others = [rule for rule in rules if not rule.startswith('-d ')]
        addresses += found
        ours = (ours and len(others) == len(expected) and others[0] == egress.CHAIN_MARK
                and all('-j REJECT' in rule for rule, ideal in zip(others, expected) if '-j REJECT' in ideal))
    try:
        v4, v6 = egress.split(addresses)
    except OverlayError:
        return TableState(CHANGED)
    return TableState(IN_FORCE if ours else CHANGED, tuple(v4 + v6))


def _elements(listed: JsonObject) -> List[str]:
    # Newer versions of nft wrap an element to add its counter or time-out.
    return [each['elem']['val'] if isinstance(each, dict) else each for each in listed.get('elem', ())]


def _is_about(rule: Json, user: str) -> bool:
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


def _limits_names(rules: List[Json], names: List[Json]) -> bool:
    """Return whether the queries of a server go to the chain `names`, and that refuses what it does not know."""
    return (rules[1][-1].get('goto', {}).get('target') == 'names' and _rejects(rules[2])
            and bool(names) and _rejects(names[-1])
            and all('match' in part for rule in names[:-1] for part in rule[:-1]))


def _rejects(rule: Json) -> bool:
    return bool('reject' in rule[-1])


def find_problems(table_state: TableState, addresses: Iterable[str], complete: bool) -> Tuple[str, ...]:
    """Return the problems of a rule as sentences, () without any or when it is UNREADABLE.

    :param addresses: of the site's servers.
    :param complete: whether these are all addresses; if not, no address in the rule counts as wrong.
    """
    if table_state.state == MISSING:
        return ('The egress rule is not loaded: another program flushed it.',)
    if table_state.state == CHANGED:
        return ('The egress rule differs from its file: another program changed it.',)
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
