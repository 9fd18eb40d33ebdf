"""The egress rules that commands write, and what keeps them in force: files, nft and name servers."""
import os
import time

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress, egress_table
from ua_overlay.firewall.egress_keeper import EgressKeeper
from ua_overlay.system.nft import find_nft, load
from ua_overlay.trust.servers import resolve, resolve_soon

#: Seconds between two looks at the news: tailscaled looks for its DERP as soon as it hears of one, and tries again what
#: was refused after some seconds.
NEWS = 1.0


def make_rules(which, names, user=None, find=resolve_soon):
    """The rules for all addresses that a site's servers have, as far as they can be told now; those of before stay
    where a name does not resolve at the moment.

    :param which: egress.ROBOT, or another; ``user``: see egress.ruleset.
    :param names: names or addresses (text).
    :param find: function(name) -> addresses; raises OSError.
    """
    addresses, complete = addresses_of(names, find)
    return egress.ruleset(which, addresses if complete else addresses | set(present_addresses(which)), user)


def addresses_of(names, find=resolve_soon):
    """(set of addresses of ``names``, whether every name has one now)."""
    addresses, complete = set(), True
    for name in names:
        try:
            addresses.update(find(name))
        except OSError:
            complete = False
    return addresses, complete


def present_addresses(which):
    """Those of the rules that are installed, [] when there are none."""
    return egress.parse_addresses(present_rules(which))


def present_rules(which):
    """The text of the rules that are installed, '' when there are none."""
    try:
        with open(which.rules, encoding='utf-8') as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return ''


def keep(which, names, stop, say, user=None, period=EgressKeeper.PERIOD, news=None, clock=time.monotonic):
    """Keep a rule in force until ``stop`` (threading.Event). It may come later than this process.

    :param names: function() -> names and addresses of the site's servers, None when they cannot be told; those of
        before stay where it fails.
    :param news: function() -> what tells, for little, that the names are others than before: looked at each
        :data:`NEWS` seconds.
    """
    known, heard = [None], None

    def present():
        try:
            known[0] = names()
        except (OverlayError, OSError):
            pass  # a file that is being written, say: what was known holds
        return known[0]

    keeper = EgressKeeper(which, present, resolve, lambda: egress_table.inspect(which), lambda text: load(
        text, find_nft(), 'sudo systemctl restart ' + which.unit), say, user, period)
    due = clock()
    while not stop.is_set():
        # Before the names are asked for: what changes in between is news the next time.
        before, heard = heard, news() if news else None
        if heard != before or clock() >= due:
            due = clock() + (keeper.step() if os.path.exists(which.rules) else period)
        left = max(0.0, due - clock())
        stop.wait(min(left, NEWS) if news else left)
