"""The main loop of `server run`. Real processes: test/lab/test_site_server.py."""
import contextlib
import os

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy
from ua_overlay.headscale.rules import Rules, Team
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import process
from ua_overlay.server.ports import StartError
from ua_overlay.server.process import SiteServer
from ua_overlay.site import last_good
from ua_overlay.site.policy_applier import IN_FORCE, STARTING, UNKNOWN, PolicyState
from ua_overlay.site.site import RelayRuns, Site
from ua_overlay.system import files, ownership
from ua_overlay.system.staleness import Staleness
from ua_overlay.system.thread import LONGEST_PAUSE, SupervisedThread


@pytest.fixture(autouse=True)
def without_disks(monkeypatch):
    """Most sites of these tests have no directory. Reserve and disks have tests of their own."""
    monkeypatch.setattr(process.reserve, 'keep', lambda site: None)
    monkeypatch.setattr(process.reserve, 'release', lambda site: False)
    monkeypatch.setattr(process.disk, 'problems', lambda site: [])


def test_rules_in_force_are_saved_and_a_full_disk_is_survived(tmp_path, monkeypatch):
    site = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), lambda directory: None)
    said = []
    server = SiteServer(site, None, None, None, said.append, None)
    server._remember_rules(Rules({'iris': Team('iris')}))
    (tmp_path / 'site' / 'site.yaml').write_text('no site')
    assert list(last_good.load(site.directory)[0].teams) == ['iris'] and said == []
    server._remember_rules(Rules({'iris': Team('iris')}, memory=7200))
    assert last_good.load(site.directory)[0].settings.admission_seconds == 7200

    def full(site):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(last_good, 'save', full)
    server._remember_rules(Rules())
    assert said == ['site.last_good.yaml was not written: No space left on device.']


def test_a_failed_renewal_does_not_stop_the_server():
    """The CA's key may be kept elsewhere; the old certificate is valid for weeks."""
    said = []

    def renew():
        raise StartError('ca.key is missing.', 'restore it')

    class Site:
        settings = SiteSettings('server.example.org')
        invitation_log_file = ''

    server = SiteServer(Site(), None, renew, None, said.append, None)
    assert server._renew_certificate() is False
    assert len(said) == 1 and 'not renewed: ca.key is missing.' in said[0]


@pytest.mark.fault('K1', 'The certificate of the server is due, and cannot be renewed', behaviour='the server goes on '
                   'with the old one', reported='at once: server status, server check',
                   recovery='with the next renewal', lost='nothing')
def test_a_failed_renewal_is_no_secret_of_the_log():
    results = [StartError('ca.key is missing.', 'restore it'), OSError(28, 'No space left on device'), True]

    def renew():
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    server = SiteServer(Settings(), None, renew, None, lambda line: None, None)
    assert server._problems() == []
    server._renew_certificate()
    assert server._problems() == [{'next': 'restore it', 'sentence': 'The certificate of server.example.org was not '
                                   'renewed: ca.key is missing.'}]
    server._renew_certificate()
    assert 'No space left on device' in server._problems()[0]['sentence']
    assert server._renew_certificate() and server._problems() == []


@pytest.mark.fault('K1', 'The main thread of the server hangs', behaviour='its processes go on; none is started again',
                   reported='120 s: server status, server check', recovery='with its next round', lost='nothing')
def test_a_main_thread_that_hangs(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(process, 'Staleness', lambda limit: Staleness(limit, lambda: now[0]))
    server, seen = SiteServer(Settings(), None, None, None, lambda line: None, None), []

    class Hangs:
        def step(self, _now):
            seen.append(server._problems())
            now[0] += process.SILENT_AFTER + 1
            seen.append(server._problems())

    server._headscale = Hangs()
    for request in ('nothing', 'nothing', 'stop'):
        server._requests.add(request)
    server._supervise()
    assert [len(found) for found in seen] == [0, 1, 0, 1]
    assert seen[1] == [{'next': process.RESTART_SERVER, 'sentence': 'The main thread of the server hangs: it did '
                        'nothing for 121 s. No process of the site is started again when it ends.'}]


def test_a_renewal_restarts_only_headscale(monkeypatch):
    """bench/topic_gap.py does the same with `server renew`."""
    clock = iter([0, process.RENEW_PERIOD - 1, process.RENEW_PERIOD + 1, process.RENEW_PERIOD + 2])
    due, done = iter([True]), []

    class Site:
        settings = SiteSettings('server.example.org')
        invitation_log_file = ''

    class Idle:
        def step(self, now):
            return None

    server = SiteServer(Site(), None, lambda: next(due), None, lambda line: None, None, clock=lambda: next(clock))
    server._headscale = Idle()
    monkeypatch.setattr(server, '_restart_headscale', lambda: done.append('headscale'))
    for request in ('nothing', 'nothing', 'nothing', 'stop'):
        server._requests.add(request)
    server._supervise()
    # Once: the third round would have asked for a second renewal, and there is only one.
    assert done == ['headscale'] and next(due, 'spent') == 'spent'


class Parts:
    """Plays the children: records the calls of the server."""

    def __init__(self):
        self.done = []
        self.child = self

    def stop(self, _timeout):
        self.done.append('stop')

    def start(self, _now):
        self.done.append('start')

    def step(self, _now):
        return None


class Policy:
    """Plays the applier: each refresh does what is next in ``results``."""

    def __init__(self, results):
        self.results, self.state = results, PolicyState(STARTING)

    def refresh(self):
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        self.state = PolicyState(IN_FORCE)
        return result

    def lost(self, sentence):
        self.state = PolicyState(UNKNOWN, sentence)


class Waits:
    """Ends a loop after ``count`` rounds; records the pauses."""

    def __init__(self, count):
        self.count, self.pauses = count, []

    def wait(self, seconds):
        self.pauses.append(seconds)
        self.count -= 1
        return self.count < 0


class Settings:
    settings = SiteSettings('server.example.org')
    invitation_log_file = ''

    @staticmethod
    def path(*parts):
        return '/'.join(('/site',) + parts)

    @staticmethod
    def command(words):
        return 'ua-overlay ' + words

    ca_file = '/site/ca.pem'


class Child:
    pid, restarts = 7, 0

    def __init__(self):
        self.child = self

    def running(self):
        return True


def policy_server(results, rounds):
    said = []
    server = SiteServer(Settings(), None, None, None, said.append, None)
    server._policy, server._headscale, server._stopping = Policy(results), Child(), Waits(rounds)
    server._invitation_log = type('Log', (), {'note_used': staticmethod(lambda nodes: None)})
    server._lost_invitations = type('Lost', (), {'step': staticmethod(lambda: [])})
    return server, said


def test_each_problem_of_the_policy_is_reported_once_and_asked_again_soon():
    problem = OverlayError('Headscale runs other rules.')
    server, said = policy_server([problem, problem, [], OSError(28, 'No space left on device'), []], 5)
    assert server._policy_report() == {'state': 'starting', 'kind': 'starting'}
    server._keep_policy()
    assert said == ['The policy: Headscale runs other rules.', 'The policy: [Errno 28] No space left on device']
    assert server._stopping.pauses == [1.0, 1.0, 1.0, 10.0, 10.0, 10.0]
    assert server._policy_report() == {'state': 'in force', 'kind': 'in force'}


@pytest.mark.fault('K1', 'The policy thread of the server fails unexpectedly', behaviour='the rules count as unknown; '
                   'the thread starts again', reported='at once: server status', recovery='30 s',
                   lost='nothing')
def test_a_failed_policy_thread_leaves_the_rules_unknown_and_starts_again():
    server, said = policy_server([[], KeyError('odd'), []], 3)
    assert LONGEST_PAUSE <= 30.0
    server._policy_thread = SupervisedThread('policy', server._keep_policy, server._policy_failed,
                                             pauses=(0.01, 0.01)).start()
    assert server._policy_thread.join(20) and server._policy_thread.failures == 1
    assert said == ["The policy: The thread policy failed: KeyError: 'odd'."]
    # The second run of the thread asked again.
    assert server._policy.results == [] and server._policy_report()['kind'] == IN_FORCE
    server._policy_failed('The thread policy failed.')
    assert server._policy_report() == {'state': 'The thread policy failed.', 'kind': UNKNOWN}


def test_requests_during_the_wait_for_health_are_done_afterwards(monkeypatch):
    """Once they were dropped: a SIGHUP, or the restart of a `server renew`, whose command then waited in vain."""
    server = SiteServer(Settings(), None, None, None, lambda line: None, None)
    server._headscale, answers = Child(), iter([False, False, False, True])

    class Client:
        def __init__(self, *_arguments, **_options):
            pass

        def health(self):
            return next(answers)

    monkeypatch.setattr(process, 'RestClient', Client)
    for request in (process.RELOAD_POLICY, process.RESTART_HEADSCALE):
        server._requests.add(request)
    server._wait_for_health()
    assert [request.name for request in server._deferred] == [process.RELOAD_POLICY, process.RESTART_HEADSCALE]
    done = []
    monkeypatch.setattr(server, '_do', lambda request: done.append(request.name))
    server._headscale = Parts()
    server._requests.add(process.STOP)
    server._supervise()
    assert done == [process.RELOAD_POLICY, process.RESTART_HEADSCALE]


def test_a_stop_during_a_restart_of_headscale_stops_the_server(monkeypatch):
    server = SiteServer(Settings(), None, None, None, lambda line: None, None)
    server._headscale = Child()

    class Client:
        def __init__(self, *_arguments, **_options):
            pass

        def health(self):
            return False

    monkeypatch.setattr(process, 'RestClient', Client)
    server._requests.add(process.RELOAD_POLICY)
    server._requests.add(process.STOP)
    with pytest.raises(StartError, match='Stopped before'):
        server._wait_for_health()
    server._headscale = Parts()
    monkeypatch.setattr(server, '_do', lambda request: pytest.fail('it went on'))
    server._supervise()


def test_requests_are_handled_in_order_and_restarts_answered(monkeypatch):
    class Site:
        settings = SiteSettings('server.example.org')
        invitation_log_file = ''

    server = SiteServer(Site(), None, None, None, lambda line: None, None)
    server._headscale = Parts()
    done = []
    monkeypatch.setattr(server, '_restart_headscale', lambda: done.append('headscale') or True)
    monkeypatch.setattr(server, '_reload_by_signal', lambda: done.append('policy'))
    restart = server._requests.add(process.RESTART_HEADSCALE)
    for request in (process.RELOAD_POLICY, process.STOP):
        server._requests.add(request)
    server._supervise()
    assert server._reload.join(20)
    assert restart.wait(0) is True and done == ['headscale', 'policy']
    with pytest.raises(OverlayError, match='does not know the operation "x"'):
        server._answer('x')


class Relays:
    """Plays the relay in this process, or the one apart: notes what it is told."""

    def __init__(self):
        self.done = []

    def __getattr__(self, name):
        return lambda: self.done.append(name)

    def report(self):
        return {'relay': {'state': 'up'}, 'own_derp': None, 'log_problems': ['The log is full.']}


def test_the_relay_is_stepped_restarted_and_reported():
    server, _ = policy_server([], 0)
    server._headscale, server._relays = Parts(), Relays()
    server._headscale.child = type('Running', (), {
        'pid': 7, 'running': lambda self: True, 'log_problem': ''})()
    server._headscale.restarts = 0
    server._headscale.step = lambda now: None
    server._derp = type('Derp', (), {'report': dict, 'ends': dict})
    assert server._answer('restart relay') == {'ok': True}
    server._requests.add('nothing')
    server._requests.add(process.STOP)
    server._supervise()
    assert server._relays.done == ['restart_relay', 'step']
    status = server._status()
    assert (status['relay'], status['own_derp']) == ({'state': 'up'}, None)
    assert status['log_problems'] == ['The log is full.']


@pytest.mark.parametrize('apart', [False, True])
def test_a_derper_of_a_main_thread_that_hangs_is_unknown_unless_it_runs_apart(apart):
    now, up = [0.0], {'state': 'up', 'ok': True}
    server, _ = policy_server([], 0)
    server._headscale, server._relays = Parts(), Relays()
    server._headscale.child = type('Running', (), {'pid': 7, 'running': lambda self: True, 'log_problem': ''})()
    server._headscale.restarts = 0
    server._derp = type('Derp', (), {'report': dict, 'ends': dict})
    server._relays.report = lambda: {'relay': {'apart': apart}, 'own_derp': up, 'log_problems': []}
    assert server._status()['own_derp'] == up
    server._staleness = Staleness(process.SILENT_AFTER, lambda: now[0])
    now[0] = process.SILENT_AFTER
    assert server._status()['own_derp'] == up
    now[0] += 1
    assert server._status()['own_derp'] == (up if apart else {
        'state': 'unknown: The main thread of the server hangs: it did nothing for 121 s.', 'ok': False})


def test_the_relay_is_held_unless_it_runs_apart(tmp_path):
    site, said = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), lambda directory: None), []
    server = SiteServer(site, None, None, None, said.append, None)
    with contextlib.ExitStack() as stack:
        assert server._hold_relay(stack)
        with pytest.raises(RelayRuns), site.relay_held():
            pass
    with site.relay_held(), contextlib.ExitStack() as stack:
        assert not server._hold_relay(stack)
    assert said == ['The relay runs in a process of its own.']
    apart = SiteServer(site, None, None, None, said.append, None, relay=False)
    with contextlib.ExitStack() as stack:
        assert not apart._hold_relay(stack)
        with site.relay_held():  # its unit may start later
            pass


def test_a_site_below_another_users_directory_does_not_start(tmp_path):
    if os.geteuid() != 0:
        pytest.skip('Only root can give directories to others.')
    site = Site.create(str(tmp_path / 'theirs' / 'site'), SiteSettings('s.test'), lambda directory: None)
    os.chown(str(tmp_path / 'theirs'), 65534, 65534)
    with pytest.raises(ownership.Unsafe, match='belongs to the user nobody, who could put something else there'):
        SiteServer(site, None, None, None, None, None).run()
    os.chown(str(tmp_path / 'theirs'), 0, 0)
    os.chown(site.directory, 65534, 65534)
    with pytest.raises(ownership.Unsafe) as caught:
        SiteServer(site, None, None, None, None, None).run()
    assert caught.value.next_command == 'sudo chown root ' + site.directory


@pytest.mark.fault('K3', 'The server starts on a full disk', behaviour='it starts, as its files are there; log lines '
                   'are dropped', reported='at once: its log', recovery='when there is room', lost='log lines')
@needs_root
def test_a_start_on_a_full_disk_goes_on_with_the_present_files(tmp_path):
    with small_file_system(tmp_path / 'small', '256k') as small:
        site = Site.create(small.path + '/site', SiteSettings('s.test'), lambda directory: None)
        files.write_secret(site.policy_file, policy.dump_policy(dict(policy.make_policy(Rules()), tests=[])))
        said = []
        server = SiteServer(site, None, None, None, said.append, None)
        small.fill()
        server._write_generated()
        assert said == ['{}/policy.json cannot be written: the file system {} is full. The server starts with the '
                        'present file, which says the same.'.format(site.directory, small.path)]
        site.rules = Rules({'iris': Team('iris')})
        with pytest.raises(StartError, match='the file system {} is full'.format(small.path)) as caught:
            server._write_generated()
        assert caught.value.next_command == 'df -h ' + small.path
        small.free()
        server._write_generated()
        assert len(said) == 1
