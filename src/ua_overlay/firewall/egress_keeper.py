"""Reconcile an egress rule: follow the addresses of the site's servers, and reload a rule that was flushed."""
import ipaddress
import time
from typing import Callable, Collection, Dict, Iterable, List, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import backend as backends
from ua_overlay.firewall import egress, egress_table
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.firewall.egress import Egress, Settings
from ua_overlay.firewall.egress_addresses import Resolve, installed_kind, installed_settings, proxy_hosts
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, MISSING, TableState
from ua_overlay.protocols import Clock, OnRound, Say, Stop
from ua_overlay.system import iptables, nft
from ua_overlay.system.backoff import Backoff

#: Seconds between two checks for changed names: tailscaled connects to a new DERP as soon as it learns of it, and
#: repeats a refused connection after some seconds.
NEWS = 1.0

NOT_KEPT = 'The egress rule cannot be updated: {}'

#: () -> names and addresses of the site's servers, None while they are unknown.
Names = Callable[[], Optional[Collection[str]]]


class EgressKeeper:
    """Reconciles one egress rule. Driven by :meth:`step`; it reads no clock.

    :param which: egress.ROBOT or another.
    :param names: names and addresses of the site's servers.
    :param resolve: a name -> its addresses.
    :param inspect: () -> the rule as the kernel has it.
    :param load: loads a text of egress.ruleset or egress.update; raises OverlayError.
    :param say: logs one line to the journal.
    :param settings: () -> those of the installed rules.
    :param backend: () -> that of the installed rules; raises OverlayError.
    :param period: seconds between two steps without problems.
    :param questions: the names that a server's user may resolve, None for those of the installed rules.
    :ivar problem: why the rule could not be loaded last, as a sentence; '' after it was.
    """

    PERIOD = 60.0
    #: The first pause while a name does not resolve, in seconds; doubled each time up to the period.
    FIRST_RETRY = 4.0

    def __init__(self, which: Egress, names: Names, resolve: Resolve, inspect: Callable[[], TableState],
                 load: Callable[[str], None], say: Say,
                 settings: Callable[[], Settings] = Settings,
                 backend: Callable[[], Backend] = lambda: backends.installed(NFT), period: float = PERIOD,
                 questions: Names = lambda: None) -> None:
        self._which = which
        self._names = names
        self._resolve = resolve
        self._inspect = inspect
        self._load = load
        self._say = say
        self._settings = settings
        self._backend = backend
        self._period = period
        self._resolved: Dict[str, List[str]] = {}
        self._loaded: Optional[List[str]] = None
        self._questions = questions
        self._last_sentence: Optional[str] = None
        self.problem = ''
        self._backoff = Backoff(self.FIRST_RETRY, period)

    def step(self) -> float:
        """Reconcile once; return the seconds until the next step. A name that does not resolve keeps its addresses.
        """
        names = self._names()
        if names is not None:
            # tailscaled reads its proxies once, at its start, so `robot prepare` reads them.
            names = list(names) + proxy_hosts(self._settings())
        self._allow_addresses(names or ())
        resolved, complete = {}, names is not None
        for name in sorted(set(names or ())):
            try:
                resolved[name] = sorted(set(self._resolve(name)))
            except OSError:
                complete = False
                if name in self._resolved:
                    resolved[name] = self._resolved[name]
        self._resolved = resolved
        addresses = sorted({address for found in resolved.values() for address in found})
        # No other servers ([]) differs from unknown servers (None).
        if addresses or complete:
            self._put(addresses)
        if not complete:
            return self._backoff.next()
        self._backoff.reset()
        return self._period

    def _allow_addresses(self, names: Iterable[str]) -> None:
        """Allow literal addresses before resolving any name: a dead name server may take half a minute for each
        name."""
        addresses = {address for address in map(_address, names) if address}
        if addresses <= set(self._loaded or ()):
            return
        table_state = self._inspect()
        if table_state.state == IN_FORCE and not addresses <= set(table_state.addresses):
            try:
                self._load(self._text(egress.update, sorted(addresses.union(table_state.addresses))))
            except OverlayError as error:
                self.problem = NOT_KEPT.format(error.sentence)
                self._say_once(self.problem)

    def _put(self, addresses: List[str]) -> None:
        state = self._inspect().state
        broken = state in (MISSING, CHANGED)
        try:
            # Load every time, even without a visible problem: the sets may be flushed after the inspection.
            self._load(self._text(egress.ruleset if broken else egress.update, addresses))
        except OverlayError as error:
            self.problem = NOT_KEPT.format(error.sentence)
            self._say_once(self.problem)
            return
        self.problem = ''
        if broken:
            self._say_once('The egress rule was {}; it is loaded again.'.format(
                'missing' if state == MISSING else 'changed by another program'))
        else:
            self._last_sentence = None
        if addresses != self._loaded:
            self._say('Servers of the site: {}'.format(', '.join(addresses) or 'this machine alone'))
        self._loaded = addresses

    def _text(self, make: Callable[[Egress, Settings, Backend], str], addresses: Iterable[str]) -> str:
        settings = self._settings()
        asked = self._questions() if settings.user else None
        if asked is not None:
            settings = settings._replace(names=tuple(sorted(name for name in set(asked) if _address(name) is None)))
        return make(self._which, settings._replace(addresses=tuple(addresses)), self._backend())

    def _say_once(self, sentence: str) -> None:
        """Say a sentence, and do not repeat it until the problem is over."""
        if sentence != self._last_sentence:
            self._say(sentence)
        self._last_sentence = sentence


def _address(name: str) -> Optional[str]:
    """Return the canonical text of an address, None for a name."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


def keep(which: Egress, names: Names, resolve: Resolve, stop: Stop, say: Say,
         user: str = '', period: float = EgressKeeper.PERIOD,
         news: Optional[Callable[[], object]] = None, clock: Clock = time.monotonic,
         questions: Names = lambda: None, on_round: OnRound = lambda problem: None) -> None:
    """Reconcile a rule until ``stop`` is set. Its file may not exist yet at the start.

    :param user: as egress.Settings, for a file of which this user may not read the settings.
    :param names: () -> names and addresses of the site's servers; while it raises OverlayError or OSError (for a
        half-edited file, for instance), the last answer is used.
    :param questions: as ``names``: what a server's user may resolve.
    :param news: () -> a cheap value that changes with the names; called every :data:`NEWS` seconds.
    """
    last: List[Optional[Collection[str]]] = [None]

    def last_names() -> Optional[Collection[str]]:
        try:
            last[0] = names()
        except (OverlayError, OSError):
            return last[0]
        return last[0]

    def known_questions() -> Optional[Collection[str]]:
        try:
            return questions()
        except (OverlayError, OSError):
            return None  # those of the installed rules

    def backend() -> Backend:
        return backends.installed(installed_kind(which) or NFT)

    def load(text: str) -> None:
        found, again = backend(), 'sudo systemctl restart ' + which.unit
        if found.kind == IPTABLES:
            iptables.load(text, again)
        else:
            nft.load(text, found.programs[0], again)

    keeper = EgressKeeper(which, last_names, resolve, lambda: egress_table.inspect(which), load, say,
                          lambda: installed_settings(which) or Settings(user=user), backend, period, known_questions)
    due, heard = clock(), None
    while not stop.is_set():
        # Call `news` before `names`, so that the next round notices a change in between.
        before, heard = heard, news() if news else None
        if heard != before or clock() >= due:
            due = clock() + (keeper.step() if installed_kind(which) else period)
        on_round(keeper.problem)
        left = max(0.0, due - clock())
        stop.wait(min(left, NEWS) if news else left)
