"""The lab's DNS server: dnsmasq on the internet side. It answers the topology's names, and NXDOMAIN to all others."""
import re
import socket
import struct
import time
from typing import Callable, List, Mapping, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock

PROGRAM = 'dnsmasq'
SERVICE = 'dns'
# dnsmasq's log-queries: "dnsmasq: query[A] server.ua.test from 203.0.113.21"
_QUERY = re.compile(r'query\[(?P<type>[A-Z0-9=]+)\] (?P<name>\S+) from (?P<client>\S+)')


def command(address: str, names: Mapping[str, str]) -> List[str]:
    """Return the argv of a server at ``address`` that answers ``names`` (name -> IPv4), and NXDOMAIN to the rest.

    A resolver that never answers becomes a problem in tailscaled's health, so every query gets an answer.
    """
    argv = [PROGRAM, '--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--group=root', '--pid-file',
            '--no-resolv', '--no-hosts', '--bind-interfaces', '--except-interface=lo', '--listen-address=' + address,
            '--log-queries', '--log-facility=-', '--local=/#/', '--local-ttl=5', '--cache-size=0']
    return argv + ['--host-record={},{}'.format(name, names[name]) for name in sorted(names)]


def parse_queries(log: str) -> List[Tuple[str, str, str]]:
    """Return the queries in the server's log, oldest first: tuples (type, name, client address)."""
    return [(match.group('type'), match.group('name'), match.group('client')) for match in _QUERY.finditer(log)]


def question(name: str, number: int = 1) -> bytes:
    """Return a DNS query for the A record of ``name`` (RFC 1035, section 4.1). :param number: its id."""
    labels = b''.join(bytes([len(label)]) + label.encode() for label in name.split('.'))
    return struct.pack('!6H', number, 0x0100, 1, 0, 0, 0) + labels + b'\0' + struct.pack('!2H', 1, 1)


def wait_until_answering(make_socket: Callable[[], socket.socket], address: str, deadline: float,
                         clock: Clock = time.monotonic) -> None:
    """Send queries until the server answers one.

    :param make_socket: returns a UDP socket in the lab's internet.
    :param deadline: of ``clock``, seconds.
    :raises OverlayError: LAB_DNS, no answer by then.
    """
    with make_socket() as link:
        link.connect((address, 53))
        while clock() < deadline:
            try:
                link.send(question('up.ua-lab.test'))
                link.settimeout(0.05)
                link.recv(512)
                return
            except ConnectionRefusedError:
                # Not bound yet: the refusal comes at once, so wait a moment in the same recv instead of spinning.
                time.sleep(0.01)
            except socket.timeout:
                continue
    raise OverlayError('The lab\'s DNS server at {} does not answer.'.format(address), code='LAB_DNS')
