"""`server relay run` with played programs on a real site. Real ones: test/lab."""
import os
import signal
import socket
import time

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import apart_relays, relay_server
from ua_overlay.server.apart_relays import ApartRelays
from ua_overlay.server.ports import StartError
from ua_overlay.server.relay_server import RelayServer
from ua_overlay.site.site import RelayRuns, Site
from ua_overlay.system import ownership
from ua_overlay.system.control_socket import NotRunning, ask


@pytest.fixture
def site(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(('0.0.0.0', 0))
        port = free.getsockname()[1]
    return Site.create(str(tmp_path / 'site'), SiteSettings('s.test', relay_port=port), lambda directory: None)


@pytest.fixture
def run(site, tmp_path):
    """Function(what to do once it runs) -> (exit status, what it said)."""
    program = tmp_path / 'program'
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)

    def run(started):
        def all_started():
            try:
                started()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        said = []
        return RelayServer(site, lambda name: str(program), None, utc_now, said.append,
                           started=all_started).run(), said

    return run


def test_it_answers_and_ends_with_its_children(site, run):
    seen = []

    def started():
        seen.append(apart_relays.status(site))
        assert ApartRelays(site).report()['relay']['pid'] == seen[0]['relay']['pid']
        with pytest.raises(OverlayError, match='does not know the operation "reload"'):
            ask(site.relay_control_socket, 'reload')
        with pytest.raises(RelayRuns, match='runs already'), site.relay_held():
            pass

    before = signal.getsignal(signal.SIGTERM)
    assert run(started) == (0, ['Stopping …', 'Stopped.']) and signal.getsignal(signal.SIGTERM) is before
    relay = seen[0]['relay']
    assert relay['apart'] is True and relay['ok'] is False and seen[0]['own_derp'] is None
    with pytest.raises(ProcessLookupError):
        os.kill(relay['pid'], 0)
    with pytest.raises(NotRunning):
        apart_relays.status(site)
    with site.relay_held():
        pass


@pytest.mark.fault('K1', "The main thread of the relay's own process on the server hangs",
                   behaviour='relay and derper go on; their state is unknown',
                   reported='120 s: server status, server relay status', recovery='with its next round',
                   lost='nothing')
def test_a_main_thread_that_hangs(site):
    class Played:
        def report(self):
            return {'relay': {'state': 'up', 'ok': True}, 'own_derp': derp and dict(derp), 'log_problems': []}

        def step(self):
            raise AssertionError

    now, derp, up = [0.0], {'state': 'up', 'ok': True}, {'state': 'up', 'ok': True}
    server = RelayServer(site, None, None, utc_now, print, clock=lambda: now[0])
    server._relays = Played()
    now[0] = relay_server.SILENT_AFTER
    assert server._answer('status') == {'relay': dict(up, apart=True), 'own_derp': up, 'log_problems': []}
    now[0] += 1
    hangs = {'ok': False,
             'state': 'unknown: The main thread of `server relay run` hangs: it did nothing for 121 s.'}
    assert server._answer('status') == {'relay': dict(hangs, apart=True), 'own_derp': hangs, 'log_problems': []}
    derp = None
    assert server._answer('status')['own_derp'] is None
    server._requests.add(relay_server.STOP)
    server._supervise(server._relays)
    assert server._answer('status')['relay']['ok']


def test_its_relay_restarts_when_it_is_asked_to(site, tmp_path):
    program, seen = tmp_path / 'program', []
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)
    server = RelayServer(site, lambda name: str(program), None, utc_now, lambda line: None)

    def started():
        seen.append(apart_relays.status(site)['relay']['pid'])
        ApartRelays(site).restart_relay()

    server._started = started
    take = server._requests.take

    def look(timeout):
        pid = apart_relays.status(site)['relay']['pid']
        if pid != seen[0]:
            seen.append(pid)
            os.kill(os.getpid(), signal.SIGTERM)
        assert time.monotonic() < deadline
        return take(0.05)

    server._requests.take = look
    deadline = time.monotonic() + 20
    assert server.run() == 0 and len(seen) >= 2


def test_a_second_one_and_a_taken_port_are_refused(site, run):
    with site.relay_held(), pytest.raises(RelayRuns) as caught:
        run(lambda: None)
    assert caught.value.next_command == 'ua-overlay server status --dir ' + site.directory
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(('0.0.0.0', site.settings.relay_port))
        with pytest.raises(StartError, match='UDP port {} is taken'.format(site.settings.relay_port)):
            run(lambda: None)
    # Whoever fails does not hold the relay.
    with site.relay_held():
        pass


def test_a_site_below_another_users_directory_does_not_start(tmp_path):
    if os.geteuid() != 0:
        pytest.skip('Only root can give directories to others.')
    site = Site.create(str(tmp_path / 'theirs' / 'site'), SiteSettings('s.test'), lambda directory: None)
    os.chown(str(tmp_path / 'theirs'), 65534, 65534)
    with pytest.raises(ownership.Unsafe):
        RelayServer(site, None, None, None, None).run()
