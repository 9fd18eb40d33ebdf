"""HTTP over a unix socket, against answers that a healthy daemon never gives."""
import socket
import threading
import time

import pytest

from ua_overlay.tailscale.http_unix import Connection, ProtocolError
from unit.tailscale.raw_server import OK, Server


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / 'sock')


@pytest.fixture
def request_of(path):
    """Send a GET to a server that answers with the given pieces; returns the Answer."""
    opened = []

    def send(*pieces, timeout=2.0, stream=False):
        Server(path, [None] + list(pieces))
        opened.append(Connection(path, 1.0, 'x'))
        return opened[-1].request('GET', '/', None, timeout, stream)

    send.opened = opened
    yield send
    for connection in opened:
        connection.close()


def test_chunks_may_be_split_anywhere(request_of):
    whole = OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"Ver\r\n9;x=y\r\nsion":"1"\r\n1\r\n}\r\n0\r\n\r\n'
    answer = request_of(*[whole[i:i + 1] for i in range(len(whole))])
    assert (answer.code, answer.body) == (200, b'{"Version":"1"}')
    assert request_of.opened[0].reusable


def test_a_body_without_a_length_ends_with_the_connection(request_of):
    assert request_of(OK + b'\r\n', b'a', b'b').body == b'ab'
    assert not request_of.opened[0].reusable


def test_a_connection_closed_by_the_server_is_not_reused(request_of):
    assert request_of(OK + b'Connection: close\r\nContent-Length: 1\r\n\r\na').body == b'a'
    assert not request_of.opened[0].reusable


@pytest.mark.parametrize('pieces', [[b'\r\n\r\n'], [b'HTTP/1.1 OK\r\n\r\n'],
                                    [OK + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n']])
def test_an_invalid_answer(request_of, pieces):
    with pytest.raises(ProtocolError):
        request_of(*pieces)


def test_a_stream_must_be_chunked(request_of):
    with pytest.raises(ProtocolError):
        request_of(OK + b'Content-Length: 1\r\n\r\na', stream=True)


def test_a_slow_answer_times_out(request_of):
    begin = time.monotonic()
    with pytest.raises(socket.timeout):
        request_of(OK, *[part for _ in range(20) for part in (b'X: y\r\n', 0.05)], timeout=0.3)
    assert time.monotonic() - begin < 0.8


def test_an_incomplete_chunk_can_be_read_later(request_of):
    request_of(OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\nab', 0.2, b'cde\r\n', stream=True)
    connection, = request_of.opened
    with pytest.raises(socket.timeout):
        connection.read_chunk(timeout=0.05)
    assert connection.read_chunk(timeout=2.0) == b'abcde'


def test_a_blocked_read_is_interrupted_from_another_thread(request_of):
    request_of(OK + b'Transfer-Encoding: chunked\r\n\r\n', 5.0, stream=True)
    connection, = request_of.opened
    threading.Timer(0.1, connection.interrupt).start()
    begin = time.monotonic()
    with pytest.raises(ConnectionAbortedError):
        connection.read_chunk()
    assert time.monotonic() - begin < 2.0


def test_interrupt_after_the_server_closed(path):
    Server(path, [])
    connection = Connection(path, 1.0, 'x')
    connection.close()
    connection.interrupt()
