"""Answers to one HTTP request. Slow and endless ones: test_probe.py."""
import socket
import time

import pytest

from ua_overlay.trust import http_answer
from ua_overlay.trust.http_answer import HttpAnswer

PLAIN = b'HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nhi'


@pytest.mark.parametrize('data, answer', [
    (PLAIN, HttpAnswer(200, b'hi', 'now')), (b'HTTP/1.0 404 No\r\n\r\nbody', HttpAnswer(404, b'body', None)),
    (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n', HttpAnswer(200, b'hi', None))])
def test_answers(data, answer):
    assert http_answer.parse(data) == answer


@pytest.mark.parametrize('data', [
    b'', b'SSH-2.0-x\r\n', PLAIN[:-1], b'HTTP/1.1 abc\r\n\r\n', b'HTTP/1.1 200 OK\r\n' + b'X: y\r\n' * 200 + b'\r\n',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', b'HTTP/1.1 200 OK\r\n' + b'x' * 70000])
def test_no_answers(data):
    with pytest.raises(ValueError, match='not an HTTP answer'):
        http_answer.parse(data)


def test_the_exchange_ends_at_its_deadline_and_at_its_length():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        start = time.monotonic()
        with pytest.raises(socket.timeout):
            http_answer.exchange(ours, b'GET / HTTP/1.1\r\n\r\n', time.monotonic() + 0.2)
        assert time.monotonic() - start < 5 and theirs.recv(100) == b'GET / HTTP/1.1\r\n\r\n'
        theirs.sendall(b'x' * 30000)
        with pytest.raises(ValueError):
            http_answer.exchange(ours, b'', time.monotonic() + 5)
