"""A new identity, against a played tailscaled. The real one: test/lab/test_site_life.py."""
import os

import pytest

from ua_overlay.membership.new_identity import make_new_identity
from ua_overlay.membership.settings import write_settings
from ua_overlay.tailscale.localapi import DaemonDenied, DaemonMissing

RUNNING = {'BackendState': 'Running', 'HaveNodeKey': True, 'Self': {'DNSName': 'dev-1.overlay.internal.'}}
FRESH = {'BackendState': 'NeedsLogin', 'HaveNodeKey': False, 'Self': {}}
OURS = {'ID': 'a', 'ControlURL': 'https://server.ua.test:8080'}
THEIRS = {'ID': 'b', 'ControlURL': ''}


class Daemon:
    def __init__(self, statuses, profiles=(OURS,), current=OURS):
        self.statuses, self.known, self.calls = list(statuses), (list(profiles), current), []

    def status(self, peers=True):
        answer = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def profiles(self):
        return self.known

    def reset_auth(self):
        self.calls.append('reset_auth')


def make(api, directory, restarts=False):
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    return make_new_identity(api, str(directory), lambda: now[0], sleep, restarts)


def test_keys_and_settings_go(tmp_path):
    write_settings(str(tmp_path), {'team': 'iris', 'robot': 'dev-1'})
    api = Daemon([RUNNING, RUNNING, FRESH])
    outcome = make(api, tmp_path)
    assert outcome.code == 'OK' and 'keeps the name dev-1' in outcome.message and 'invite TEAM' in outcome.message
    assert api.calls == ['reset_auth'] and os.listdir(str(tmp_path)) == []


def test_a_join_that_follows_does_not_meet_the_restart(tmp_path):
    """The agent restarts tailscaled 1.102 when its keys are gone."""
    old, new = dict(RUNNING, Version='1.102.5'), dict(FRESH, Version='1.102.5')
    gone = DaemonMissing('No tailscaled.', 'start')
    api = Daemon([old, old, new, new, gone, gone, new, 'not asked'])
    outcome = make(api, tmp_path, restarts=True)
    assert outcome.code == 'OK' and 'old paths' not in outcome.message and api.statuses == ['not asked']
    outcome = make(Daemon([old, new]), tmp_path)
    assert outcome.code == 'OK' and 'Restart tailscaled before it joins again: 1.102.5' in outcome.message


def test_a_copy_that_never_joined_has_a_machine_key_too(tmp_path):
    api = Daemon([FRESH], profiles=(), current={'ID': ''})
    assert make(api, tmp_path).code == 'OK' and api.calls == ['reset_auth']


def test_the_login_of_another_server_is_not_removed_silently(tmp_path):
    api = Daemon([RUNNING], profiles=(OURS, THEIRS))
    outcome = make(api, tmp_path)
    assert outcome.code == 'FAILED' and 'https://controlplane.tailscale.com' in outcome.message and not api.calls


def test_a_daemon_that_does_not_finish(tmp_path):
    outcome = make(Daemon([RUNNING]), tmp_path)
    assert outcome.code == 'FAILED' and 'within 9 s' in outcome.message


def test_a_user_without_permission(tmp_path):
    api = Daemon([RUNNING])

    def denied():
        raise DaemonDenied('No.', 'sudo ua-overlay robot prepare')

    api.profiles = denied
    assert make(api, tmp_path).code == 'NOT_PREPARED'


@pytest.mark.skipif(os.geteuid() == 0, reason='Root may remove everything.')
def test_settings_that_cannot_be_removed(tmp_path):
    write_settings(str(tmp_path), {'team': 'iris', 'robot': 'dev-1'})
    os.chmod(str(tmp_path), 0o500)
    assert 'could not be removed' in make(Daemon([RUNNING, FRESH]), tmp_path).message
