import socket

import pytest

from ua_overlay.headscale.rules import Rules, Team
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import process
from ua_overlay.server.ports import ServerError, check_ports
from ua_overlay.server.process import SiteServer
from ua_overlay.site import last_good
from ua_overlay.site.site import Site
from ua_overlay.system.restart import Restarter


class FakeChild:
    """A child that is up or down as the test says."""

    name = 'it'

    def __init__(self):
        self.up, self.starts = False, 0

    def start(self):
        self.up, self.starts = True, self.starts + 1

    def running(self):
        return self.up

    def exit_code(self):
        return 1


def test_a_crashed_child_is_started_again_after_a_growing_pause():
    child = FakeChild()
    restarter = Restarter(child)
    restarter.start(0.0)
    assert restarter.step(1.0) is None
    now, pauses = 1.0, []
    for _ in range(8):
        child.up = False
        assert 'ended' in restarter.step(now)
        begin = now
        while not child.up:
            now += 0.5
            restarter.step(now)
        pauses.append(now - begin)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert restarter.restarts == 8 and child.starts == 9


def test_a_long_good_run_makes_the_pause_short_again():
    child = FakeChild()
    restarter = Restarter(child)
    restarter.start(0.0)
    for now in (1.0, 10.0):
        child.up = False
        restarter.step(now)
        restarter.step(now + 5)
    child.up = False
    assert 'next start in 1 s' in restarter.step(100.0)


def test_what_hangs_on_a_start_is_told():
    starts = []
    restarter = Restarter(FakeChild(), on_start=lambda: starts.append(1))
    restarter.start(0.0)
    restarter.child.up = False
    restarter.step(1.0)
    assert starts == [1]
    restarter.step(2.0)
    assert starts == [1, 1]


def test_a_child_that_was_never_started_is_left_alone():
    assert Restarter(FakeChild()).step(5.0) is None


@pytest.mark.parametrize('kind, field, option', [
    (socket.SOCK_STREAM, 'port', '--port'),
    (socket.SOCK_DGRAM, 'stun_port', '--stun-port'),
    (socket.SOCK_DGRAM, 'relay_port', '--relay-port'),
])
def test_a_taken_port_is_named(kind, field, option):
    free = []
    for each in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_DGRAM):
        probe = socket.socket(socket.AF_INET, each)
        probe.bind(('127.0.0.1', 0))
        free.append(probe)
    ports = dict(zip(('port', 'stun_port', 'relay_port'), (probe.getsockname()[1] for probe in free)))
    for probe in free:
        probe.close()
    settings = SiteSettings('s.test', (), **ports)
    check_ports(settings)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(('0.0.0.0', ports[field]))
        if kind == socket.SOCK_STREAM:
            taken.listen(1)
        with pytest.raises(ServerError, match='port {} is taken'.format(ports[field])) as caught:
            check_ports(settings)
        assert option in caught.value.next_command


def test_what_is_in_force_is_kept_and_a_full_disk_ends_nothing(tmp_path, monkeypatch):
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


def test_a_certificate_that_cannot_be_renewed_does_not_end_the_server():
    """The CA's key may be kept elsewhere; what is there is good for weeks."""
    said = []

    def renew():
        raise ServerError('ca.key is missing.', 'restore it')

    class Site:
        settings = SiteSettings('server.example.org')
        invitation_log_file = ''

    server = SiteServer(Site(), None, renew, None, said.append, None)
    assert server._renew_certificate() is False
    assert len(said) == 1 and 'not renewed: ca.key is missing.' in said[0]


def test_the_timer_renews_and_only_headscale_starts_again(monkeypatch):
    """What bench/topic_gap.py does by `server renew`."""
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
        server._requests.put(request)
    server._supervise()
    # Once: the third look would have asked for a second renewal, which there is none of.
    assert done == ['headscale'] and next(due, 'spent') == 'spent'
