"""The main loop of `server run`. Real processes: test/lab/test_site_server.py."""
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
from ua_overlay.site.site import Site
from ua_overlay.system import files, ownership


def test_rules_in_force_are_saved_and_a_full_disk_is_survived(tmp_path, monkeypatch):
    site = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), lambda directory: None)
    said = []
    server = SiteServer(site, None, None, None, said.append, None)
    server._remember_rules(Rules({'iris': Team('iris')}))
    (tmp_path / 'site' / 'site.yaml').write_text('no site')
    assert list(last_good.load(site.directory)[0].teams) == ['iris'] and said == []

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
    server._headscale = server._relay = Idle()
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


def test_requests_are_handled_in_order_and_restarts_answered(monkeypatch):
    class Site:
        settings = SiteSettings('server.example.org')
        invitation_log_file = ''

    server = SiteServer(Site(), None, None, None, lambda line: None, None)
    server._headscale, server._relay = Parts(), Parts()
    done = []
    monkeypatch.setattr(server, '_restart_headscale', lambda: done.append('headscale') or True)
    monkeypatch.setattr(server, '_reload_by_signal', lambda: done.append('policy'))
    restart = server._requests.add(process.RESTART_HEADSCALE)
    for request in (process.RELOAD_POLICY, process.RESTART_RELAY, process.STOP):
        server._requests.add(request)
    server._supervise()
    assert restart.wait(0) is True and done == ['headscale', 'policy'] and server._relay.done == ['stop', 'start']
    with pytest.raises(OverlayError, match='does not know the operation "x"'):
        server._answer('x')


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
