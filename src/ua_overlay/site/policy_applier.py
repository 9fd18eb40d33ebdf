"""Apply the rules of site.yaml, and report them as in force only after Headscale has confirmed that.

Headscale reports a refused policy only in its log, and its REST interface returns the file, not the policy in force. So
every policy declares a unique tag (policy.marker), and this module queries whether Headscale knows that tag.
"""
import json
import signal
import threading
from typing import Callable, List, Optional, Protocol, Sequence, Set, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy
from ua_overlay.headscale.api import Connect, HeadscaleApi
from ua_overlay.headscale.evaluator import Alias, unmet
from ua_overlay.headscale.rest import Node, RestError
from ua_overlay.headscale.rules import Rules
from ua_overlay.protocols import JsonObject
from ua_overlay.site.site import Site
from ua_overlay.system import files

#: Seconds within which Headscale must report that it has read its policy.
RELOAD_TIMEOUT = 20.0
_RELOADED = 'Policy reload completed'
_NOT_RELOADED = 'reloading policy'


class PolicyError(OverlayError):
    """Headscale does not accept the policy of the rules; the previous one stays in force."""

    code = 'POLICY'


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
            # The tests of a robot that left in between fail: try once more with the current nodes.
            if attempt == 2 or present == policy.present_aliases(client.nodes()):
                raise PolicyError('Headscale refuses the policy made of {}: {}'.format(
                    site.path('site.yaml'), error.sentence), site.command('policy check'))
    raise AssertionError('unreachable')


def in_force(client: HeadscaleApi, candidate: JsonObject) -> Optional[bool]:
    """Return whether the running Headscale has the grants of ``candidate``; None while it has no node for the query."""
    nodes = client.nodes()
    return client.knows_tag(nodes[0].id, policy.marker(candidate)) if nodes else None


def ensure_users(client: HeadscaleApi, rules: Rules) -> None:
    """Create the users of the site that Headscale does not have yet."""
    existing = set(client.users()) if rules.users else set()
    for name in sorted(set(rules.users) - existing):
        client.create_user(name)


class PolicyApplier:
    """Part of `server run`: the one writer of policy.json.

    :param site: as `server run` read it; its rules are in force at first.
    :param connect: opens the REST interface of the running server.
    :param process: returns the process that runs Headscale.
    :param timeout: seconds that Headscale may take to confirm a policy.
    :param remember: called with the rules that have come into force.
    """

    def __init__(self, site: Site, connect: Connect, process: Callable[[], HeadscaleProcess],
                 timeout: float = RELOAD_TIMEOUT, remember: Callable[[Rules], None] = lambda rules: None) -> None:
        self._site = site
        self._connect = connect
        self._process = process
        self._timeout = timeout
        self._remember = remember
        self._lock = threading.Lock()
        #: The marker of the policy in force.
        self._running = ''
        #: The aliases in its tests; None: unknown, so the next refresh tests the policy.
        self._present: Optional[Set[Alias]] = None
        self._client: Optional[HeadscaleApi] = None

    def started(self) -> None:
        """Note that Headscale starts, and reads the current policy.json."""
        self._present = None
        self._running = policy.marker(json.loads(_read(self._site.policy_file)))

    def apply(self) -> Tuple[Site, bool]:
        """Apply the rules of the current site.yaml.

        :returns: (the site, whether anything changed).
        :raises OverlayError: site.yaml is invalid, or Headscale refuses or does not confirm the policy; nothing was
            changed.
        """
        with self._lock:
            site = type(self._site).load(self._site.directory)
            changed = self._put(site, self._connect())
            self._site, self._present = site, None
            self._remember(site.rules)
            return site, changed

    def refresh(self) -> List[Node]:
        """Test the policy for the existing nodes, without reading site.yaml, which a person may be editing.

        :returns: the nodes.
        :raises OverlayError: see :meth:`apply`.
        """
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            try:
                nodes = self._client.nodes()
                present = policy.present_aliases(nodes)
                if present != self._present:
                    self._put(self._site, self._client)
                    self._present = present
            except OverlayError:
                # The API key may have expired: reconnect next time.
                self._client = None
                raise
            return nodes

    def _put(self, site: Site, client: HeadscaleApi) -> bool:
        """Put the rules of ``site`` into force; return whether anything changed."""
        ensure_users(client, site.rules)
        candidate = check(site, client)
        text, before = policy.dump_policy(candidate), _read(site.policy_file)
        changed = policy.marker(candidate) != self._running
        if text != before:
            files.write_atomic(site.policy_file, text, mode=0o600)
        try:
            # A robot that joins or leaves changes only the tests. They have just passed, so avoid a reload, which would
            # make Headscale compute the network map of every robot.
            if changed:
                self._reload(site, client, candidate)
        except OverlayError:
            # Restore the old policy in the file, because a restart would read it.
            files.write_atomic(site.policy_file, before, mode=0o600)
            raise
        self._running = policy.marker(candidate)
        return changed

    def _reload(self, site: Site, client: HeadscaleApi, candidate: JsonObject) -> None:
        process = self._process()
        if not process.running():
            raise PolicyError('headscale is not running at the moment; it reads the policy when it starts.',
                              site.command('server status'))
        mark = process.mark()
        process.signal(signal.SIGHUP)
        line = process.wait_for_line((_RELOADED, _NOT_RELOADED), mark, self._timeout)
        if line is None and not in_force(client, candidate):
            raise PolicyError('headscale did not confirm the new policy within {:.0f} s.'.format(self._timeout),
                              site.command('policy show'))
        if line is not None and _RELOADED not in line:
            raise PolicyError('headscale refused the new policy: {}'.format(line[-300:]), site.command('policy check'))
        if in_force(client, candidate) is False:
            raise PolicyError('headscale reports that it has read the new policy, but the previous one is in force.',
                              'less {}'.format(site.path('log', 'headscale.log')))


def _read(path: str) -> str:
    with open(path, encoding='utf-8') as stream:
        return stream.read()
