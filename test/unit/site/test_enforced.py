"""What Headscale is asked about the rules in force, and what is said. The real one: test/lab/test_policy_real.py."""
import pytest

from ua_overlay.headscale import policy
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rest import ServerBusy
from ua_overlay.headscale.rules import Rules, Team
from ua_overlay.site import enforced

ONE, TWO = Rules({'iris': Team('iris')}), Rules({'iris': Team('iris'), 'blue': Team('blue')})


class Headscale:
    """Runs the policy of ``rules``."""

    def __init__(self, rules, *names, error=None):
        self.tags, self.names, self.error = set(policy.make_policy(rules)['tagOwners']), names, error

    def nodes(self):
        return [Node(name, name, name, (), (), True, None, None, None) for name in self.names]

    def known_tags(self, _node_id, tags):
        if self.error:
            raise self.error
        return self.tags & set(tags)


def ask(client, rules, written=None):
    text = '' if written is None else policy.dump_policy(policy.make_policy(written))
    return enforced.ask(client, enforced.SiteFacts(rules, text), 'ua-overlay policy apply')


def test_the_rules_in_force():
    assert ask(Headscale(ONE, 'relay'), ONE, ONE)[:2] == (True, 'These rules are in force.')
    assert enforced.in_force(Headscale(ONE, 'relay'), policy.make_policy(ONE)) is True
    assert enforced.in_force(Headscale(ONE, 'relay'), policy.make_policy(TWO)) is False


@pytest.mark.parametrize('written, words', [
    (ONE, 'site.yaml was edited'), (TWO, 'runs neither'), (None, 'runs neither')])
def test_rules_that_are_not_in_force(written, words):
    found = ask(Headscale(ONE, 'relay'), TWO, written)
    assert found.state is False and words in found.sentence and found.next_command == 'ua-overlay policy apply'


def test_an_edited_policy_file_proves_nothing():
    """Its marker is the tag of the rules before the edit, and Headscale may have read it since."""
    edited = policy.make_policy(ONE)
    edited['grants'].append({'src': ['*'], 'dst': ['*'], 'ip': ['*']})
    found = enforced.ask(Headscale(ONE, 'relay'), enforced.SiteFacts(ONE, policy.dump_policy(edited)), 'policy apply')
    assert found.state is False and 'edited policy.json' in found.sentence and found.next_command == 'policy apply'


def test_nobody_can_be_asked():
    found = ask(Headscale(ONE), ONE, ONE)
    assert found.state is None and 'first machine' in found.sentence
    assert enforced.in_force(Headscale(ONE), policy.make_policy(ONE)) is None


def test_headscale_does_not_answer():
    found = ask(Headscale(ONE, 'relay', error=ServerBusy('It is locked.', 'kill 5')), ONE, ONE)
    assert found == (None, 'Whether these rules are in force is unknown: It is locked.', 'kill 5')
