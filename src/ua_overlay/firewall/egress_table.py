"""The egress rule as nft lists it: is it the one that `egress` wrote, and for which addresses? Pure but for `look`."""
import json
import pwd
from dataclasses import dataclass
from typing import Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.system import nft

#: Loaded and as we wrote it; not loaded; loaded, but with other rules; not to be seen.
IN_FORCE, MISSING, CHANGED, UNREADABLE = 'IN_FORCE', 'MISSING', 'CHANGED', 'UNREADABLE'


@dataclass(frozen=True)
class TableState:
    """What was seen of a rule: ``state`` as above, and the site's ``addresses`` in it (text, sorted); or why it cannot
    be seen (a sentence), and what to type then."""

    state: str
    addresses: Tuple[str, ...] = ()
    why: str = ''
    mend: str = ''


def inspect(which, find=lambda: nft.find_nft(otherwise=''), list_table=nft.list_table):
    """The TableState of the rule ``which`` (egress.ROBOT or another) on this machine."""
    try:
        with open(which.rules, encoding='utf-8') as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError):
        text = ''
    try:
        listed = list_table(which.table, find())
    except OverlayError as error:
        return TableState(UNREADABLE, (), error.sentence, error.next_command)
    return TableState(MISSING) if listed is None else parse(listed, text)


def parse(listed, text):
    """The TableState of a table.

    :param listed: nft's JSON of it; ``text``: the rules that were written (egress.ruleset), which say whose packets.
    """
    try:
        items = json.loads(listed)['nftables']
        chains = [item['chain'] for item in items if 'chain' in item]
        rules = [item['rule']['expr'] for item in items if 'rule' in item]
        addresses = egress.split(sum((_elements(item['set']) for item in items if 'set' in item), []))
    except (ValueError, KeyError, TypeError, OverlayError):
        return TableState(CHANGED)
    ours = (len(chains) == 1 and chains[0].get('hook') == 'output' and len(rules) == egress.RULES
            and _is_whose(rules[0], egress.parse_user(text)) and all(_rejects(rule) for rule in rules[-2:]))
    return TableState(IN_FORCE if ours else CHANGED, tuple(sum(addresses, [])))


def _elements(found):
    # Newer versions say when an element was counted or runs out, and wrap it.
    return [each['elem']['val'] if isinstance(each, dict) else each for each in found.get('elem', ())]


def _is_whose(rule, user):
    match = rule[0]['match']
    if match['op'] != '!=' or 'return' not in rule[-1]:
        return False
    if not user:
        return match['left'] == {'&': [{'meta': {'key': 'mark'}}, egress.MARK_MASK]} and match['right'] == egress.MARK
    try:
        # A user that was removed and made again has another number.
        return match['left'] == {'meta': {'key': 'skuid'}} and match['right'] in (user, pwd.getpwnam(user).pw_uid)
    except KeyError:
        return False


def _rejects(rule):
    return 'reject' in rule[-1]


def flaws(table_state, addresses, complete):
    """What is wrong with a rule: a tuple of sentences, () when nothing is.

    :param addresses: addresses (text) of the site's servers.
    :param complete: whether these are all; otherwise an address that is too many cannot be told.
    """
    if table_state.state == MISSING:
        return ('The rule that nothing leaves the site is not loaded: somebody flushed it.',)
    if table_state.state == CHANGED:
        return ('The rule that nothing leaves the site is not the one that was written: somebody changed it.',)
    if table_state.state == UNREADABLE:
        return ()
    lacking = [each for each in addresses if each not in table_state.addresses]
    foreign = [each for each in table_state.addresses if each not in addresses] if complete else []
    found = ()
    if lacking:
        found += ('The egress rule lets nobody connect to {}, which the site has.'.format(', '.join(lacking)),)
    if foreign:
        found += ('The egress rule lets through to {}, which the site does not have.'.format(', '.join(foreign)),)
    return found
