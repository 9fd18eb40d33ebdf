"""Makes the rules in site.yaml the policy in force, and believes it only when Headscale has shown it.

Headscale refuses a policy in its log alone, and its REST interface answers with the file, not with what is in force.
Hence: every policy declares a tag of its own (policy.marker), and Headscale is asked whether it knows that tag.
"""
import json
import signal
import threading

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy
from ua_overlay.headscale.evaluator import unmet
from ua_overlay.headscale.rest import RestError
from ua_overlay.system import files

#: How long Headscale may take to say that it has read its policy, in seconds.
RELOAD_TIMEOUT = 20.0
_RELOADED = 'Policy reload completed'
_NOT_RELOADED = 'reloading policy'


class PolicyError(OverlayError):
    """The rules make no policy that can be put in force; the one before stays."""

    code = 'POLICY'


def check(site, client):
    """The policy of a site for the nodes that are there now, as Headscale would accept it. Changes nothing.

    :param site: a freshly loaded Site.
    :param client: RestClient, or None when the server is not running: then Headscale is not asked.
    :returns: the policy (dict).
    :raises PolicyError: our evaluator or Headscale objects; the sentence carries its words.
    """
    for attempt in (1, 2):
        present = policy.present_aliases(client.nodes()) if client is not None else ()
        made = policy.make_policy(site.rules, present)
        found = unmet(made, site.rules)
        if found:
            raise PolicyError('The policy made of {} would be wrong: {}'.format(site.path('site.yaml'), found[0]),
                              site.command('policy check'))
        try:
            if client is not None:
                client.check_policy(policy.dump_policy(made))
            return made
        except RestError as error:
            # A robot that left between the two questions makes its tests fail.
            if attempt == 2 or present == policy.present_aliases(client.nodes()):
                raise PolicyError('Headscale does not take the policy made of {}: {}'.format(
                    site.path('site.yaml'), error.sentence), site.command('policy check'))
    raise AssertionError('unreachable')


def in_force(client, made):
    """Whether the running Headscale has the grants of policy ``made``; None when it cannot be seen (no node yet)."""
    nodes = client.nodes()
    return client.knows_tag(nodes[0].id, policy.marker(made)) if nodes else None


def ensure_users(client, rules):
    """Make the users of the site that Headscale does not have yet."""
    there = set(client.users()) if rules.users else set()
    for name in sorted(set(rules.users) - there):
        client.create_user(name)


class PolicyApplier:
    """Part of `server run`: one writer of policy.json.

    :param site: the Site as `server run` read it; its rules are in force first.
    :param connect: function() -> RestClient.
    :param child: function() -> the Child that runs Headscale.
    :param remember: function(Rules), called with those that are in force from now on.
    """

    def __init__(self, site, connect, child, timeout=RELOAD_TIMEOUT, remember=lambda rules: None):
        self._site = site
        self._connect = connect
        self._child = child
        self._timeout = timeout
        self._remember = remember
        self._lock = threading.Lock()
        self._running = ''
        self._present = None
        self._client = None

    def started(self):
        """Headscale starts, and reads the file as it is now."""
        self._present = None
        self._running = policy.marker(json.loads(_read(self._site.policy_file)))

    def apply(self):
        """Put the rules of site.yaml in force, as the file is now.

        :returns: (the Site, whether anything changed).
        :raises OverlayError: the file makes no sense, Headscale objects or does not confirm; nothing changed then.
        """
        with self._lock:
            site = type(self._site).load(self._site.directory)
            changed = self._put(site, self._connect())
            self._site, self._present = site, None
            self._remember(site.rules)
            return site, changed

    def refresh(self):
        """Have the policy tested for the nodes that are there now. The file site.yaml may be in the middle of an edit:
        it is not read.

        :returns: the list of Node.
        :raises OverlayError: as :meth:`apply`.
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
                # Perhaps its API key has come to its end.
                self._client = None
                raise
            return nodes

    def _put(self, site, client):
        ensure_users(client, site.rules)
        made = check(site, client)
        text, before = policy.dump_policy(made), _read(site.policy_file)
        changed = policy.marker(made) != self._running
        if text != before:
            files.write_atomic(site.policy_file, text, mode=0o600)
        try:
            # A join or removal changes the tests alone. They have just been run, and need no reload, which would have
            # Headscale compute the network map of every robot.
            if changed:
                self._reload(site, client, made)
        except OverlayError:
            # What is on the disk is what a restart would read.
            files.write_atomic(site.policy_file, before, mode=0o600)
            raise
        self._running = policy.marker(made)
        return changed

    def _reload(self, site, client, made):
        child = self._child()
        if not child.running():
            raise PolicyError('headscale is not running at the moment; it reads the policy when it starts.',
                              site.command('server status'))
        mark = child.mark()
        child.signal(signal.SIGHUP)
        line = child.wait_for_line((_RELOADED, _NOT_RELOADED), mark, self._timeout)
        if line is None and not in_force(client, made):
            raise PolicyError('headscale did not confirm the new policy within {:.0f} s.'.format(self._timeout),
                              site.command('policy show'))
        if line is not None and _RELOADED not in line:
            raise PolicyError('headscale refused the new policy: {}'.format(line[-300:]), site.command('policy check'))
        if in_force(client, made) is False:
            raise PolicyError('headscale says that it has read the new policy, but the one before is in force.',
                              'less {}'.format(site.path('log', 'headscale.log')))


def _read(path):
    with open(path, encoding='utf-8') as stream:
        return stream.read()
