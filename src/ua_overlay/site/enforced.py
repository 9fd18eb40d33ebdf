"""Ask the running Headscale whether it enforces the rules of a site. Whatever says so asks here, and nowhere else.

Headscale's REST interface returns the policy file, not the policy that it runs. So every policy declares a tag of its
own (policy.marker), and Headscale's policy manager is asked whether it knows that tag (rest.known_tags).
"""
from typing import Iterable, NamedTuple, Optional, Sequence, Set

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy
from ua_overlay.headscale.api import HeadscaleApi
from ua_overlay.headscale.evaluator import Alias
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rules import Rules
from ua_overlay.protocols import JsonObject
from ua_overlay.system import foreign_file

#: Bytes of the longest policy.json: 32 times that of a site of 1,000 teams.
_LONGEST_POLICY = 32 * 1024 * 1024


class Enforced(NamedTuple):
    """What Headscale showed.

    :ivar state: whether it enforces the rules; None: unknown.
    """

    state: Optional[bool]
    sentence: str
    next_command: str = ''


class SiteFacts(NamedTuple):
    """What is compared with Headscale: the rules of a site, and the text of its policy.json."""

    rules: Rules
    policy_text: str


def read_policy(path: str) -> str:
    """Return the text of policy.json; '' if it is no file that can be read."""
    try:
        return foreign_file.read_text(path, longest=_LONGEST_POLICY)
    except OSError:
        return ''


def running_markers(client: HeadscaleApi, markers: Iterable[Alias],
                    nodes: Optional[Sequence[Node]] = None) -> Optional[Set[Alias]]:
    """Return those of ``markers`` that the running Headscale knows; None while it has no node for the question.

    :param nodes: of a moment ago; default: ask for them.
    :raises RestError: Headscale does not answer.
    """
    nodes = client.nodes() if nodes is None else nodes
    return client.known_tags(nodes[0].id, markers) if nodes else None


def in_force(client: HeadscaleApi, candidate: JsonObject) -> Optional[bool]:
    """Return whether the running Headscale has the grants of ``candidate``; None while it has no node to ask about.

    :raises RestError: Headscale does not answer.
    """
    wanted = policy.marker(candidate)
    known = running_markers(client, [wanted])
    return None if known is None else wanted in known


def ask(client: HeadscaleApi, facts: SiteFacts, policy_apply: str,
        nodes: Optional[Sequence[Node]] = None) -> Enforced:
    """Return whether Headscale enforces the rules of a site.

    :param policy_apply: the command that applies them.
    :param nodes: as for :func:`running_markers`.
    """
    wanted, written = policy.marker(policy.make_policy(facts.rules)), policy.marker_of_text(facts.policy_text)
    try:
        known = running_markers(client, {each for each in (wanted, written) if each}, nodes)
    except OverlayError as error:
        return unknown(error)
    return judge(known, wanted, written, policy_apply)


def unknown(error: OverlayError) -> Enforced:
    """Return what is said when Headscale could not be asked. Pure."""
    return Enforced(None, 'Whether these rules are in force is unknown: {}'.format(error.sentence), error.next_command)


def judge(known: Optional[Set[Alias]], wanted: Alias, written: Alias, policy_apply: str) -> Enforced:
    """Decide what to say. Pure.

    :param known: those of the two markers that Headscale knows; None: it could not be asked.
    :param wanted: the marker of the rules of site.yaml.
    :param written: the marker of policy.json, which the server applied last; '' if it is not the one of its content.
    """
    if known is None:
        return Enforced(None, 'Headscale shows whether these rules are in force only after the first machine has '
                              'joined.')
    if wanted in known and written != wanted:
        return Enforced(False, 'Headscale may run other rules: somebody has edited policy.json, which the server '
                               'writes.', policy_apply)
    if wanted in known:
        return Enforced(True, 'These rules are in force.')
    if written in known:
        return Enforced(False, 'These rules are not in force: site.yaml was edited, and Headscale runs the rules that '
                               'were applied before.', policy_apply)
    return Enforced(False, 'These rules are not in force: Headscale runs neither them nor the rules that were applied '
                           'before.', policy_apply)
