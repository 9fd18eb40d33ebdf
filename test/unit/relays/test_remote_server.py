"""What `derp run` does with its child and its requests; the child is played. Real ones: test_relays_loopback.py."""
import os
import signal

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays import remote_server
from ua_overlay.relays.remote_host import RemoteHost
from ua_overlay.relays.remote_server import RemoteServer
from ua_overlay.system.control_socket import NotRunning


@pytest.fixture
def remote_host(admin, tmp_path):
    made = RemoteHost(str(tmp_path / 'derp'), enrolments.DERP)
    made.install(admin.create_derp('lab-b', '203.0.113.11', 8443, 3478)[0])
    return made


def test_the_server_reports_and_ends_with_its_child(remote_host, tmp_path):
    program, said, reports = tmp_path / 'derper', [], []
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)

    def started():
        reports.append(remote_server.status(remote_host))
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    assert RemoteServer(remote_host, lambda name: str(program), said.append, started=started).run() == 0
    report = reports[0]
    assert (report['name'], report['kind'], report['state'], report['restarts']) == ('lab-b', 'derp', 'starting', 0)
    assert said == ['Stopping …', 'Stopped.'] and signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(ProcessLookupError):
        os.kill(report['pid'], 0)
    modes = {name: os.stat(remote_host.path('state', name)).st_mode & 0o777 for name in os.listdir(
        remote_host.path('state'))}
    assert modes == {'ca.pem': 0o644, 'lab-b.s.test.crt': 0o644, 'lab-b.s.test.key': 0o600}
    with pytest.raises(NotRunning, match='is not running') as caught:
        remote_server.status(remote_host)
    assert caught.value.next_command == remote_host.command('run')


@pytest.mark.fault('K1', 'The main thread of a DERP or relay on a remote host hangs',
                   behaviour='its program goes on; its state is unknown',
                   reported='120 s: derp status, relay status', recovery='with its next round', lost='nothing')
def test_a_main_thread_that_hangs(remote_host):
    now = [0.0]
    server = RemoteServer(remote_host, None, print, clock=lambda: now[0])
    server._process = type('Played', (), {
        'report': lambda _: {'state': 'up', 'ok': True, 'pid': 7, 'restarts': 0}, 'log_problem': '',
        'step': lambda _: None})()
    now[0] = remote_server.SILENT_AFTER
    assert server._answer('status')['ok'] and server._answer('status')['state'] == 'up'
    now[0] += 1
    report = server._answer('status')
    assert not report['ok'] and report['pid'] == 7
    assert report['state'] == 'unknown: The main thread of `derp run` hangs: it did nothing for 121 s.'
    server._requests.add(remote_server.STOP)
    server._supervise(server._process)
    assert server._answer('status')['ok']


def test_an_expiring_certificate_is_reported_once(remote_host):
    said, now = [], [0.0]
    server = RemoteServer(remote_host, None, said.append, now=lambda: now[0])
    server._warn()
    assert said == []
    now[0] = 4e9
    server._warn()
    server._warn()
    assert len(said) == 1 and 'The certificate of DERP lab-b ended on' in said[0]


def test_an_unknown_operation(remote_host):
    with pytest.raises(OverlayError, match='does not know the operation "reload"'):
        RemoteServer(remote_host, None, print)._answer('reload')
