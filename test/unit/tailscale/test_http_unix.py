"""HTTP over a unix socket, against answers that a healthy daemon never gives."""
import os
import socket
import threading
import time
import tracemalloc

import pytest

from ua_overlay.tailscale import http_unix
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


CHUNKED = OK + b'Transfer-Encoding: chunked\r\n\r\n'


@pytest.mark.parametrize('whole', [
    b'\r\n\r\n', b'HTTP/1.1 OK\r\n\r\n', b'HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n', b'HTTP/1.1 099 OK\r\n\r\n',
    b'HTTP/1.1 2000 OK\r\n\r\n', b'HTTP/1.1 100 Continue\r\n\r\n', b'HTTP/1.1 101 Switching Protocols\r\n\r\n',
    b'HTTP/2 200\r\n\r\n'] + [
    OK + b'Content-Length: %s\r\n\r\nx' % length for length in (
        b'abc', b'-1', b'+1', b'1_0', b'1 1', b'', b'0x1', b'\xb9', b'9' * 10000,
        b'%d' % (http_unix.LONGEST_BODY + 1))] + [
    CHUNKED + size + b'\r\n' for size in (
        b'zz', b'-1', b'+1', b'0x1', b'1_0', b'', b'f' * 1000, b'%x' % (http_unix.LONGEST_BODY + 1))] + [
    CHUNKED + b'1\r\nabc0\r\n\r\n', CHUNKED + b'0\r\nTrailer: x\r\n\r\n'], ids=lambda whole: repr(whole[-30:]))
def test_an_invalid_answer(request_of, whole):
    with pytest.raises(ProtocolError):
        request_of(whole)


ENDLESS = {
    'header lines': (OK, b'X: y\r\n'), 'a header line': (OK + b'X: ', b'y'), 'a status line': (b'', b'HTTP/1.1'),
    'a body': (OK + b'\r\n', b'x'), 'an extension of a chunk': (CHUNKED, b'1;x'), 'a size': (CHUNKED, b'0'),
    'chunks': (CHUNKED, b'100000\r\n' + b'x' * 0x100000 + b'\r\n')}


@pytest.mark.parametrize('name', ENDLESS)
def test_an_answer_without_an_end(request_of, name):
    """It ends at a bound, and not when memory does."""
    head, part = ENDLESS[name]
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match='too long'):
            request_of(head, *[part * max(1, 1000000 // len(part))] * 40, timeout=20.0)
        assert tracemalloc.get_traced_memory()[1] < 3 * http_unix.LONGEST_BODY + 1e7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('part', [b'1;x', b'0'])
def test_a_chunk_of_a_stream_without_an_end(request_of, part):
    request_of(CHUNKED, *[part * 10000] * 5, stream=True)
    with pytest.raises(ProtocolError, match='too long'):
        request_of.opened[-1].read_chunk(20.0)


def test_what_nobody_asked_for_is_no_answer_to_the_next_request(path):
    """The rest of one answer must not become the next one: the prefs that a status begins with."""
    length = b'Content-Length: 2\r\n\r\n'
    for extra in ([OK + length + b'{}' + OK + length + b'[]'], [OK + length + b'{}', 0.1, OK + length + b'[]']):
        Server(path, [None] + extra + [None])
        connection = Connection(path, 1.0, 'x')
        assert connection.request('GET', '/', None, 2.0).body == b'{}'
        time.sleep(0.2 if len(extra) > 1 else 0.0)
        with pytest.raises(ConnectionResetError):
            connection.request('GET', '/', None, 2.0)
        connection.close()
        os.unlink(path)


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
