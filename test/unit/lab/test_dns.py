"""The lab's DNS server: its command, its log, the wait for it."""
import socket

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.lab import dns


def test_the_server_answers_its_names_and_denies_the_rest():
    argv = dns.command('203.0.113.2', {'b.test': '203.0.113.11', 'a.test': '203.0.113.10'})
    assert argv[-2:] == ['--host-record=a.test,203.0.113.10', '--host-record=b.test,203.0.113.11']
    assert '--no-resolv' in argv and '--local=/#/' in argv


def test_queries_are_read_from_the_log():
    log = '''dnsmasq: started, version 2.90 cachesize 150
dnsmasq: query[A] server.ua.test from 203.0.113.21
dnsmasq: config server.ua.test is 203.0.113.10
dnsmasq: query[AAAA] log.tailscale.example from 203.0.113.22
'''
    assert dns.parse_queries(log) == [('A', 'server.ua.test', '203.0.113.21'),
                                      ('AAAA', 'log.tailscale.example', '203.0.113.22')]


def test_a_query_follows_rfc_1035():
    assert dns.question('a.bc', 7) == b'\0\7\1\0\0\1\0\0\0\0\0\0' + b'\1a\2bc\0' + b'\0\1\0\1'


class LoopbackSocket(socket.socket):
    """A UDP socket that replaces port 53 by another, so that the wait can be tested without root."""

    port = None

    def connect(self, address):
        super().connect(('127.0.0.1', self.port))


def test_the_wait_ends_with_the_first_answer():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(('127.0.0.1', 0))
        answers = []

        def link():
            made = LoopbackSocket(socket.AF_INET, socket.SOCK_DGRAM)
            made.port = server.getsockname()[1]
            made.bind(('127.0.0.1', 0))
            server.sendto(b'answer', made.getsockname())
            answers.append(made)
            return made

        dns.wait_until_answering(link, '203.0.113.2', deadline=1e12)
        assert server.recv(512) == dns.question('up.ua-lab.test')


def test_no_answer_is_an_error():
    def link():
        made = LoopbackSocket(socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(('127.0.0.1', 0))
            made.port = unused.getsockname()[1]
        return made

    ticks = iter(range(5))
    with pytest.raises(OverlayError, match='DNS server at 203.0.113.2 does not answer'):
        dns.wait_until_answering(link, '203.0.113.2', deadline=3, clock=lambda: next(ticks))
