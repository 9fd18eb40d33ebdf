"""The proxy of a Go program: its rules, and a real connection through a small one on loopback."""
import socket
import threading
import time

import pytest

from ua_overlay.system import http_proxy
from ua_overlay.system.http_proxy import HttpProxy, ProxyRefused, bypassed, open_tunnel, parse_proxy, proxy_for


@pytest.mark.parametrize('text, found', [
    ('http://proxy.lan:3128', HttpProxy('http', 'proxy.lan', 3128)),
    ('proxy.lan:3128', HttpProxy('http', 'proxy.lan', 3128)),
    ('http://proxy.lan', HttpProxy('http', 'proxy.lan', 80)), ('https://p', HttpProxy('https', 'p', 443)),
    ('socks5://p', HttpProxy('socks5', 'p', 1080)), (' http://[fd00::1]:8080/ ', HttpProxy('http', 'fd00::1', 8080)),
    ('http://me:s%40fe@p:1', HttpProxy('http', 'p', 1, 'Basic bWU6c0BmZQ==')),
    ('', None), ('http://', None), ('ftp://p', None), ('http://p:x', None), ('http://p:99999', None)])
def test_a_proxy_of_a_variable(text, found):
    assert parse_proxy(text) == found


def test_a_password_is_not_in_the_url():
    assert parse_proxy('http://me:secret@p:1').url == 'http://p:1'
    assert parse_proxy('http://[::1]:1').url == 'http://[::1]:1'


@pytest.mark.parametrize('excepted, host, port, result', [
    ('', 'server.example.org', 443, False), ('*', 'server.example.org', 443, True),
    ('example.org', 'server.example.org', 443, True), ('.example.org', 'server.example.org', 443, True),
    ('*.example.org', 'server.example.org', 443, True), ('.example.org', 'example.org', 443, False),
    ('example.org', 'EXAMPLE.org.', 443, True), ('ple.org', 'example.org', 443, False),
    ('example.org:8080', 'example.org', 443, False), ('example.org:443', 'example.org', 443, True),
    ('10.0.0.0/8', '10.1.2.3', 443, True), ('10.0.0.0/8', '11.1.2.3', 443, False), ('10.1.2.3', '10.1.2.3', 1, True),
    ('10.1.2.3:2', '10.1.2.3', 1, False), ('fd00::1', 'fd00::1', 443, True), ('[fd00::1]:443', 'fd00::1', 443, True),
    ('nonsense/8, ,:80', '10.1.2.3', 443, False), ('', 'localhost', 443, True), ('', '127.0.0.9', 443, True),
    ('a, example.org', 'example.org', 443, True)])
def test_exceptions(excepted, host, port, result):
    assert bypassed(excepted, host, port) is result


def test_both_spellings_of_the_variables():
    assert proxy_for({'https_proxy': 'http://p:1'}, 's.org', 443).port == 1
    assert proxy_for({'HTTPS_PROXY': 'http://p:1', 'no_proxy': '.org'}, 's.org', 443) is None
    assert proxy_for({'HTTP_PROXY': 'http://p:1'}, 's.org', 443) is None
    assert http_proxy.no_proxy('s.org', 443) is None


class Proxy:
    """A proxy for one connection: it answers with ``answer`` and then plays the server."""

    def __init__(self, answer):
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.port = self._listener.getsockname()[1]
        self.asked = b''
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        connection = self._listener.accept()[0]
        with connection, self._listener:
            while not self.asked.endswith(b'\r\n\r\n'):
                self.asked += connection.recv(1)
            connection.sendall(self._answer)

    def connect(self):
        return socket.create_connection(('127.0.0.1', self.port), 5)

    def end(self):
        self._thread.join(5)


def test_a_tunnel_leaves_what_follows_to_the_caller():
    proxy = Proxy(b'HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello')
    with proxy.connect() as connection:
        open_tunnel(connection, parse_proxy('http://me:secret@127.0.0.1'), 's.org', 8080, time.monotonic() + 5)
        assert connection.recv(9) == b'hello'
    proxy.end()
    assert proxy.asked == (b'CONNECT s.org:8080 HTTP/1.1\r\nHost: s.org:8080\r\nProxy-Authorization: Basic '
                           b'bWU6c2VjcmV0\r\n\r\n')


@pytest.mark.parametrize('answer, words', [
    (b'HTTP/1.1 403 Forbidden\r\n\r\n', 'it answers 403 Forbidden'), (b'', 'not answer as'),
    (b'SSH-2.0\r\n\r\n', 'not answer as'), (b'HTTP/1.1\r\n\r\n', 'not answer as'), (b'x' * 20000, 'not answer as')])
def test_a_proxy_that_refuses(answer, words):
    proxy = Proxy(answer)
    with proxy.connect() as connection, pytest.raises(ProxyRefused) as caught:
        open_tunnel(connection, HttpProxy('http', '127.0.0.1', 1), 's.org', 8080, time.monotonic() + 5)
    assert words in caught.value.strerror


def test_a_proxy_of_another_kind():
    with pytest.raises(ProxyRefused, match='SOCKS5'):
        open_tunnel(socket.socket(), HttpProxy('socks5', '127.0.0.1', 1), 's.org', 8080, time.monotonic() + 5)


def test_a_proxy_that_is_silent():
    listener = socket.create_server(('127.0.0.1', 0))
    with listener, socket.create_connection(listener.getsockname()) as connection, pytest.raises(socket.timeout):
        open_tunnel(connection, HttpProxy('http', '127.0.0.1', 1), 's.org', 8080, time.monotonic() + 0.2)
