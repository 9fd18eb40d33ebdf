"""Keeps an egress rule in force, and the site's addresses in it, as somebody flushes it and names change theirs."""
import ipaddress

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, MISSING

NOT_KEPT = 'The egress rule is not kept: {}'


class EgressKeeper:
    """Driven by :meth:`step`; no clock of its own.

    :param which: egress.ROBOT or another; ``user``: see egress.ruleset.
    :param names: function() -> iterable of the DNS names and addresses of the site's servers, None while nobody knows.
    :param resolve: function(name) -> list of addresses (text); raises OSError when there is none.
    :param inspect: function() -> egress_table.TableState.
    :param load: function(text) that gives text to nft; raises OverlayError.
    :param say: function(str): one line for the journal.
    :param period: seconds between two looks.
    """

    PERIOD = 60.0
    #: While a name does not resolve: this many seconds, doubled up to the period.
    SOON = 2.0

    def __init__(self, which, names, resolve, inspect, load, say, user=None, period=PERIOD):
        self._which = which
        self._names = names
        self._resolve = resolve
        self._inspect = inspect
        self._load = load
        self._say = say
        self._user = user
        self._period = period
        self._resolved = {}
        self._loaded = None
        self._last_sentence = None
        self._soon = self.SOON

    def step(self):
        """Look once and return the seconds until the next look. A name that does not resolve now keeps what it had."""
        names = self._names()
        self._add(names or ())
        found, complete = {}, names is not None
        for name in sorted(set(names or ())):
            try:
                found[name] = sorted(set(self._resolve(name)))
            except OSError:
                complete = False
                if name in self._resolved:
                    found[name] = self._resolved[name]
        self._resolved = found
        self._soon = self.SOON if complete else min(2 * self._soon, self._period)
        wait = self._period if complete else self._soon
        addresses = sorted(set(sum(found.values(), [])))
        # One that has nobody to connect to is told from one of which nothing is known now.
        if addresses or complete:
            self._put(addresses)
        return wait

    def _add(self, names):
        """What is an address already is let through before any name is asked for: a dead name server may take half a
        minute for each."""
        addresses = {address for address in map(_address, names) if address}
        if addresses <= set(self._loaded or ()):
            return
        table_state = self._inspect()
        if table_state.state == IN_FORCE and not addresses <= set(table_state.addresses):
            try:
                self._load(egress.update(self._which, sorted(addresses.union(table_state.addresses))))
            except OverlayError as error:
                self._tell(NOT_KEPT.format(error.sentence))

    def _put(self, addresses):
        state = self._inspect().state
        broken = state in (MISSING, CHANGED)
        try:
            # Each time: a look that saw all in order may be older than whoever flushed the sets.
            self._load(egress.ruleset(self._which, addresses, self._user) if broken
                       else egress.update(self._which, addresses))
        except OverlayError as error:
            self._tell(NOT_KEPT.format(error.sentence))
            return
        if broken:
            self._tell('The egress rule was {}; it is loaded again.'.format(
                'gone' if state == MISSING else 'changed by somebody'))
        else:
            self._last_sentence = None
        if addresses != self._loaded:
            self._say('The servers of the site: {}'.format(', '.join(addresses) or 'this machine alone'))
        self._loaded = addresses

    def _tell(self, sentence):
        """Say it, once until all was well."""
        if sentence != self._last_sentence:
            self._say(sentence)
        self._last_sentence = sentence


def _address(name):
    """The canonical text of an address, None for a name."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None
