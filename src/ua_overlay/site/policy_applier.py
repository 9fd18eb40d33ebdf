"""Apply the rules of site.yaml, and report them as in force only after Headscale has shown that it runs them.

Headscale reports a refused policy only in its log. Whatever happens between its signal and its answer, the rules in
force are unknown from the signal on, until it has answered (site.enforced). When that fails, the way back is a second
reload, with the previous policy, and that is read back too. Until then the server goes on trying (:meth:`refresh`).
"""
import os
import signal
import threading
import time
from typing import Callable, List, NamedTuple, NoReturn, Optional, Protocol, Sequence, Set, Tuple

from ua_overlay.advice import command as command_line
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy
from ua_overlay.headscale.api import Connect, HeadscaleApi
from ua_overlay.headscale.evaluator import Alias, unmet
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rest import RestError
from ua_overlay.headscale.rules import Rules
from ua_overlay.printable import printable
from ua_overlay.protocols import Clock, JsonObject
from ua_overlay.site.enforced import read_policy, running_markers
from ua_overlay.site.site import Site
from ua_overlay.system import file_system, files, replacement
from ua_overlay.system.replacement import Replacement
from ua_overlay.system.staleness import Staleness

#: Seconds within which Headscale must have read its policy.
RELOAD_TIMEOUT = 20.0
#: The same for the way back: a Headscale that does not answer gets a second chance from :meth:`PolicyApplier.refresh`,
#: which nobody waits for.
BACK_TIMEOUT = 8.0
#: Seconds that Headscale may take to log the end of a reload after it has logged its start. A reload that changes
#: nothing logs no end.
END_TIMEOUT = 3.0
#: Seconds without a question after which nothing is known. One takes 15 s at most, a reload with its way back some 60.
SILENT_AFTER = 180.0
#: Lines of Headscale 0.29.3: hscontrol/app.go (sigFunc: first and last), hscontrol/state/state.go (ReloadPolicy). They
#: are the same in 0.30. One goroutine handles its signals, one after the other.
_RECEIVED = 'Received SIGHUP'
_RELOADED = 'Policy reload completed'
_NOT_RELOADED = 'reloading policy'

#: The states of the rules: Headscale has shown that it runs them; it has not; nobody has asked it yet.
IN_FORCE, UNKNOWN, STARTING = 'in force', 'unknown', 'starting'


class PolicyError(OverlayError):
    """The rules of site.yaml were not applied; the previous ones are in force."""

    code = 'POLICY'


class PolicyUnknown(PolicyError):
    """The rules of site.yaml were not applied, and Headscale has not shown which rules are in force."""

    code = 'POLICY_UNKNOWN'


class PolicyState(NamedTuple):
    """What is known about the rules of the server.

    :ivar kind: IN_FORCE, UNKNOWN or STARTING.
    :ivar sentence: why, if it is not IN_FORCE.
    """

    kind: str
    sentence: str = ''


class HeadscaleProcess(Protocol):
    """The process that reloads its policy at SIGHUP; system.child.Child implements it."""

    def running(self) -> bool:
        ...

    def signal(self, number: int) -> None:
        ...

    def mark(self) -> int:
        """Return the current position in its output."""
        ...

    def wait_for_line(self, texts: Sequence[str], mark: int, timeout: float) -> Optional[str]:
        """Return the first line after ``mark`` that contains one of ``texts``; None after ``timeout`` seconds."""
        ...


def check(site: Site, client: Optional[HeadscaleApi]) -> JsonObject:
    """Return the checked policy of a site for the existing nodes, without applying it.

    :param site: freshly loaded.
    :param client: None if the server is not running; then Headscale does not check the policy.
    :raises PolicyError: our evaluator or Headscale refuses it; the sentence has the reason.
    """
    for attempt in (1, 2):
        present: Set[Alias] = policy.present_aliases(client.nodes()) if client is not None else set()
        candidate = policy.make_policy(site.rules, present)
        differences = unmet(candidate, site.rules)
        if differences:
            raise PolicyError('The policy made of {} would be wrong: {}'.format(
                site.path('site.yaml'), differences[0]), site.command('policy check'))
        if client is None:
            return candidate
        try:
            client.check_policy(policy.dump_policy(candidate))
            return candidate
        except RestError as error:
            if not error.detail:  # no answer at all
                raise
            # The tests of a robot that left in between fail: try once more with the current nodes.
            if attempt == 2 or present == policy.present_aliases(client.nodes()):
                raise PolicyError('Headscale refuses the policy made of {}: {}'.format(
                    site.path('site.yaml'), error.sentence), site.command('policy check'))
    raise AssertionError('unreachable')


def ensure_users(client: HeadscaleApi, rules: Rules) -> None:
    """Create the users of the site that Headscale does not have yet."""
    existing = set(client.users()) if rules.users else set()
    for name in sorted(set(rules.users) - existing):
        client.create_user(name)


def confirmed(wanted: Alias, known: Optional[Set[Alias]], was_known: Optional[bool], received: bool,
              ended: bool) -> bool:
    """Decide whether a reload has put the policy with the marker ``wanted`` into force. Pure.

    The file was written before the signal, so every reload that begins after the signal reads it. Headscale logs when
    one begins. Without that line an earlier reload may still be under way, with another file.

    :param known: the markers that Headscale knows now; None while it has no node to ask about.
    :param was_known: whether it knew ``wanted`` before the signal; None: unknown.
    :param received: whether Headscale has logged that a reload began after the signal.
    :param ended: whether it has logged that a reload changed something.
    """
    if known is None:
        # No machine exists on which the rules could act.
        return ended or received
    return wanted in known and (received or ended or was_known is False)


class PolicyApplier:
    """Part of `server run`: the one writer of policy.json.

    :param site: as `server run` read it; its rules are in force at first.
    :param connect: opens the REST interface of the running server.
    :param process: returns the process that runs Headscale.
    :param timeout: seconds that Headscale may take to confirm a policy.
    :param remember: called with the rules that have come into force.
    """

    def __init__(self, site: Site, connect: Connect, process: Callable[[], HeadscaleProcess],
                 timeout: float = RELOAD_TIMEOUT, remember: Callable[[Rules], None] = lambda rules: None,
                 clock: Clock = time.monotonic) -> None:
        self._site = site
        self._connect = connect
        self._process = process
        self._timeout = timeout
        self._remember = remember
        self._clock = clock
        self._lock = threading.Lock()
        self._state = PolicyState(STARTING)
        self._staleness = Staleness(SILENT_AFTER, clock)
        #: Whether Headscale was told to reload, and has not shown that it did: then a known marker proves nothing,
        #: because an earlier reload may still be under way.
        self._unproven = False
        #: The aliases in its tests; None: unknown, so the next refresh tests the policy.
        self._present: Optional[Set[Alias]] = None
        self._client: Optional[HeadscaleApi] = None

    @property
    def state(self) -> PolicyState:
        """What is known about the server's rules; any thread may read it."""
        state = self._state
        hangs = self._staleness.sentence('The thread that asks Headscale which rules it runs')
        return PolicyState(UNKNOWN, hangs) if hangs and state.kind == IN_FORCE else state

    def started(self) -> None:
        """Note that Headscale starts, and reads the current policy.json."""
        self._present, self._unproven = None, False
        self._state = PolicyState(STARTING)
        replacement.sweep(self._site.policy_file)

    def lost(self, sentence: str) -> None:
        """Note that nobody asks Headscale any more."""
        self._state = PolicyState(UNKNOWN, sentence)

    def apply(self) -> Tuple[Site, bool]:
        """Apply the rules of the current site.yaml.

        :returns: (the site, whether anything changed).
        :raises PolicyUnknown: Headscale has not shown which rules are in force.
        :raises OverlayError: site.yaml is invalid, or Headscale refuses the policy; the previous rules are in force.
        """
        with self._lock:
            self._staleness.seen()
            site = type(self._site).load(self._site.directory)
            changed = self._put(site, self._connect())
            self._site, self._present = site, None
            self._remember(site.rules)
            return site, changed

    def refresh(self) -> List[Node]:
        """Ask Headscale which policy it runs, put the server's rules into force if it runs others, and test the policy
        for the existing nodes.

        It does not read site.yaml, which a person may be editing.

        :returns: the nodes.
        :raises OverlayError: see :meth:`apply`.
        """
        with self._lock:
            self._staleness.seen()
            try:
                if self._client is None:
                    self._client = self._connect()
                nodes = self._client.nodes()
                present = policy.present_aliases(nodes)
                runs = self._runs(self._client, nodes)
                self._state = PolicyState(IN_FORCE) if runs else PolicyState(
                    UNKNOWN, 'Headscale runs other rules than those of the server.')
                if present != self._present or not runs:
                    self._put(self._site, self._client)
                    self._present = present
            except PolicyError:
                raise
            except OverlayError as error:
                # The API key may have expired: reconnect next time.
                self._client = None
                self._state = PolicyState(UNKNOWN, 'Which rules are in force is unknown: {}'.format(error.sentence))
                raise
            return nodes

    def _runs(self, client: HeadscaleApi, nodes: Sequence[Node]) -> bool:
        """Return whether Headscale has shown that it runs the server's rules."""
        wanted = policy.marker(policy.make_policy(self._site.rules))
        if self._unproven or policy.marker_of_text(read_policy(self._site.policy_file)) != wanted:
            return False
        return not nodes or wanted in client.known_tags(nodes[0].id, [wanted])

    def _put(self, site: Site, client: HeadscaleApi) -> bool:
        """Put the rules of ``site`` into force; return whether anything changed."""
        ensure_users(client, site.rules)
        candidate = check(site, client)
        text, before = policy.dump_policy(candidate), read_policy(site.policy_file)
        wanted, previous = policy.marker(candidate), policy.marker_of_text(before)
        known = running_markers(client, {each for each in (wanted, previous) if each})
        # A robot that joins or leaves changes only the tests. They have just passed, so avoid a reload, which would
        # make Headscale compute the network map of every robot.
        # A policy.json that somebody has edited may be in force with the same marker.
        reload = known is None or wanted not in known or previous != wanted or self._unproven
        replaced = Replacement(site.policy_file)
        if text != before or reload:
            # Without a reload there is nothing to go back to.
            self._write(text, replaced if reload else None)
        if reload:
            self._state = PolicyState(UNKNOWN, 'Headscale is reloading its policy.')
            try:
                self._reload(site, client, wanted, None if known is None else wanted in known, self._timeout)
            except OverlayError as error:
                self._go_back(client, replaced, wanted, previous, error)
            except BaseException:
                replaced.undo()
                raise
        replaced.keep()
        self._state = PolicyState(IN_FORCE)
        return reload if known is not None else text != before

    def _reload(self, site: Site, client: HeadscaleApi, wanted: Alias, was_known: Optional[bool],
                timeout: float) -> None:
        """Let Headscale read policy.json, and return once it has shown that it runs it.

        :param was_known: see :func:`confirmed`.
        :param timeout: seconds.
        :raises OverlayError: it refuses it, or has not shown that.
        """
        process = self._process()
        if not process.running():
            raise PolicyError('Headscale is not running at the moment.', site.command('server status'))
        mark, deadline = process.mark(), self._clock() + timeout
        self._unproven = True
        process.signal(signal.SIGHUP)
        received = process.wait_for_line((_RECEIVED, _RELOADED, _NOT_RELOADED), mark, timeout) is not None
        line = process.wait_for_line((_RELOADED, _NOT_RELOADED), mark, END_TIMEOUT if received else 0.0)
        if line is not None and _RELOADED not in line:
            raise PolicyError('Headscale refused its policy: {}'.format(printable(line[-300:])),
                              site.command('policy check'))
        while True:
            known = running_markers(client, [wanted])
            if confirmed(wanted, known, was_known, received, line is not None):
                self._unproven = False
                return
            if line is not None and known is not None and wanted not in known:
                raise PolicyError('Headscale reports that it has read its policy, but it runs another one.',
                                  command_line('less {}', site.path('log', 'headscale.log')))
            left = deadline - self._clock()
            if left <= 0 or not process.running():
                raise PolicyError('Headscale {}.'.format(
                    'did not confirm its policy within {:.0f} s'.format(timeout) if process.running() else
                    'ended before it confirmed its policy'), site.command('policy show'))
            line = line or process.wait_for_line((_RELOADED, _NOT_RELOADED), mark, min(1.0, left))
            received = received or line is not None

    def _go_back(self, client: HeadscaleApi, replaced: Replacement, wanted: Alias, previous: Alias,
                 error: OverlayError) -> NoReturn:
        """Put the previous policy into force again after a failed reload.

        :param wanted: the marker of the policy that failed.
        :param previous: the marker of the policy before it.
        :param error: the failure.
        :raises PolicyError: the previous rules are in force.
        :raises PolicyUnknown: that is not known.
        """
        ours = policy.marker(policy.make_policy(self._site.rules))
        try:
            if ours == wanted:
                # There is nothing to go back to: the next refresh tries again.
                replaced.keep()
                raise PolicyError(error.sentence)
            replaced.undo()
            if previous != ours:
                # Somebody had edited the file.
                text = policy.dump_policy(policy.make_policy(self._site.rules))
                files.write_atomic(self._site.policy_file, text, mode=0o600)
            self._reload(self._site, client, ours, None, min(self._timeout, BACK_TIMEOUT))
        except (OverlayError, OSError) as second:
            reason = getattr(second, 'sentence', None) or 'policy.json was not written back: {}.'.format(second)
            sentence = '{} Which rules are in force is unknown{}. The server goes on trying to restore the previous ' \
                       'ones.'.format(error.sentence, '' if reason == error.sentence else ': ' + reason.rstrip('.'))
            self._state = PolicyState(UNKNOWN, sentence)
            raise PolicyUnknown(sentence, self._site.command('policy show')) from error
        self._state = PolicyState(IN_FORCE)
        raise PolicyError('{} The previous rules are in force: Headscale has read them again.'.format(error.sentence),
                          error.next_command) from error

    def _write(self, text: str, replaced: Optional[Replacement]) -> None:
        try:
            # If somebody has removed it, there is no previous policy to keep.
            if replaced is not None and os.path.lexists(self._site.policy_file):
                replaced.put(text)
            else:
                files.write_atomic(self._site.policy_file, text, mode=0o600)
        except OSError as error:
            named = file_system.named(error, self._site.policy_file)
            raise PolicyError('{} was not written, so nothing was applied: {}.'.format(
                self._site.policy_file, named.strerror), file_system.next_command(
                    named, command_line('ls -ld {}', self._site.policy_file)))
