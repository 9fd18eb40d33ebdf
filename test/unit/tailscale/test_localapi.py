"""The LocalAPI against answers that a healthy daemon never gives (the healthy ones: test/lab/test_localapi.py)."""
import json
import os
import socket
import threading
import time

import hostile
import pytest

from ua_overlay import defaults
from ua_overlay.tailscale.http_unix import LONGEST_BODY
from ua_overlay.tailscale.localapi import DaemonDenied, DaemonError, DaemonMissing, DaemonTooOld, LocalApi
from ua_overlay.tailscale.model import parse_status
from unit.tailscale.raw_server import OK, Server


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'sock')


def test_request_line_and_host_header(path):
    server = Server(path, [None, OK + b'Content-Length: 2\r\n\r\n{}'])
    assert LocalApi(path).status(peers=False) == {}
    assert server.requests[0].startswith(b'GET /localapi/v0/status?peers=false HTTP/1.1\r\n')
    assert b'Host: local-tailscaled.sock\r\n' in server.requests[0]
    assert b'Origin' not in server.requests[0] and b'Referer' not in server.requests[0]


def test_a_connection_is_reused_and_replaced_when_dead(path):
    answer = OK + b'Content-Length: 2\r\n\r\n{}'
    server = Server(path, [None, answer, None, answer], [None, answer])
    api = LocalApi(path)
    assert api.status() == {} and api.status() == {}
    assert api.status() == {}  # the server closed the first connection
    assert len(server.requests) == 3


def test_a_write_with_a_lost_answer_is_not_repeated(path):
    answer = OK + b'Content-Length: 2\r\n\r\n{}'
    server = Server(path, [None, answer, None], [None], [None, answer])
    api = LocalApi(path)
    api.status()
    with pytest.raises(DaemonMissing):
        api.edit_prefs(WantRunning=True)
    writes = [request for request in server.requests if request.startswith(b'PATCH')]
    assert len(writes) == 1 and b'"WantRunningSet": true' in writes[0]


@pytest.mark.parametrize('pieces, error', [
    ([None], DaemonMissing),
    ([None, OK + b'Content-Length: 10\r\n\r\n{'], DaemonMissing),
    ([None, b'SSH-2.0-OpenSSH\r\n\r\n'], DaemonError),
    ([None, OK + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n'], DaemonError),
    ([None, OK + b'Content-Length: 5\r\n\r\n{"a":'], DaemonError),
    ([None, OK + b'Content-Length: 2\r\n\r\n[]'], DaemonError),
    ([None, b'HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\naccess denied'], DaemonDenied),
    ([None, b'HTTP/1.1 500 E\r\nContent-Length: 4\r\n\r\noops'], DaemonError),
    ([None, b'HTTP/1.1 200 OK\r\nTailscale-Version: 1.78.1\r\nContent-Length: 2\r\n\r\n{}'], DaemonTooOld),
])
def test_every_fault_has_a_specific_error(path, pieces, error):
    Server(path, pieces)
    with pytest.raises(error) as caught:
        LocalApi(path).status()
    assert path in str(caught.value) or '500' in str(caught.value)


def test_a_hanging_daemon_times_out(path):
    Server(path, [None, 1.0])
    start = time.monotonic()
    with pytest.raises(DaemonError) as caught:
        LocalApi(path, timeout=0.2).status()
    assert time.monotonic() - start < 0.8
    assert 'in time' in str(caught.value)


def test_a_slow_daemon_times_out(path):
    Server(path, [None, OK] + [part for _ in range(20) for part in (b'X: y\r\n', 0.05)])
    start = time.monotonic()
    with pytest.raises(DaemonError):
        LocalApi(path, timeout=0.3).status()
    assert time.monotonic() - start < 0.8


def test_a_machine_that_was_never_prepared_has_no_tailscaled_to_start(path, monkeypatch, tmp_path):
    monkeypatch.setattr(defaults, 'DAEMON_SOCKET', path)
    monkeypatch.setattr(defaults, 'CA_FILE', str(tmp_path / 'ca.pem'))
    monkeypatch.setattr(defaults, 'SITE_DIR', str(tmp_path / 'site'))
    for made, next_command in (('', 'sudo ua-overlay robot prepare'), ('site', 'sudo ua-overlay server status'),
                               ('ca.pem', 'sudo systemctl start tailscaled')):
        if made:
            (tmp_path / made).mkdir()
        with pytest.raises(DaemonMissing) as caught:
            LocalApi(path).status()
        assert caught.value.next_command.startswith(next_command)


def test_a_missing_socket_and_a_stale_socket(path):
    with pytest.raises(DaemonMissing) as caught:
        LocalApi(path).status()
    assert (caught.value.code, caught.value.next_command) == ('NO_DAEMON', 'sudo systemctl start tailscaled')
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    with pytest.raises(DaemonMissing):
        LocalApi(path).status()
    listener.close()
    os.unlink(path)


def test_error_messages_never_show_keys(path):
    Server(path, [None, b'HTTP/1.1 500 E\r\nContent-Length: 42\r\n\r\nbad key hskey-auth-abc-def and tskey-x1-y2'])
    with pytest.raises(DaemonError) as caught:
        LocalApi(path).start('hskey-auth-abc-def')
    assert 'hskey' not in str(caught.value) and 'tskey' not in str(caught.value)
    assert '[key]' in str(caught.value)


def test_lines_of_the_bus_are_reassembled(path):
    head = OK + b'Transfer-Encoding: chunked\r\n\r\n'
    Server(path, [None, head + b'9\r\n{"State":\r\n', 0.2, b'f\r\n6}\n{"Health":{}\r\n2\r\n}\n\r\n0\r\n\r\n'])
    bus = LocalApi(path).watch()
    assert bus.next(timeout=0.05) is None
    assert bus.next(timeout=2.0) == {'State': 6}
    assert bus.next(timeout=2.0) == {'Health': {}}
    with pytest.raises(DaemonMissing):
        bus.next(timeout=2.0)


def test_the_bus_ends_when_another_thread_closes_it(path):
    Server(path, [None, OK + b'Transfer-Encoding: chunked\r\n\r\n', 5.0])
    bus = LocalApi(path).watch()
    threading.Timer(0.1, bus.close).start()
    start = time.monotonic()
    assert list(bus) == []
    assert time.monotonic() - start < 2.0


def test_the_status_of_ten_thousand_peers_fits(path):
    """11 MB: the bounds against endless answers leave twice that."""
    raw = json.loads(json.dumps(hostile.RUNNING))
    peer = next(iter(raw['Peer'].values()))
    raw['Peer'] = {'nodekey:{:064x}'.format(number): dict(
        peer, DNSName='dev-{}.overlay.internal.'.format(number),
        TailscaleIPs=['100.64.{}.{}'.format(number >> 8, number & 255)]) for number in range(10000)}
    body = json.dumps(raw, indent=1).encode()  # as Go indents it
    Server(path, [None, OK + b'Transfer-Encoding: chunked\r\n\r\n%x\r\n' % len(body) + body + b'\r\n0\r\n\r\n'])
    status = parse_status(LocalApi(path, timeout=20.0).status())
    assert len(status.peers) == 10000 and status.peers[0].addresses and 10e6 < len(body) < LONGEST_BODY / 2
