"""The callback, with masters that do and do not connect. With the real rosmaster: test/lab."""
import socket
import struct
import threading
import xmlrpc.client
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from ua_overlay.checks.observe.callback import ask_callback


class Master:
    """The part of a ROS master that a registration needs (http://wiki.ros.org/ROS/Master_API)."""

    def __init__(self, answers=lambda uri: True):
        self.answers = answers
        self.subscribers, self.registered, self.order = {}, set(), []
        self.server = SimpleXMLRPCServer(('127.0.0.1', 0), logRequests=False)
        for name in ('registerSubscriber', 'registerPublisher', 'unregisterPublisher', 'unregisterSubscriber'):
            self.server.register_function(getattr(self, name), name)
        self.uri = 'http://127.0.0.1:{}'.format(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def registerSubscriber(self, caller, topic, kind, uri):  # noqa: N802
        self.registered.add((caller, topic, 'subscriber'))
        self.subscribers[topic] = uri
        return [1, '', []]

    def registerPublisher(self, caller, topic, kind, uri):  # noqa: N802
        self.registered.add((caller, topic, 'publisher'))
        self.order.append(uri)
        if self.answers(uri):
            with xmlrpc.client.ServerProxy(self.subscribers[topic]) as proxy:
                assert proxy.publisherUpdate('/master', topic, [uri]) == [1, '', 0]
        return [1, '', []]

    def unregisterPublisher(self, caller, topic, uri):  # noqa: N802
        self.registered.discard((caller, topic, 'publisher'))
        return [1, '', 1]

    def unregisterSubscriber(self, caller, topic, uri):  # noqa: N802
        self.registered.discard((caller, topic, 'subscriber'))
        return [1, '', 1]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize('answers, expected, asked', [
    (lambda uri: True, (True, True), ['127.0.0.1', 'localhost']),
    (lambda uri: 'localhost' not in uri, (True, False), ['127.0.0.1', 'localhost']),
    # Not even by address: the name is not tried, because it would block another thread of the master.
    (lambda uri: False, (False, None), ['127.0.0.1'])])
def test_results_by_kind_of_master(answers, expected, asked):
    master = Master(answers)
    try:
        callback = ask_callback(master.uri, '127.0.0.1', 'localhost', timeout=0.5)
        assert (callback.by_address, callback.by_name) == expected and callback.problem == ''
        assert [xmlrpc.client.urllib.parse.urlsplit(uri).hostname for uri in master.order] == asked
        assert master.registered == set()
    finally:
        master.close()


def test_a_team_with_addresses_tries_no_name():
    master = Master()
    try:
        callback = ask_callback(master.uri, '127.0.0.1', '', timeout=5)
        assert (callback.by_address, callback.by_name) == (True, None)
    finally:
        master.close()


def test_no_master():
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))
        callback = ask_callback('http://127.0.0.1:{}'.format(closed.getsockname()[1]), '127.0.0.1', '', timeout=0.5)
    assert callback.by_address is None and 'ConnectionRefusedError' in callback.problem


def test_a_silent_master():
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(5)
        callback = ask_callback('http://127.0.0.1:{}'.format(silent.getsockname()[1]), '127.0.0.1', '', timeout=0.2)
    assert callback.by_address is None and 'no answer in time' in callback.problem


HOSTILE = [b'', b'\xff\xfe' * 100, b'POST / HTTP/1.1\r\nContent-Length: abc\r\n\r\n',
           b'POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n', b'POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n',
           b'POST / HTTP/1.1\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n\r\n' + b'x' * 9,
           b'POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n<x>\xff\xfe', b'GET / HTTP/1.1\r\n\r\n']


def test_strangers_who_connect_meanwhile_are_dropped_silently(capfd):
    """Everybody in the overlay may connect to the port; doctor prints no traceback, and the call still counts."""
    def answers(uri):
        port = int(uri.rstrip('/').rsplit(':', 1)[1])
        for data in HOSTILE:
            with socket.create_connection(('127.0.0.1', port), 5) as stranger:
                stranger.sendall(data)
                # A reset in the middle of whatever the server does.
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        return True

    master = Master(answers)
    try:
        assert ask_callback(master.uri, '127.0.0.1', '', 10.0).by_address is True
    finally:
        master.close()
    assert capfd.readouterr() == ('', '')
