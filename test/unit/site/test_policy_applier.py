"""How `server run` applies a policy: written, signalled, read back; and the way back, which is read back too.

Headscale is played here, because the real one cannot be made to fail at each step. The real one, with real sockets
after each failure: test/lab/test_policy_real.py.
"""
import json
import os

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import policy
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rest import RestError, ServerBusy, ServerDown
from ua_overlay.headscale.rules import Rules, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site import policy_applier
from ua_overlay.site.policy_applier import (
    IN_FORCE,
    STARTING,
    UNKNOWN,
    PolicyApplier,
    PolicyError,
    PolicyState,
    PolicyUnknown,
    check,
    confirmed,
)
from ua_overlay.site.site import Site


def node(name, *tags, user=''):
    return Node(name, name, name, (), tags, True, None, None, None, user)


RECEIVED, RELOADED = 'INF Received SIGHUP, reloading ACL policy', 'INF Policy reload completed with changes'


class Headscale:
    """Both ends of it: REST, and the process that is signalled.

    `before_answer` is called before each REST call, with its name; it may raise. Each function of `on_signal` replaces
    what one signal does.
    """

    def __init__(self, site):
        self.site = site
        self.here = [node('relay', 'tag:relay')]
        self.names = {}
        self.refusals = []
        self.up = True
        self.signals = 0
        self.lines = []
        self.on_signal = []
        self.before_answer = lambda call: None
        self.now = 0.0
        self.tags = {}
        self.read()

    def read(self):
        with open(self.site.policy_file) as stream:
            before, self.tags = self.tags, json.load(stream)['tagOwners']
        return before != self.tags

    def take(self):
        """Do what Headscale does at SIGHUP."""
        self.lines.append(RECEIVED)
        if self.read():
            self.lines.append(RELOADED)

    # REST
    def nodes(self):
        self.before_answer('nodes')
        return self.here

    def users(self):
        self.before_answer('users')
        return self.names

    def create_user(self, name):
        self.before_answer('create_user')
        self.names[name] = str(len(self.names) + 1)

    def check_policy(self, text):
        self.before_answer('check_policy')
        if self.refusals:
            raise RestError('The control server said no: ' + self.refusals[0], detail=self.refusals.pop(0))

    def known_tags(self, _node_id, tags):
        self.before_answer('known_tags')
        return set(tags) & set(self.tags)

    # the process
    def running(self):
        return self.up

    def mark(self):
        return len(self.lines)

    def signal(self, _number):
        self.signals += 1
        (self.on_signal.pop(0) if self.on_signal else self.take)()

    def wait_for_line(self, words, mark, timeout):
        for line in self.lines[mark:]:
            if any(word in line for word in words):
                return line
        self.now += timeout
        return None

    def clock(self):
        return self.now


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
def kept():
    return []


@pytest.fixture
def applier(site, headscale, kept):
    made = PolicyApplier(site, lambda: headscale, lambda: headscale, remember=kept.append, clock=headscale.clock)
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


def runs(headscale, site):
    """The teams of the policy that Headscale runs."""
    return sorted(tag for tag in headscale.tags if tag in ('tag:iris', 'tag:blue'))


def leftovers(site):
    return [name for name in os.listdir(site.directory) if name.startswith('.')]


TWO = {'iris': Team('iris'), 'blue': Team('blue')}


def test_new_rules_are_written_signalled_and_read_back(site, headscale, applier, kept):
    assert applier.state.kind == STARTING
    edit(site, teams=TWO)
    loaded, changed = applier.apply()
    assert changed and sorted(loaded.teams) == ['blue', 'iris'] and headscale.signals == 1
    assert runs(headscale, site) == ['tag:blue', 'tag:iris'] and applier.state.kind == IN_FORCE
    assert [sorted(rules.teams) for rules in kept] == [['blue', 'iris']] and leftovers(site) == []
    assert applier.apply()[1] is False and headscale.signals == 1


def test_between_signal_and_answer_the_rules_are_unknown(site, headscale, applier):
    applier.refresh()
    edit(site, teams=TWO)
    seen = []
    headscale.on_signal = [lambda: (seen.append(applier.state.kind), headscale.take())]
    applier.apply()
    assert seen == [UNKNOWN] and applier.state.kind == IN_FORCE


def test_apply_compares_with_what_headscale_runs_not_with_what_was_applied(site, headscale, applier):
    edit(site, teams=TWO)
    applier.apply()
    # Whoever did that: an administrator with `kill -HUP`, or a reload that nobody saw.
    headscale.tags = policy.make_policy(Rules({'iris': Team('iris')}))['tagOwners']
    assert applier.apply()[1] is True and runs(headscale, site) == ['tag:blue', 'tag:iris']
    assert headscale.signals == 2


def test_a_refresh_mends_a_policy_that_headscale_should_not_run(site, headscale, applier):
    headscale.tags = policy.make_policy(Rules(TWO))['tagOwners']
    applier.refresh()
    assert runs(headscale, site) == ['tag:iris'] and applier.state.kind == IN_FORCE


def test_joining_and_leaving_change_the_tests_without_a_reload(site, headscale, applier):
    applier.refresh()
    assert all('relay' in each for test in on_disk(site).get('tests', ()) for each in test['deny'])
    headscale.here.append(node('dev-1', 'tag:iris'))
    applier.refresh()
    assert any('tag:iris:22' in test.get('accept', ()) for test in on_disk(site)['tests'])
    headscale.here.pop()
    applier.refresh()
    assert not any('tag:iris:22' in test.get('accept', ()) for test in on_disk(site).get('tests', ()))
    assert headscale.signals == 0 and leftovers(site) == []


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


def refuse(headscale):
    """SetPolicy takes the policy and fails after it (updateLocked): the tag is known, and the robots were not told."""
    headscale.read()
    headscale.lines += [RECEIVED, 'ERR reloading policy error="no"']


def mute(headscale):
    """A reload that logs nothing and changes nothing."""


def stop(headscale):
    """Headscale reloads and then answers nothing (SIGSTOP)."""
    headscale.take()

    def silent(_call):
        raise ServerDown('The control server does not answer on this machine (timed out).')

    headscale.before_answer = silent


def lock(headscale):
    headscale.take()

    def busy(call):
        if call != 'nodes':
            raise ServerBusy('Its database is locked.')

    headscale.before_answer = busy


def end(headscale):
    """Headscale ends after the signal, before it reads anything."""
    headscale.up = False
    stop(headscale)


def pretend(headscale):
    headscale.lines += [RECEIVED, RELOADED]


def recover(headscale):
    headscale.before_answer = lambda call: None
    headscale.up, headscale.on_signal = True, []


@pytest.mark.parametrize('fail, words', [
    (refuse, 'Headscale refused its policy'), (pretend, 'it runs another one'), (mute, 'did not confirm')])
def test_after_a_failure_the_previous_rules_are_reloaded_and_read_back(site, headscale, applier, kept, fail, words):
    before = on_disk(site)
    edit(site, teams=TWO)
    headscale.on_signal = [lambda: fail(headscale)]
    with pytest.raises(PolicyError, match=words) as caught:
        applier.apply()
    assert type(caught.value) is PolicyError and 'The previous rules are in force' in caught.value.sentence
    assert caught.value.next_command and on_disk(site) == before and leftovers(site) == []
    assert headscale.signals == 2 and runs(headscale, site) == ['tag:iris']
    assert applier.state.kind == IN_FORCE and kept == []


@pytest.mark.parametrize('fail', [stop, lock, end])
def test_without_an_answer_the_rules_in_force_are_unknown_until_headscale_shows_them(site, headscale, applier, kept,
                                                                                     fail):
    applier.refresh()
    before = on_disk(site)
    edit(site, teams=TWO)
    # The second signal is lost, too: what Headscale runs now is the new policy.
    headscale.on_signal = [lambda: fail(headscale), lambda: None]
    with pytest.raises(PolicyUnknown, match='in force is unknown') as caught:
        applier.apply()
    assert 'previous rules are in force' not in caught.value.sentence and caught.value.next_command
    assert runs(headscale, site) == ['tag:blue', 'tag:iris'] and on_disk(site) == before and leftovers(site) == []
    assert applier.state.kind == UNKNOWN and 'unknown' in applier.state.sentence and kept == []
    # While it does not answer, it stays unknown; then the server's rules come back without anybody's help.
    with pytest.raises(OverlayError):
        applier.refresh()
    assert applier.state.kind == UNKNOWN
    recover(headscale)
    applier.refresh()
    assert runs(headscale, site) == ['tag:iris'] and applier.state.kind == IN_FORCE


def test_after_a_failure_apply_works_in_both_directions(site, headscale, applier):
    edit(site, teams=TWO)
    headscale.on_signal = [lambda: stop(headscale), lambda: None]
    with pytest.raises(PolicyUnknown):
        applier.apply()
    recover(headscale)
    # The defect of 2026-11-28: "in force already" for the old rules, while the new ones were in force.
    edit(site, teams={'iris': Team('iris')})
    assert applier.apply()[1] is True and runs(headscale, site) == ['tag:iris']
    edit(site, teams=TWO)
    assert applier.apply()[1] is True and runs(headscale, site) == ['tag:blue', 'tag:iris']


@pytest.mark.parametrize('call', ['users', 'nodes', 'check_policy', 'known_tags', 'create_user'])
@pytest.mark.parametrize('error', [ServerDown('It is down.'), ServerBusy('It is locked.')])
def test_a_failure_before_the_signal_changes_nothing(site, headscale, applier, call, error):
    applier.refresh()
    before = on_disk(site)
    edit(site, teams=TWO, users={'ana': User('ana', ('iris',))})

    def fail(name):
        if name == call:
            raise error

    headscale.before_answer = fail
    with pytest.raises(type(error)):
        applier.apply()
    assert headscale.signals == 0 and on_disk(site) == before and leftovers(site) == []
    assert runs(headscale, site) == ['tag:iris'] and applier.state.kind == IN_FORCE


def test_a_refused_policy_is_never_signalled(site, headscale, applier):
    before = on_disk(site)
    edit(site, teams=TWO)
    headscale.refusals = ['test(s) failed']
    with pytest.raises(PolicyError, match='refuses the policy .*test\\(s\\) failed'):
        applier.apply()
    assert headscale.signals == 0 and on_disk(site) == before


def test_a_stopped_headscale_reads_the_previous_rules_at_its_start(site, headscale, applier):
    before = on_disk(site)
    edit(site, teams=TWO)
    headscale.up = False
    with pytest.raises(PolicyUnknown, match='not running at the moment'):
        applier.apply()
    assert on_disk(site) == before and headscale.signals == 0


def test_a_full_disk_before_the_signal_changes_nothing(site, headscale, applier, monkeypatch):
    applier.refresh()
    before = on_disk(site)
    edit(site, teams=TWO)

    def full(*_args, **_options):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(policy_applier.replacement.files, 'write_atomic', full)
    with pytest.raises(PolicyError, match='not written.*the file system .* is full') as caught:
        applier.apply()
    assert caught.value.next_command.startswith('df -h ') and on_disk(site) == before and headscale.signals == 0
    assert applier.state.kind == IN_FORCE


def test_the_way_back_needs_no_room(site, headscale, applier, monkeypatch):
    before = on_disk(site)
    edit(site, teams=TWO)

    def full(*_args, **_options):
        raise OSError(28, 'No space left on device')

    def fail():
        refuse(headscale)
        monkeypatch.setattr(policy_applier.replacement.files, 'write_atomic', full)

    headscale.on_signal = [fail]
    with pytest.raises(PolicyError, match='The previous rules are in force'):
        applier.apply()
    assert on_disk(site) == before and runs(headscale, site) == ['tag:iris']


def test_a_lost_log_is_no_failure_when_headscale_runs_the_policy(site, headscale, applier):
    edit(site, teams=TWO)
    headscale.on_signal = [headscale.read]
    assert applier.apply()[1] is True and applier.state.kind == IN_FORCE


def test_an_edited_policy_file_is_replaced(site, headscale, applier):
    with open(site.policy_file, 'w') as stream:
        stream.write('[1]')
    edit(site, teams=TWO)
    assert applier.apply()[1] is True and runs(headscale, site) == ['tag:blue', 'tag:iris']
    os.unlink(site.policy_file)
    edit(site, teams={'iris': Team('iris')})
    assert applier.apply()[1] is True and runs(headscale, site) == ['tag:iris']


@pytest.mark.fault('K2', 'Somebody edits policy.json and lets Headscale read it', behaviour='the server writes its own '
                   'rules and lets Headscale read them', reported='at once: policy show, server status, server check',
                   recovery='10 s', lost='nothing')
@pytest.mark.parametrize('call', ['refresh', 'apply'])
def test_an_edit_of_the_policy_file_that_keeps_its_marker_is_undone(site, headscale, applier, call):
    applier.refresh()
    edited = on_disk(site)
    edited['grants'].append({'src': ['*'], 'dst': ['*'], 'ip': ['*']})
    with open(site.policy_file, 'w') as stream:
        json.dump(edited, stream)
    headscale.take()
    getattr(applier, call)()
    assert headscale.signals == 1 and {'src': ['*'], 'dst': ['*'], 'ip': ['*']} not in on_disk(site)['grants']
    assert applier.state.kind == IN_FORCE and leftovers(site) == []
    applier.refresh()
    assert headscale.signals == 1


def test_the_way_back_from_a_failure_does_not_lead_to_an_edited_file(site, headscale, applier):
    applier.refresh()
    edited = on_disk(site)
    edited['grants'].append({'src': ['*'], 'dst': ['*'], 'ip': ['*']})
    with open(site.policy_file, 'w') as stream:
        json.dump(edited, stream)
    edit(site, teams=TWO)
    headscale.on_signal = [lambda: refuse(headscale)]
    with pytest.raises(PolicyError, match='The previous rules are in force'):
        applier.apply()
    assert {'src': ['*'], 'dst': ['*'], 'ip': ['*']} not in on_disk(site)['grants']
    assert runs(headscale, site) == ['tag:iris'] and leftovers(site) == []


def test_a_failed_refresh_does_not_bring_an_edited_file_back(site, headscale, applier):
    applier.refresh()
    edited = on_disk(site)
    edited['grants'].append({'src': ['*'], 'dst': ['*'], 'ip': ['*']})
    with open(site.policy_file, 'w') as stream:
        json.dump(edited, stream)
    headscale.on_signal = [lambda: stop(headscale)]
    with pytest.raises(PolicyUnknown):
        applier.refresh()
    # A Headscale that starts now reads the rules of the server.
    assert {'src': ['*'], 'dst': ['*'], 'ip': ['*']} not in on_disk(site)['grants'] and leftovers(site) == []
    assert applier.state.kind == UNKNOWN
    # It knows the marker, but has not shown that it has read the file again.
    recover(headscale)
    applier.refresh()
    assert applier.state.kind == IN_FORCE and headscale.signals == 2
    applier.refresh()
    assert headscale.signals == 2


def test_a_thread_that_failed_leaves_the_state_unknown(applier):
    applier.refresh()
    applier.lost('The thread policy failed.')
    assert applier.state == (UNKNOWN, 'The thread policy failed.')


@pytest.mark.parametrize('known, was_known, received, ended, result', [
    ({'m'}, False, True, True, True), ({'m'}, False, False, False, True), ({'m'}, None, True, False, True),
    # Without a line of this reload, an earlier one may still be under way.
    ({'m'}, None, False, False, False), ({'m'}, True, False, False, False), ({'m'}, True, True, False, True),
    (set(), False, True, True, False), ({'other'}, None, True, True, False),
    (None, None, False, True, True), (None, None, True, False, True), (None, None, False, False, False)])
def test_when_a_policy_counts_as_in_force(known, was_known, received, ended, result):
    assert confirmed('m', known, was_known, received, ended) is result


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


@pytest.mark.fault('K2', 'The thread that asks Headscale which rules it runs hangs', behaviour='the rules count as '
                   'unknown', reported='180 s: server status', recovery='with its next answer', lost='nothing')
def test_rules_that_nobody_asks_about_any_more_are_unknown(applier, headscale):
    applier.refresh()
    assert applier.state == PolicyState(IN_FORCE)
    headscale.now += policy_applier.SILENT_AFTER + 1
    assert applier.state.kind == UNKNOWN and 'which rules it runs hangs: it did nothing for' in applier.state.sentence
    applier.refresh()
    assert applier.state == PolicyState(IN_FORCE)
