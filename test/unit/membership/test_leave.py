"""Leave, against a played tailscaled."""
import pytest

from ua_overlay.membership.leave import LOGOUT_AFTER_START, RESTART, TIMEOUT, leave
from ua_overlay.membership.settings import read_settings, write_settings
from ua_overlay.tailscale.localapi import DaemonDenied, DaemonError, DaemonMissing

RUNNING = {'BackendState': 'Running', 'HaveNodeKey': True, 'Self': {'DNSName': 'dev-1.overlay.internal.'}}
STOPPED = dict(RUNNING, BackendState='Stopped')
FRESH = {'BackendState': 'NeedsLogin'}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class PlayedApi:
    """``after`` are the statuses that follow a change, the last one for ever."""

    def __init__(self, before, *after, error=None, refusals=()):
        self.now, self.after, self.error = before, list(after), error
        self.refusals = list(refusals)
        self.changed = False
        self.calls = []

    def status(self, peers=True):
        if isinstance(self.now, BaseException):
            raise self.now
        if self.changed and self.after:
            self.now = self.after.pop(0)
        return self.now

    def edit_prefs(self, **fields):
        self.change('edit_prefs', fields)

    def logout(self, timeout):
        if self.refusals:
            self.calls.append(('logout', timeout))
            raise self.refusals.pop(0)
        self.change('logout', timeout)

    def start(self):
        self.calls.append(('start',))

    def change(self, *call):
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        self.changed = True


@pytest.fixture
def directory(tmp_path):
    write_settings(str(tmp_path), {'team': 'iris'})
    return str(tmp_path)


def do(api, forget, directory):
    clock = Clock()
    outcome = leave(api, forget, directory, clock, clock.sleep)
    assert clock.now <= TIMEOUT + 1
    return outcome, outcome.message


def test_leave_keeps_the_identity(directory):
    api = PlayedApi(RUNNING, RUNNING, STOPPED)
    outcome, message = do(api, False, directory)
    assert outcome.code == 'OK' and 'dev-1 left and keeps' in message and 'ua-overlay join' in message
    assert api.calls == [('edit_prefs', {'WantRunning': False})]
    assert read_settings(directory) == {'team': 'iris'}


def test_forget(directory):
    api = PlayedApi(RUNNING, RUNNING, FRESH)
    outcome, message = do(api, True, directory)
    assert outcome.code == 'OK' and 'ua-overlay robot remove dev-1' in message
    assert api.calls == [('logout', TIMEOUT)]
    assert read_settings(directory) == {}


def test_forget_after_leaving(directory):
    assert do(PlayedApi(STOPPED, FRESH), True, directory)[0].code == 'OK'


@pytest.mark.parametrize('forget', [False, True])
def test_in_no_team(directory, forget):
    api = PlayedApi(FRESH)
    outcome, message = do(api, forget, directory)
    assert outcome.code == 'NOT_JOINED' and 'Next: ' in message
    assert api.calls == [] and read_settings(directory) == {}


def test_a_robot_that_has_already_left(directory):
    api = PlayedApi(STOPPED)
    outcome, message = do(api, False, directory)
    assert outcome.code == 'NOT_JOINED' and 'identity is kept' in message and 'Next: ua-overlay join' in message
    assert api.calls == [] and read_settings(directory) == {'team': 'iris'}


@pytest.mark.parametrize('forget', [False, True])
def test_a_daemon_that_does_not_finish(directory, forget):
    outcome, message = do(PlayedApi(RUNNING, RUNNING), forget, directory)
    assert outcome.code == 'FAILED' and 'within 9 s' in message and 'ua-overlay status' in message
    assert read_settings(directory) == {'team': 'iris'}


NO_KEY = DaemonError('tailscaled refused logout (500): no nodekey to log out.', status=500)


@pytest.mark.parametrize('refusals, calls', [
    ([NO_KEY, NO_KEY], ['logout', 'start', 'logout']),
    # No answer is not a refusal: a second attempt would only wait as long again.
    ([DaemonError('tailscaled did not answer in time.')], ['logout'])])
def test_a_server_that_does_not_accept_the_logout(directory, refusals, calls):
    api = PlayedApi(RUNNING, STOPPED, refusals=refusals)
    outcome, message = do(api, True, directory)
    assert outcome.code == 'FAILED' and refusals[0].sentence in message and 'ua-overlay leave --forget' in message
    assert [call[0] for call in api.calls] == calls
    assert read_settings(directory) == {'team': 'iris'}


def test_a_refused_logout_is_retried_after_a_start(directory):
    api = PlayedApi(STOPPED, FRESH, refusals=[NO_KEY])
    assert do(api, True, directory)[0].code == 'OK'
    # The second has its own time: the name of the server may have to be looked up without the overlay's resolver.
    assert api.calls == [('logout', TIMEOUT), ('start',), ('logout', LOGOUT_AFTER_START)]


@pytest.mark.parametrize('forget', [False, True])
@pytest.mark.parametrize('error, code', [(DaemonDenied('Not you.', 'sudo'), 'NOT_PREPARED'),
                                         (DaemonMissing('No tailscaled.', 'start'), 'NO_DAEMON')])
def test_no_permission_or_no_daemon(directory, forget, error, code):
    assert do(PlayedApi(RUNNING, error=error), forget, directory)[0].code == code
    assert do(PlayedApi(error), forget, directory)[0].code == code


def test_the_answer_mentions_settings_that_remain(tmp_path):
    """A directory under the file's name is in the way, for root as well."""
    (tmp_path / 'settings.yaml').mkdir()
    outcome, message = do(PlayedApi(RUNNING, FRESH), True, str(tmp_path))
    assert outcome.code == 'OK' and 'could not be removed' in message and 'robot remove dev-1' in message
    assert do(PlayedApi(FRESH), False, str(tmp_path))[0].code == 'NOT_JOINED'


class RestartedApi(PlayedApi):
    """tailscaled 1.102 goes ``after`` looks behind the logout, and comes back; None: nobody restarts it."""

    def __init__(self, before, after):
        super().__init__(dict(before, Version='1.102.5'), dict(FRESH, Version='1.102.5'))
        self.left = after
        self.looks = 0

    def status(self, peers=True):
        answer = super().status(peers)
        if self.changed:
            self.looks += 1
            if self.left is not None and self.left < self.looks <= self.left + 3:
                raise DaemonMissing('No tailscaled.', 'start')
        return answer


@pytest.mark.parametrize('before', [RUNNING, STOPPED])
def test_a_join_that_follows_does_not_meet_the_restart(directory, before):
    """The agent restarts a tailscaled that has run, also one that was stopped before it was forgotten."""
    clock, api = Clock(), RestartedApi(before, 4)
    outcome = leave(api, True, directory, clock, clock.sleep, restarts=True)
    assert outcome.code == 'OK' and 'old paths' not in outcome.message and api.looks > 4 + 3
    # It has come back: the next look answers.
    assert api.status()['BackendState'] == 'NeedsLogin' and clock.now < 2


@pytest.mark.parametrize('restarts', [True, False])
@pytest.mark.parametrize('before, noted', [(RUNNING, True), (STOPPED, False)])
def test_without_a_restart_a_robot_that_ran_says_so(directory, before, noted, restarts):
    clock = Clock()
    outcome = leave(RestartedApi(before, None), True, directory, clock, clock.sleep, restarts)
    assert outcome.code == 'OK' and ('Restart tailscaled before it joins again: 1.102.5' in outcome.message) is noted
    assert clock.now <= (RESTART + 1 if restarts else 1)
