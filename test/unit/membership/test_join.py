"""Join, against a played tailscaled: its requests and their order, its answers, and the state that it leaves."""
import dataclasses
import datetime
import os
import re
import traceback

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.membership.join import PUT_BACK_PAUSE, PUT_BACK_WAIT, Join
from ua_overlay.membership.settings import read_settings, write_settings
from ua_overlay.tailscale.localapi import DaemonDenied, DaemonMissing
from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import invitation_file
from ua_overlay.trust.invitation import Invitation
from ua_overlay.trust.probe import ServerError

#: How often a restore is tried when each attempt fails at once.
PUT_BACK_ATTEMPTS = int(PUT_BACK_WAIT / PUT_BACK_PAUSE) + 1
NOW = datetime.datetime(2026, 11, 22, 18, 48, 52, tzinfo=datetime.timezone.utc)
KEY = 'hskey-auth-AbCdEf123456-' + 'S3cretS3cret-_xy' * 4
CA = certificates.dump_certificates(ca_module.create_ca('lab', ['server.ua.test'], ['203.0.113.10'], NOW)[1])
INVITATION = Invitation(
    server_url='https://server.ua.test:8080', ca_pem=CA, key=KEY, team='iris', robot='dev-1', team_port=11315,
    addressing='names', master=False, created=NOW, expires=NOW + datetime.timedelta(hours=1))
UID = 65533
USER = str(UID)
FRESH = {'BackendState': 'NeedsLogin', 'HaveNodeKey': False, 'Self': {'Online': False}}
SELF = {'DNSName': 'dev-1.overlay.internal.', 'Online': True, 'Tags': ['tag:iris'],
        'TailscaleIPs': ['100.64.0.1', 'fd7a:115c:a1e0::1']}
RUNNING = {'BackendState': 'Running', 'HaveNodeKey': True, 'Self': SELF}
STOPPED = dict(RUNNING, BackendState='Stopped', Self=dict(SELF, Online=False, Tags=None))
STARTING = dict(RUNNING, BackendState='Starting', Self=dict(SELF, Online=False))
#: What the bus says while all goes well, and the status after each.
ACCEPTED = ({'LoginFinished': {}}, STARTING)
MAP = ({'SelfChange': {'ID': 1}}, RUNNING)


def refusal(text):
    """The server's refusal as tailscaled puts it on the bus, wrapped as it is there."""
    return ({'ErrMessage': 'register request: http 401: {}, {}'.format(text, KEY)}, None)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class PlayedApi:
    """Plays a LocalApi. ``resume`` and ``register`` are what the bus gives after WantRunning, or after a key:
    pairs of a message and the status from then on (None: as it was), or exceptions to raise."""

    def __init__(self, clock, status, resume=(), register=(), prefs=None):
        self.clock = clock
        self.now = status
        self.scripts = {'resume': list(resume), 'register': list(register)}
        self.script = []
        known = isinstance(status, dict) and status['HaveNodeKey']
        self.preferences = dict({'WantRunning': False, 'LoggedOut': not known, 'OperatorUser': USER, 'NetfilterMode': 2,
                                 'Hostname': 'left-alone', 'RouteAll': True}, **(prefs or {}))
        self.calls = []
        self.buses = 0
        self.fail_put_back = []
        self.uid = UID

    def status(self, peers=True):
        if isinstance(self.now, BaseException):
            raise self.now
        return self.now

    def prefs(self):
        return dict(self.preferences)

    def edit_prefs(self, **fields):
        if self.uid != 0 and self.preferences['OperatorUser'] != USER:
            raise DaemonDenied('tailscaled refuses changes by this user (prefs write access denied).')
        if not fields:
            return self.prefs()
        self.calls.append(('edit_prefs', fields))
        if not fields['WantRunning'] and self.fail_put_back:
            raise self.fail_put_back.pop(0)
        self.preferences.update(fields)
        if fields.get('WantRunning'):
            assert self.buses, 'the bus is opened before anything is started, or its first messages are lost'
            self.script = self.scripts['resume']
        return self.prefs()

    def start(self, auth_key=None, update_prefs=None):
        self.calls.append(('start', auth_key, dict(update_prefs)))
        begins = auth_key is not None or update_prefs['WantRunning']
        if not begins and self.fail_put_back:
            raise self.fail_put_back.pop(0)
        assert self.buses or not begins
        self.preferences = dict(update_prefs)
        if begins and auth_key is None:
            self.script = self.scripts['resume']
        elif begins and self.now['HaveNodeKey']:
            self.script = self.scripts['register']

    def login_interactive(self):
        assert not self.now['HaveNodeKey'], 'tailscaled registers already, and would do it twice with one key'
        self.calls.append(('login_interactive',))
        self.script = self.scripts['register']

    def watch(self):
        return self

    def __enter__(self):
        self.buses += 1
        return self

    def __exit__(self, *exc_info):
        self.buses -= 1

    def next(self, timeout):
        if not self.script:
            self.clock.now += timeout
            return None
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        message, status = step
        self.now = self.now if status is None else status
        return message

    def keys_sent(self):
        return [call for call in self.calls if call[0] == 'start' and call[1]]


class Scene:
    """A robot, its files, and a Join with everything played."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.clock = Clock()
        self.probed = []
        self.probe_error = None
        self.cancelled = lambda: False
        self.uid = UID
        self.time = NOW
        self.ca_file = self.write('ca.pem', CA)

    def write(self, name, text):
        path = os.path.join(self.directory, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w') as stream:
            stream.write(text)
        return path

    def invitation(self, **changes):
        return self.write('invitation.yaml', invitation_file.dump(dataclasses.replace(INVITATION, **changes)))

    def probe(self, url, ca_pem):
        self.probed.append((url, ca_pem))
        if self.probe_error is not None:
            raise self.probe_error

    def api(self, status, **options):
        self.played = PlayedApi(self.clock, status, **options)
        self.played.uid = self.uid
        return self.played

    def run(self, path, **options):
        self.before = self.played.prefs()
        join = Join(self.played, self.ca_file, self.directory, now=lambda: self.time.timestamp(), clock=self.clock,
                    sleep=self.clock.sleep, probe=self.probe, uid=self.uid, cancelled=lambda: self.cancelled(),
                    **options)
        assert KEY not in repr(vars(join))
        outcome = join(path)
        assert 'S3cret' not in repr(outcome) and KEY[:20] not in repr(outcome)
        assert self.played.buses == 0
        return outcome

    def expect(self, outcome, code, *words):
        assert outcome.code == code, outcome.message
        for word in words:
            assert word in outcome.message

    def expect_untouched(self):
        """tailscaled has its former preferences; the last call set them."""
        assert self.played.preferences == self.before

    def expect_no_key_sent(self):
        assert self.played.keys_sent() == []


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


# --- a first join ---

def test_success(scene):
    api = scene.api(FRESH, register=[({}, None), ACCEPTED, MAP])
    outcome = scene.run(scene.invitation())
    scene.expect(outcome, 'OK', 'dev-1 joined team iris at 100.64.0.1')
    assert (outcome.dns_name, outcome.addresses) == ('dev-1.overlay.internal', ('100.64.0.1', 'fd7a:115c:a1e0::1'))
    assert scene.probed == [(INVITATION.server_url, CA)]
    assert [call[0] for call in api.calls] == ['start', 'login_interactive']
    sent = api.keys_sent()[0]
    assert sent[1] == KEY
    # The other preferences stay: a missing NetfilterMode would switch the firewall rules off.
    assert sent[2] == dict(scene.before, ControlURL=INVITATION.server_url, WantRunning=True, LoggedOut=False,
                           CorpDNS=True, Hostname='dev-1', AdvertiseTags=None)
    assert read_settings(scene.directory) == {
        'server_url': INVITATION.server_url, 'team': 'iris', 'robot': 'dev-1', 'team_port': 11315,
        'addressing': 'names'}


@pytest.mark.parametrize('still_missing', [
    [ACCEPTED, ({}, RUNNING)],  # no network map since the call: an old one
    [ACCEPTED, ({'SelfChange': {'ID': 1}}, STARTING)],
    [ACCEPTED, ({'SelfChange': {'ID': 1}}, dict(RUNNING, Self=dict(SELF, Online=False)))],
    [ACCEPTED, ({'SelfChange': {'ID': 1}}, dict(RUNNING, Self=dict(SELF, Tags=['tag:blue'])))],
    [ACCEPTED, ({'SelfChange': {'ID': 1}}, dict(RUNNING, Self=dict(SELF, Tags=None)))],
    [ACCEPTED, ({'SelfChange': {'ID': 1}}, dict(RUNNING, Self=dict(SELF, TailscaleIPs=None)))]])
def test_only_a_robot_that_runs_is_online_and_has_the_tag_has_joined(scene, still_missing):
    api = scene.api(FRESH, register=still_missing)
    outcome = scene.run(scene.invitation())
    scene.expect(outcome, 'TIMEOUT', 'it is spent now', 'ua-overlay status')
    # The server has accepted the key: only this join can still use it.
    assert len(api.calls) == 2 and api.preferences['WantRunning']


def test_a_network_map_of_tailscale_1_98(scene):
    scene.api(FRESH, register=[ACCEPTED, ({'NetMap': {'Name': 'x'}}, RUNNING)])
    scene.expect(scene.run(scene.invitation()), 'OK')


def test_another_name_than_asked_for(scene):
    other = dict(RUNNING, Self=dict(SELF, DNSName='dev-1-1.overlay.internal.'))
    scene.api(FRESH, register=[ACCEPTED, ({'SelfChange': {'ID': 1}}, other)])
    outcome = scene.run(scene.invitation())
    scene.expect(outcome, 'OK', 'dev-1-1 joined', 'not dev-1', 'taken')
    assert outcome.dns_name == 'dev-1-1.overlay.internal'


@pytest.mark.parametrize('text, code, words', [
    ('authkey already used', 'INVITATION_SPENT', ['used already', 'spent']),
    ('authkey expired', 'INVITATION_REFUSED', ['revoked', 'not used']),
    ('invalid pre auth key', 'INVITATION_REFUSED', ['does not know', 'not used']),
    ('invalid auth key', 'INVITATION_REFUSED', ['does not know', 'not used'])])
def test_refused_keys(scene, text, code, words):
    api = scene.api(FRESH, register=[({}, None), refusal(text)])
    begin = scene.clock()
    outcome = scene.run(scene.invitation())
    scene.expect(outcome, code, 'ua-overlay invite iris dev-1', *words)
    scene.expect_untouched()
    assert api.calls[-1] == ('start', None, scene.before)
    assert scene.clock() - begin < 1
    assert read_settings(scene.directory) == {}


def test_a_silent_server(scene):
    scene.api(FRESH)
    begin = scene.clock()
    outcome = scene.run(scene.invitation(), timeout=8.0)
    scene.expect(outcome, 'TIMEOUT', '8 s', 'only the server knows', 'ua-overlay robot list')
    assert 8 <= scene.clock() - begin < 9
    scene.expect_untouched()


def test_the_warnings_of_tailscaled_are_repeated_without_keys(scene):
    scene.api(dict(FRESH, Health=['Tailscale is stopped.', 'cannot dial ' + KEY]))
    scene.expect(scene.run(scene.invitation()), 'TIMEOUT', 'cannot dial [key]')


def test_tailscaled_without_the_ca(scene):
    scene.api(FRESH, register=[({}, dict(FRESH, Health=['fetch control key: tls: x509: certificate signed by …']))])
    scene.expect(scene.run(scene.invitation()), 'NOT_PREPARED', 'server.ua.test', 'sudo ua-overlay robot prepare')
    scene.expect_untouched()


def test_tailscaled_ends_during_the_join(scene):
    scene.api(FRESH, register=[DaemonMissing('tailscaled ended.', 'sudo systemctl start tailscaled')])
    scene.expect(scene.run(scene.invitation()), 'NO_DAEMON', 'tailscaled ended.', 'systemctl start tailscaled')
    scene.expect_untouched()


# --- putting back ---

@pytest.mark.parametrize('kind', [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interrupt_restores_the_preferences_and_is_raised(scene, kind):
    scene.api(FRESH, register=[kind('stop')])
    with pytest.raises(kind) as caught:
        scene.run(scene.invitation())
    scene.expect_untouched()
    assert 'S3cret' not in ''.join(traceback.format_exception(kind, caught.value, caught.value.__traceback__))


def test_an_interrupt_after_acceptance_restores_nothing(scene):
    api = scene.api(FRESH, register=[ACCEPTED, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        scene.run(scene.invitation())
    assert api.preferences['WantRunning'] and len(api.calls) == 2


def test_a_program_that_ends_cancels_the_join(scene):
    scene.api(FRESH)
    scene.cancelled = lambda: scene.clock() > 1002
    scene.expect(scene.run(scene.invitation()), 'FAILED', 'given up', 'Next: ')
    scene.expect_untouched()
    assert scene.clock() < 1003


def test_restoring_is_retried(scene):
    api = scene.api(FRESH, register=[refusal('authkey already used')])
    api.fail_put_back = [DaemonMissing('No tailscaled.')] * (PUT_BACK_ATTEMPTS - 1)
    scene.expect(scene.run(scene.invitation()), 'INVITATION_SPENT')
    scene.expect_untouched()


def test_a_failed_restore_does_not_hide_the_first_error(scene):
    api = scene.api(FRESH, register=[refusal('authkey already used')])
    api.fail_put_back = [DaemonMissing('No tailscaled answers ({}).'.format(i)) for i in range(99)]
    outcome = scene.run(scene.invitation())
    scene.expect(outcome, 'INVITATION_SPENT', 'spent', 'could not be put back', 'No tailscaled answers',
                 'ua-overlay invite iris dev-1')
    assert len(api.calls) == 2 + PUT_BACK_ATTEMPTS


def test_a_restore_that_hangs_is_not_repeated(scene):
    """Each attempt may take as long as a call: a command must end within ten seconds."""
    api = scene.api(FRESH, register=[refusal('authkey already used')])

    def hang(*_args, **_more):
        scene.clock.now += 4.0
        raise DaemonMissing('tailscaled did not answer in time.')

    began = len(api.calls)
    send = api.start
    api.start = lambda auth_key=None, update_prefs=None: (
        hang() if auth_key is None else send(auth_key, update_prefs))
    scene.expect(scene.run(scene.invitation()), 'INVITATION_SPENT', 'could not be put back')
    assert len(api.calls) - began == 2


def test_a_failed_restore_does_not_hide_an_interrupt(scene):
    api = scene.api(FRESH, register=[KeyboardInterrupt()])
    api.fail_put_back = [DaemonMissing('No tailscaled.')] * 99
    with pytest.raises(KeyboardInterrupt):
        scene.run(scene.invitation())


# --- what is checked before the key is sent ---

def test_order_of_the_checks(scene):
    """The cheaper checks come first; none of them sends a key."""
    path = scene.invitation()
    api = scene.api(FRESH, prefs={'OperatorUser': ''}, register=[ACCEPTED, MAP])
    scene.time = NOW + datetime.timedelta(hours=2)
    os.unlink(scene.ca_file)
    scene.probe_error = ServerError('No answer.', 'ping', 'SERVER_UNREACHABLE')
    scene.expect(scene.run(path), 'INVITATION_EXPIRED')
    scene.time = NOW
    scene.expect(scene.run(path), 'NOT_PREPARED', 'user ' + USER)
    api.preferences['OperatorUser'] = USER
    scene.expect(scene.run(path), 'NOT_PREPARED', 'CA of https://server.ua.test:8080')
    scene.write('ca.pem', CA)
    scene.expect(scene.run(path), 'SERVER_UNREACHABLE')
    assert api.calls == []
    scene.probe_error = None
    scene.expect(scene.run(path), 'OK')


@pytest.mark.parametrize('code, destination', [
    ('WRONG_CA', 'SERVER_UNTRUSTED'), ('WRONG_NAME', 'SERVER_UNTRUSTED'), ('CERT_EXPIRED', 'SERVER_UNTRUSTED'),
    ('CLOCK', 'CLOCK_WRONG'), ('BAD_ANSWER', 'SERVER_UNREACHABLE'), ('SERVER_UNREACHABLE', 'SERVER_UNREACHABLE')])
def test_a_server_that_fails_the_preflight(scene, code, destination):
    scene.api(FRESH)
    scene.probe_error = ServerError('It is wrong.', 'do this', code)
    scene.expect(scene.run(scene.invitation()), destination, 'It is wrong. Next: do this')
    assert scene.played.calls == []


def test_a_clock_before_the_invitation(scene):
    scene.api(FRESH)
    scene.time = NOW - datetime.timedelta(days=2)
    scene.expect(scene.run(scene.invitation()), 'CLOCK_WRONG', '2026-11-20', '2026-11-22')
    assert scene.played.calls == [] and scene.probed == []


@pytest.mark.parametrize('trusted', [None, '', 'another CA', CA[:-100]])
def test_a_ca_that_tailscaled_does_not_trust(scene, trusted):
    scene.api(FRESH)
    if trusted is None:
        os.unlink(scene.ca_file)
    else:
        scene.write('ca.pem', trusted)
    path = scene.invitation()
    scene.expect(scene.run(path), 'NOT_PREPARED',
                 'sudo ua-overlay robot prepare --invitation {} --user {}'.format(path, USER))
    assert scene.played.calls == [] and scene.probed == []


def test_a_managed_daemon_gets_the_ca(scene):
    """After the probe of the server, so that a bad server changes nothing; before tailscaled meets it."""
    api = scene.api(FRESH, register=[ACCEPTED, MAP])
    trusted = []

    def trust(ca_pem):
        assert api.calls == [] and scene.probed
        trusted.append(ca_pem)

    path = scene.invitation()
    scene.expect(scene.run(path, trust=trust), 'OK')
    assert trusted == []  # it trusts it already
    os.unlink(scene.ca_file)
    scene.api(FRESH)
    scene.probe_error = ServerError('No answer.', 'ping', 'SERVER_UNREACHABLE')
    scene.expect(scene.run(path, trust=trust), 'SERVER_UNREACHABLE')
    assert trusted == []
    scene.probe_error = None
    api = scene.api(FRESH, register=[ACCEPTED, MAP])
    scene.expect(scene.run(path, trust=trust), 'OK')
    assert trusted == [CA]


def test_a_managed_daemon_that_cannot_get_the_ca(scene):
    def trust(ca_pem):
        raise OverlayError('It cannot be written.', 'do this', code='NOT_PREPARED')

    scene.api(FRESH)
    os.unlink(scene.ca_file)
    scene.expect(scene.run(scene.invitation(), trust=trust), 'NOT_PREPARED', 'It cannot be written. Next: do this')
    assert scene.played.calls == []


def test_a_ca_bundle_that_contains_the_ca(scene):
    scene.api(FRESH, register=[ACCEPTED, MAP])
    scene.write('ca.pem', 'another\n' + CA + '\nand ü one more')
    scene.expect(scene.run(scene.invitation()), 'OK')


def test_an_operator_that_is_set_late(scene):
    """A logout wipes the operator and the agent sets it again a moment later: that is not NOT_PREPARED."""
    api = scene.api(FRESH, prefs={'OperatorUser': ''}, register=[ACCEPTED, MAP])
    real = api.edit_prefs

    def edit_prefs(**fields):
        if scene.clock() >= 1001.5:
            api.preferences['OperatorUser'] = USER
        return real(**fields)

    api.edit_prefs = edit_prefs
    scene.expect(scene.run(scene.invitation()), 'OK')
    # Sent now, and put back later, is what the agent had set by then.
    assert api.keys_sent()[0][2]['OperatorUser'] == USER


def test_an_operator_that_is_never_set(scene):
    scene.api(FRESH, prefs={'OperatorUser': 'somebody'})
    scene.expect(scene.run(scene.invitation()), 'NOT_PREPARED', USER, 'sudo ua-overlay robot prepare --invitation')
    assert 1003 <= scene.clock() < 1004
    assert scene.played.calls == []


def test_a_user_of_a_container_is_named_by_its_number(scene):
    """Its name there may be another user's on the host, or nobody's."""
    scene.api(FRESH, prefs={'OperatorUser': 'somebody'})
    scene.expect(scene.run(scene.invitation(), elsewhere=lambda: True), 'NOT_PREPARED', 'user id ' + USER,
                 'sudo ua-overlay robot prepare --invitation FILE --user "$(id -un {})"   # on the host'.format(USER))


def test_root_requires_no_operator(scene):
    scene.uid = 0
    scene.api(FRESH, prefs={'OperatorUser': ''}, register=[ACCEPTED, MAP])
    scene.expect(scene.run(scene.invitation()), 'OK')


@pytest.mark.parametrize('error, code', [
    (DaemonMissing('No tailscaled.', 'start it'), 'NO_DAEMON'),
    (OverlayError('Too old.', code='DAEMON_TOO_OLD'), 'DAEMON_TOO_OLD')])
def test_a_missing_daemon(scene, error, code):
    scene.api(error)
    scene.expect(scene.run(scene.invitation()), code)


def test_a_bad_invitation_is_reported_first(scene):
    scene.api(DaemonMissing('No tailscaled.'))
    scene.expect(scene.run(os.path.join(scene.directory, 'none.yaml')), 'INVITATION_MISSING', 'none.yaml')


def test_settings_that_cannot_be_saved(scene):
    scene.api(FRESH, register=[ACCEPTED, MAP])
    path = scene.invitation()
    scene.directory = os.path.join(scene.directory, 'missing')
    outcome = scene.run(path)
    scene.expect(outcome, 'OK', 'joined team iris', scene.directory, 'sudo ua-overlay robot prepare')


@pytest.mark.fault('K3', 'The file system of tailscaled\'s state is full while a robot joins',
                   behaviour='The join is refused before the invitation is used',
                   reported='at once: join, status, doctor', recovery='with the next join', lost='nothing')
def test_a_full_disk_spends_no_invitation(scene):
    lack = OverlayError('The file system /var is full.', 'df -h /var')
    scene.api(FRESH)
    scene.expect(scene.run(scene.invitation(), lack_of_room=lambda: lack), 'FAILED', '/var is full',
                 'The invitation was not used', 'Next: df -h /var')
    scene.expect_no_key_sent()


def test_a_disk_that_became_full_is_mentioned_after_a_join(scene):
    lacks = [None, OverlayError('The file system /var is full.', 'df -h /var')]
    scene.api(FRESH, register=[ACCEPTED, MAP])
    scene.expect(scene.run(scene.invitation(), lack_of_room=lambda: lacks.pop(0)), 'OK', 'joined team iris',
                 '/var is full. Next: df -h /var')
    scene.api(STOPPED, resume=[({}, RUNNING), MAP])
    scene.expect(scene.run('', lack_of_room=lambda: OverlayError('Full.')), 'OK', 'is back', 'Full.')


# --- a robot that has an identity ---

def test_already_in_this_team(scene):
    scene.api(RUNNING)
    scene.expect(scene.run(scene.invitation()), 'ALREADY_JOINED', 'dev-1', 'iris', 'nothing was changed')
    assert scene.played.calls == []


def test_in_another_team(scene):
    scene.api(RUNNING)
    scene.expect(scene.run(scene.invitation(team='blue')), 'OTHER_TEAM', 'iris', 'blue', 'not used')
    assert scene.played.calls == []


def test_return_to_the_team(scene):
    api = scene.api(STOPPED, resume=[({}, RUNNING), MAP])
    scene.expect(scene.run(''), 'OK', 'dev-1 is back in team iris at 100.64.0.1')
    assert api.calls == [('edit_prefs', {'WantRunning': True})]


def test_returning_with_an_invitation_sends_no_key(scene):
    scene.api(STOPPED, resume=[MAP])
    scene.expect(scene.run(scene.invitation()), 'OK')
    scene.expect_no_key_sent()


def test_return_after_a_logout_that_did_not_reach_the_server(scene):
    """WantRunning alone would end in a login page: tailscaled's control client has lost the identity that is stored."""
    api = scene.api(STOPPED, resume=[({}, RUNNING), MAP], prefs={'LoggedOut': True})
    scene.expect(scene.run(''), 'OK', 'back in team iris')
    assert api.calls == [('start', None, dict(scene.before, WantRunning=True, LoggedOut=False))]


def test_a_running_robot_that_the_server_removed(scene):
    """tailscaled then waits for a login by hand, and the bus does not show that the server forgot it unless it asks."""
    waiting = dict(STOPPED, BackendState='NeedsLogin')
    api = scene.api(waiting, resume=FORGOTTEN[0], prefs={'WantRunning': True})
    scene.expect(scene.run(''), 'FORGOTTEN')
    assert api.calls == [('start', None, scene.before)]
    api = scene.api(waiting, resume=FORGOTTEN[0], register=[ACCEPTED, MAP], prefs={'WantRunning': True})
    scene.expect(scene.run(scene.invitation()), 'OK')


#: What tailscaled says at first, and after a restart, of a robot that the server removed (1.102.5, Headscale 0.29.3).
REMOVED = [dict(STOPPED, BackendState='NeedsLogin', Self=dict(SELF, Expired=True)),
           dict(STOPPED, BackendState='NeedsLogin', AuthURL='https://server.ua.test:8080/register/x')]


@pytest.mark.parametrize('removed', REMOVED)
def test_a_removed_robot_joins_another_team(scene, removed):
    """The last network map still names the old one, and so do its settings."""
    write_settings(scene.directory, {'team': 'blue'})
    api = scene.api(removed, resume=FORGOTTEN[0], register=[ACCEPTED, MAP], prefs={'WantRunning': True})
    scene.expect(scene.run(scene.invitation()), 'OK', 'joined team iris')
    assert len(api.keys_sent()) == 1


@pytest.mark.parametrize('removed', REMOVED)
def test_a_robot_that_the_server_refused_for_a_while_comes_back(scene, removed):
    """A server that was restored from its backup knows it again."""
    scene.api(removed, resume=[({}, RUNNING), MAP], prefs={'WantRunning': True})
    scene.expect(scene.run(''), 'OK', 'back in team iris')
    scene.api(removed, resume=[({}, RUNNING), MAP], prefs={'WantRunning': True})
    scene.expect(scene.run(scene.invitation(team='blue')), 'OTHER_TEAM', 'iris', 'blue', 'not used')
    scene.expect_no_key_sent()


def test_a_running_robot_that_was_removed_joins_another_team(scene):
    blue = dict(HERE, Self=dict(SELF, Tags=['tag:blue']))
    api = scene.api(HERE, register=[ACCEPTED, ({'SelfChange': {'ID': 1}}, blue)], prefs={'WantRunning': True})
    scene.expect(scene.run(scene.invitation(team='blue'), verify=lambda *_, **__: False), 'OK', 'joined team blue')
    assert len(api.keys_sent()) == 1


def test_a_forgotten_robot_s_preferences_are_restored(scene):
    scene.api(STOPPED, resume=FORGOTTEN[0], prefs={'LoggedOut': True})
    scene.expect(scene.run(''), 'FORGOTTEN')
    scene.expect_untouched()


def test_an_old_network_map_is_ignored(scene):
    """Right after the start the status shows the old map as if all were well; the truth comes later from the server."""
    scene.api(STOPPED, resume=[({'State': 6}, RUNNING), ({}, RUNNING), ({'BrowseToURL': 'https://x/register'}, None)])
    scene.expect(scene.run(''), 'FORGOTTEN')


def test_a_brief_loss_of_the_server_is_no_removal(scene):
    scene.api(dict(RUNNING, Self=dict(SELF, Online=False)), resume=[({}, RUNNING)], prefs={'WantRunning': True})
    scene.expect(scene.run(''), 'OK')


def test_the_other_team_remembered_while_stopped(scene):
    write_settings(scene.directory, {'team': 'iris'})
    scene.api(STOPPED)
    scene.expect(scene.run(scene.invitation(team='blue')), 'OTHER_TEAM', 'iris', 'blue')
    assert scene.played.calls == []


def test_the_other_team_learned_on_return(scene):
    """Nothing is remembered and a stopped tailscaled shows no tags: coming back shows them, and is undone."""
    scene.api(STOPPED, resume=[MAP])
    scene.expect(scene.run(scene.invitation(team='blue')), 'OTHER_TEAM', 'iris', 'blue', 'not used')
    scene.expect_untouched()
    scene.expect_no_key_sent()


def test_no_team_to_return_to(scene):
    scene.api(FRESH)
    scene.expect(scene.run(''), 'INVITATION_MISSING', 'ua-overlay join INVITATION')
    assert scene.played.calls == []


FORGOTTEN = [[({'BrowseToURL': 'https://server.ua.test:8080/register/x'}, None)],
             [({'ErrMessage': 'http 401: authkey expired'}, None)]]


@pytest.mark.parametrize('resume', FORGOTTEN)
def test_forgotten_without_an_invitation(scene, resume):
    scene.api(STOPPED, resume=resume)
    outcome = scene.run('')
    scene.expect(outcome, 'FORGOTTEN', 'does not know this robot', 'ua-overlay join INVITATION')
    assert 'https://' not in outcome.message  # whoever opens that URL decides who this machine is
    scene.expect_untouched()


@pytest.mark.parametrize('resume', FORGOTTEN)
def test_forgotten_and_then_a_new_key(scene, resume):
    api = scene.api(STOPPED, resume=resume, register=[ACCEPTED, MAP])
    scene.expect(scene.run(scene.invitation()), 'OK', 'joined team iris')
    assert len(api.keys_sent()) == 1


def test_forgotten_and_then_a_refused_key(scene):
    """Both steps are undone: the preferences are those from before the first."""
    scene.api(STOPPED, resume=FORGOTTEN[0], register=[refusal('authkey already used')])
    scene.expect(scene.run(scene.invitation()), 'INVITATION_SPENT')
    scene.expect_untouched()


def test_a_server_that_accepts_the_return_late(scene):
    """The user asked for it, so tailscaled keeps running, and the answer says so."""
    api = scene.api(STOPPED)
    scene.expect(scene.run(''), 'TIMEOUT', 'goes on trying', 'ua-overlay status')
    assert api.preferences['WantRunning']


@pytest.mark.parametrize('before', [STOPPED, dict(RUNNING, Self=dict(SELF, Online=False))])
def test_an_interrupted_return_leaves_the_robot_as_it_was(scene, before):
    scene.api(before, resume=[KeyboardInterrupt()], prefs={'WantRunning': before is not STOPPED})
    with pytest.raises(KeyboardInterrupt):
        scene.run('')
    scene.expect_untouched()


def test_returning_without_the_ca(scene):
    scene.api(STOPPED, resume=[({}, dict(STOPPED, Health=['tls: x509: unknown authority']))])
    scene.expect(scene.run(''), 'NOT_PREPARED', 'the CA of the site')
    scene.expect_untouched()


def test_the_recorded_refusals_contain_a_key():
    """The recorded messages of the server contain the key: check that a leak would be detected."""
    message = refusal('authkey already used')[0]['ErrMessage']
    assert re.search('hskey-auth-', message)


def test_the_key_waits_while_interfaces_change(scene):
    """No key is sent before they are stable."""
    began = scene.clock()
    api = scene.api(FRESH, register=[({}, None), ACCEPTED, MAP])
    seen = []

    def unstable():
        seen.append([call for call in api.calls if call[0] == 'start'])
        return max(0.0, began + 2.5 - scene.clock())

    scene.expect(scene.run(scene.invitation(), unstable=unstable), 'OK')
    assert scene.clock() - began >= 2.5
    assert seen and not any(seen)


def test_unstable_interfaces_delay_the_key_by_at_most_ten_seconds(scene):
    began = scene.clock()
    scene.api(FRESH, register=[({}, None), ACCEPTED, MAP])
    scene.expect(scene.run(scene.invitation(), unstable=lambda: 1.0), 'OK')
    assert 9.5 < scene.clock() - began < 15


# --- a robot that was removed on the server while it ran (Headscale issue 3410) ---

HERE = dict(RUNNING, Self=dict(SELF, PublicKey='nodekey:aa'))


@pytest.mark.parametrize('own', [HERE, dict(HERE, Self=dict(HERE['Self'], Online=False))])
def test_a_running_robot_that_was_forgotten_sends_a_key(scene, own):
    asked = []
    api = scene.api(own, register=[ACCEPTED, MAP], prefs={'ControlURL': INVITATION.server_url, 'WantRunning': True})

    def verify(*arguments, timeout):
        asked.append(arguments)
        return False

    scene.expect(scene.run(scene.invitation(), verify=verify), 'OK', 'joined team iris')
    assert asked == [(INVITATION.server_url, CA, 'nodekey:aa')]
    assert [call[1] for call in api.keys_sent()] == [KEY]


def test_without_an_invitation_the_error_asks_for_one(scene):
    scene.api(HERE)
    scene.expect(scene.run('', verify=lambda *_, **__: False), 'FORGOTTEN', 'does not know dev-1', 'a new invitation')
    scene.expect_no_key_sent()


@pytest.mark.parametrize('answer', [True, None])
def test_a_robot_that_may_be_known_keeps_its_identity(scene, answer):
    scene.api(HERE)
    scene.expect(scene.run(scene.invitation(), verify=lambda *_, **__: answer), 'ALREADY_JOINED')
    scene.expect_no_key_sent()


def test_both_roots_of_a_ca_rotation_are_trusted_in_either_order(scene):
    other = certificates.dump_certificates(ca_module.create_ca('lab', ['server.ua.test'], ['203.0.113.10'], NOW)[1])
    scene.api(FRESH, register=[ACCEPTED, MAP])
    scene.write('ca.pem', CA + other)
    scene.expect(scene.run(scene.invitation(ca_pem=other + CA)), 'OK')
    scene.api(FRESH)
    scene.write('ca.pem', CA)
    scene.expect(scene.run(scene.invitation(ca_pem=other + CA)), 'NOT_PREPARED')
    scene.expect_no_key_sent()


@pytest.mark.fault('case 8', 'join, while tailscaled is in the tailnet of another control server',
                   behaviour='nothing is sent', reported='at once: join names that server and the next command',
                   recovery='robot prepare --take-over', lost='nothing')
@pytest.mark.parametrize('team', ['', 'iris'])
def test_another_control_server_is_named(scene, team):
    own = dict(RUNNING, Self=dict(SELF, Tags=['tag:' + team] if team else None))
    api = scene.api(own, prefs={'ControlURL': 'https://controlplane.tailscale.com', 'WantRunning': True})
    scene.expect(scene.run(scene.invitation()), 'NOT_PREPARED', 'https://controlplane.tailscale.com', '--take-over')
    scene.expect_no_key_sent()
    assert api.calls == []
