"""How `server run` applies a policy: written, signalled, read back, and restored when Headscale refuses it.

Headscale is played here, because the real one cannot be made to refuse a policy after its own check has passed.
The real one: test/lab/test_policy_real.py.
"""
import json
import os

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import policy
from ua_overlay.headscale.rest import Node, RestError
from ua_overlay.headscale.rules import Rules, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site.policy_applier import PolicyApplier, PolicyError, check, in_force
from ua_overlay.site.site import Site


def node(name, *tags, user=''):
    return Node(name, name, name, (), tags, True, None, None, None, user)


class Headscale:
    """Both ends of it: REST, and the process that is signalled."""

    def __init__(self, site):
        self.site = site
        self.here = [node('relay', 'tag:relay')]
        self.names = {}
        self.refusals = []
        self.says = 'INF Policy reload completed'
        self.takes = True
        self.up = True
        self.signals = 0
        self.tags = ()
        self.read()

    def read(self):
        with open(self.site.policy_file) as stream:
            self.tags = json.load(stream)['tagOwners']

    # REST
    def nodes(self):
        return self.here

    def users(self):
        return self.names

    def create_user(self, name):
        self.names[name] = str(len(self.names) + 1)

    def check_policy(self, text):
        if self.refusals:
            raise RestError(self.refusals.pop(0))

    def knows_tag(self, _node_id, tag):
        return tag in self.tags

    # the process
    def running(self):
        return self.up

    def mark(self):
        return 0

    def signal(self, _number):
        self.signals += 1
        if self.takes:
            self.read()

    def wait_for_line(self, _words, _mark, _timeout):
        return self.says


def make_trust(directory):
    for name in ('ca.pem', 'ca.key', 'server.pem', 'server.key'):
        with open(os.path.join(directory, name), 'w') as stream:
            stream.write(name)


@pytest.fixture
def site(tmp_path):
    made = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), make_trust)
    made.rules = Rules({'iris': Team('iris')})
    made.write_settings()
    made.write_generated()
    return made


@pytest.fixture
def headscale(site):
    return Headscale(site)


@pytest.fixture
def applier(site, headscale):
    made = PolicyApplier(site, lambda: headscale, lambda: headscale)
    made.started()
    return made


def edit(site, **rules):
    """Change the file as a person would, without telling the running server."""
    changed = Site.load(site.directory)
    changed.rules = Rules(**rules)
    changed.write_settings()
    return changed


def on_disk(site):
    with open(site.policy_file) as stream:
        return json.load(stream)


TWO = {'iris': Team('iris'), 'blue': Team('blue')}


def test_new_rules_are_written_signalled_and_verified(site, headscale, applier):
    edit(site, teams=TWO)
    loaded, changed = applier.apply()
    assert changed and sorted(loaded.teams) == ['blue', 'iris'] and headscale.signals == 1
    assert 'tag:blue' in on_disk(site)['tagOwners'] and in_force(headscale, on_disk(site))
    assert applier.apply()[1] is False and headscale.signals == 1


def test_rules_are_saved_only_once_in_force(site, headscale):
    kept = []
    applier = PolicyApplier(site, lambda: headscale, lambda: headscale, remember=kept.append)
    applier.started()
    edit(site, teams=TWO)
    headscale.takes = False
    with pytest.raises(PolicyError):
        applier.apply()
    assert kept == []
    headscale.takes = True
    applier.apply()
    assert [sorted(rules.teams) for rules in kept] == [['blue', 'iris']]


def test_joining_and_leaving_change_the_tests_without_a_reload(site, headscale, applier):
    applier.refresh()
    assert all('relay' in each for test in on_disk(site).get('tests', ()) for each in test['deny'])
    headscale.here.append(node('dev-1', 'tag:iris'))
    applier.refresh()
    assert any('tag:iris:22' in test.get('accept', ()) for test in on_disk(site)['tests'])
    headscale.here.pop()
    applier.refresh()
    assert not any('tag:iris:22' in test.get('accept', ()) for test in on_disk(site).get('tests', ()))
    assert headscale.signals == 0


def test_a_refresh_does_not_read_the_edited_file(site, applier):
    edit(site, teams=TWO)
    applier.refresh()
    assert 'tag:blue' not in on_disk(site)['tagOwners']
    with open(site.path('site.yaml'), 'w') as stream:
        stream.write('nonsense')
    applier.refresh()
    with pytest.raises(UsageError):
        applier.apply()
    assert 'tag:iris' in on_disk(site)['tagOwners']


@pytest.mark.parametrize('fail, words', [
    (lambda h: h.refusals.append('test(s) failed'), 'refuses the policy .*test\\(s\\) failed'),
    (lambda h: setattr(h, 'says', 'ERR reloading policy error="no"'), 'refused the new policy'),
    (lambda h: (setattr(h, 'says', None), setattr(h, 'takes', False)), 'did not confirm'),
    (lambda h: setattr(h, 'takes', False), 'the previous one is in force'),
    (lambda h: setattr(h, 'up', False), 'not running at the moment')])
def test_a_refused_policy_is_replaced_by_the_previous_one(site, headscale, applier, fail, words):
    before = on_disk(site)
    edit(site, teams=TWO)
    fail(headscale)
    with pytest.raises(PolicyError, match=words) as caught:
        applier.apply()
    assert caught.value.next_command and on_disk(site) == before
    # Joining and leaving is still tested against the rules in force.
    headscale.here.append(node('dev-1', 'tag:iris'))
    headscale.says, headscale.takes, headscale.up = 'Policy reload completed', True, True
    applier.refresh()
    assert 'tag:blue' not in on_disk(site)['tagOwners'] and on_disk(site)['tests']


def test_a_missing_confirmation_is_no_failure_when_the_policy_is_in_force(site, headscale, applier):
    edit(site, teams=TWO)
    headscale.says = None
    assert applier.apply()[1] is True


def test_a_robot_that_leaves_during_the_check_is_no_failure(site, headscale):
    left = [node('relay', 'tag:relay')]
    headscale.here = left + [node('dev-1', 'tag:iris')]
    headscale.refusals = ['tag:iris: resolved to no IP addresses']
    asked = headscale.check_policy

    def leave(text):
        headscale.here = left
        asked(text)

    headscale.check_policy = leave
    assert 'tag:iris' not in {test['src'] for test in check(site, headscale)['tests']}
    assert headscale.refusals == []


def test_missing_users_are_created_first(site, headscale, applier):
    edit(site, teams=TWO, users={'ana': User('ana', ('iris',)), 'bob': User('bob', ())})
    headscale.names = {'bob': '1'}
    applier.apply()
    assert set(headscale.names) == {'ana', 'bob'}


def test_a_client_whose_key_expired_is_replaced(site, headscale):
    made = []

    class Ended(Headscale):
        def nodes(self):
            raise OverlayError('the API key is over')

    def connect():
        made.append(1)
        return Ended(site) if len(made) == 1 else headscale

    applier = PolicyApplier(site, connect, lambda: headscale)
    applier.started()
    with pytest.raises(OverlayError):
        applier.refresh()
    assert applier.refresh() == headscale.here and applier.refresh() and len(made) == 2


def test_without_nodes_the_policy_cannot_be_verified(site, headscale):
    headscale.here = []
    assert in_force(headscale, policy.make_policy(site.rules)) is None
