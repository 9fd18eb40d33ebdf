"""tailscaled is restarted once after a logout, and never otherwise."""
import subprocess

import pytest

from ua_overlay.tailscale.localapi import DaemonMissing
from ua_overlay.tailscale.old_paths import keeps_old_paths, watch_logouts


def status(state, key=True, version='1.102.5'):
    return {'BackendState': state, 'HaveNodeKey': key, 'Version': version}


RUNNING, STOPPED, OUT = status('Running'), status('Stopped'), status('NeedsLogin', key=False)
GONE = DaemonMissing('none')


class Daemon:
    """Answers one status after another; stops the watch behind the last one."""

    def __init__(self, answers, failure=None, logins=(), current=None):
        self.answers, self.failure, self.restarts, self.said = list(answers), failure, 0, []
        self.logins, self.current = list(logins), current or {'ID': ''}

    def wait(self, seconds):
        return not self.answers

    def status(self, peers=True):
        assert not peers
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def profiles(self):
        return self.logins, self.current

    def restart(self):
        self.restarts += 1
        if self.failure:
            raise self.failure


@pytest.mark.fault('new', 'tailscaled 1.102 logs out and joins again: it keeps the old paths to its peers',
                   behaviour='The agent restarts it after the logout', reported='-', recovery='-', lost='nothing')
@pytest.mark.parametrize('answers, restarts', [
    ([RUNNING, OUT, OUT, OUT], 1), ([RUNNING, STOPPED, OUT, OUT], 1), ([RUNNING, OUT, GONE, OUT, RUNNING, OUT], 2),
    # A join that fails gets a key and loses it; a process that has just started has no peers.
    ([OUT, status('Starting'), OUT], 0), ([RUNNING, GONE, OUT], 0), ([OUT, OUT], 0), ([RUNNING, STOPPED, RUNNING], 0),
    ([status('Running', version='1.100.0'), status('NeedsLogin', False, '1.100.0')], 0),
    ([status('Running', version='custom'), status('NeedsLogin', False, 'custom')], 0)])
def test_restarts(answers, restarts):
    daemon = Daemon(answers)
    watch_logouts(daemon, daemon.restart, daemon, daemon.said.append)
    assert daemon.restarts == restarts == len(daemon.said)


OURS, THEIRS = {'ID': 'a', 'ControlURL': 'https://server.ua.test:8080'}, {'ID': 'b', 'ControlURL': ''}


@pytest.mark.parametrize('logins, current, restarts', [
    # `robot prepare --take-over` and `tailscale login` begin a new login beside one that is kept: a restart ends it.
    ([THEIRS], {'ID': ''}, 0), ([OURS, THEIRS], OURS, 0),
    # A logout removes its own login a moment later.
    ([OURS], OURS, 1), ([], {'ID': ''}, 1)])
def test_a_new_login_beside_another_one_is_not_cut_off(logins, current, restarts):
    daemon = Daemon([RUNNING, OUT, OUT], logins=logins, current=current)
    watch_logouts(daemon, daemon.restart, daemon, daemon.said.append)
    assert daemon.restarts == restarts


def test_a_restart_that_fails_is_reported():
    daemon = Daemon([RUNNING, OUT, OUT], subprocess.CalledProcessError(1, ['systemctl', 'restart', 'tailscaled']))
    rounds = []
    watch_logouts(daemon, daemon.restart, daemon, daemon.said.append, rounds.append)
    assert rounds[0] == '' and 'could not be restarted' in rounds[-1]
    assert daemon.restarts == 1 and 'Next: sudo systemctl restart tailscaled' in daemon.said[0]


def test_versions():
    assert [keeps_old_paths(version) for version in ('1.98.10', '1.100.0', '1.102.0', '1.102.5-t1', '2.0', 'x')] == [
        False, False, True, True, True, False]
