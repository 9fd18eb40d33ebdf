"""Is a master alive? Against real sockets: an XML-RPC server, a web server, a black hole, nobody."""
import contextlib
import http.server
import socket
import threading
import time
from xmlrpc.server import SimpleXMLRPCServer

import pytest
from serving import serving

from ua_overlay.rosenv.master import MasterAnswer, MasterProbe


def master(get_pid, get_param):
    server = SimpleXMLRPCServer(('127.0.0.1', 0), logRequests=False)
    server.register_function(get_pid, 'getPid')
    server.register_function(get_param, 'getParam')
    return serving(server)


def test_alive_with_run_id():
    with master(lambda caller: [1, '', 4711], lambda caller, key: [1, key, 'run-1']) as uri:
        assert MasterProbe()(uri) == MasterAnswer(True, 4711, 'run-1')


def test_alive_before_run_id_is_set():
    with master(lambda caller: [1, '', 4711], lambda caller, key: [-1, 'not set', 0]) as uri:
        assert MasterProbe()(uri) == MasterAnswer(True, 4711, '')


@pytest.mark.parametrize('get_pid', [lambda caller: [0, 'failed', 0], lambda caller: 'hello', lambda caller: 1 / 0])
def test_an_invalid_answer(get_pid):
    with master(get_pid, lambda caller, key: [1, '', '']) as uri:
        answer = MasterProbe()(uri)
    assert not answer.alive
    assert answer.why == 'The program that listens at {} is not a ROS master.'.format(uri)


def read_request(handler):
    """Read all of a request. A server that closes a connection with unread bytes resets it, before or after the client
    has read the answer (RFC 2525, 2.17)."""
    handler.rfile.read(int(handler.headers['Content-Length']))


class Page(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        read_request(self)
        self.send_response(200)
        self.send_header('Content-Length', '6')
        self.end_headers()
        self.wfile.write(b'<html>')

    def log_message(self, *_):
        """Quiet."""


def test_a_web_server_is_not_a_master():
    with serving(http.server.HTTPServer(('127.0.0.1', 0), Page)) as uri:
        assert 'is not a ROS master' in MasterProbe()(uri).why


def test_a_closed_port():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))  # bound, not listening: refused
        uri = 'http://127.0.0.1:{}'.format(taken.getsockname()[1])
        assert MasterProbe()(uri).why == 'No ROS master listens at {}.'.format(uri)


def test_a_name_that_does_not_resolve():
    answer = MasterProbe()('http://no-such-robot.invalid:11312')
    assert not answer.alive and 'http://no-such-robot.invalid:11312' in answer.why


def test_a_black_hole_ends_at_the_deadline():
    with socket.create_server(('127.0.0.1', 0)) as silent:
        uri = 'http://127.0.0.1:{}'.format(silent.getsockname()[1])
        start = time.monotonic()
        answer = MasterProbe(deadline=0.3)(uri)
    assert 0.2 < time.monotonic() - start < 2
    assert not answer.alive and 'did not answer in time' in answer.why


def test_a_slow_answer_does_not_extend_the_deadline():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        stop = threading.Event()

        def drip():
            connection = listener.accept()[0]
            with connection, contextlib.suppress(OSError):
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n')
                while not stop.wait(0.05):
                    connection.sendall(b' ')

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        start = time.monotonic()
        answer = MasterProbe(deadline=0.4)('http://127.0.0.1:{}'.format(listener.getsockname()[1]))
        took = time.monotonic() - start
        stop.set()
        thread.join(5)
    assert not answer.alive and took < 2


def test_a_long_answer_is_not_compressed():
    """Python's XML-RPC server, and so rosmaster, compresses answers of more than 1400 bytes for those who ask."""
    with master(lambda caller: [1, '', 4711], lambda caller, key: [1, key, 'run-' + '1' * 40 + 'x' * 5000]) as uri:
        answer = MasterProbe()(uri)
    assert answer.alive and answer.run_id.startswith('run-1')


BOMB = ('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + ''.join('<!ENTITY {} "{}">'.format(name, '&{};'.format(before) * 10)
                                                           for before, name in zip('abcdefgh', 'bcdefghi')) + ']>')
RESPONSE = '<methodResponse><params><param><value>{}</value></param></params></methodResponse>'


@pytest.mark.parametrize('body', [
    BOMB + RESPONSE.format('<string>&i;</string>'), RESPONSE.format('<int>{}</int>'.format('9' * 1000000)),
    RESPONSE.format('<array><data><value>' * 100000 + '</value></data></array>' * 100000),
    RESPONSE.format('<double>1e999</double>'), RESPONSE.format('<boolean>7</boolean>'),
    RESPONSE.format('<struct><member><value>x</value></member></struct>'), '</methodResponse>', '<a/>', '',
    '<methodResponse><params></params></methodResponse>', RESPONSE.format('<base64>?</base64>'),
    RESPONSE.format('<array><data><value><int>1</int></value><value>x</value><value><double>nan</double></value></data></array>')])
def test_a_hostile_answer_is_no_master_and_costs_little(body):
    class Hostile(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            read_request(self)
            self.send_response(200)
            self.send_header('Content-Type', 'text/xml')
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body.encode())

        def log_message(self, *_):
            """Quiet."""

    with serving(http.server.HTTPServer(('127.0.0.1', 0), Hostile)) as uri:
        began = time.monotonic()
        answer = MasterProbe(deadline=10.0)(uri)
    assert not answer.alive and 'is not a ROS master' in answer.why and time.monotonic() - began < 5


def test_an_endless_answer_is_bounded():
    class Endless(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            read_request(self)
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b' ' * 65536)

        def log_message(self, *_):
            """Quiet."""

    with serving(http.server.HTTPServer(('127.0.0.1', 0), Endless)) as uri:
        assert 'is not a ROS master' in MasterProbe(deadline=10.0)(uri).why
