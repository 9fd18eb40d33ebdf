"""Find the HTTP proxy that a Go program uses, and open a connection through it.

Go's rules (golang.org/x/net/http/httpproxy), because tailscaled is a Go program: only the variables HTTPS_PROXY and
NO_PROXY matter for an https URL, in capitals or not.
"""
import base64
import errno
import ipaddress
import socket
import time
from typing import Callable, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote, urlsplit

from ua_overlay.digits import is_number

#: Longest header of a proxy's answer, in bytes.
LONGEST_ANSWER = 16384
_PORTS = {'http': 80, 'https': 443, 'socks5': 1080, 'socks5h': 1080}


class HttpProxy(NamedTuple):
    """A proxy. ``authorization`` is a secret: never show it."""

    scheme: str
    host: str
    port: int
    #: Value of the header Proxy-Authorization, '' for none.
    authorization: str = ''

    @property
    def url(self) -> str:
        """Its URL without user and password."""
        return '{}://{}:{}'.format(self.scheme, '[{}]'.format(self.host) if ':' in self.host else self.host, self.port)


#: (name or address of a server, its port) -> the proxy for it, None for a direct connection.
ProxyFor = Callable[[str, int], Optional[HttpProxy]]


class ProxyRefused(OSError):
    """The proxy does not answer as one, or does not connect to the server."""


def no_proxy(host: str, port: int) -> Optional[HttpProxy]:
    """Connect directly to every server: a :data:`ProxyFor`."""
    return None


def variable(environ: Mapping[str, str], name: str) -> str:
    """Return a variable of the two spellings, '' for none."""
    return environ.get(name) or environ.get(name.lower()) or ''


def proxy_for(environ: Mapping[str, str], host: str, port: int) -> Optional[HttpProxy]:
    """Return the proxy with which a Go program of this environment reaches https://host:port, None for none. Pure."""
    proxy = parse_proxy(variable(environ, 'HTTPS_PROXY'))
    return None if proxy is None or bypassed(variable(environ, 'NO_PROXY'), host, port) else proxy


def parse_proxy(text: str) -> Optional[HttpProxy]:
    """Return the proxy of a variable, None for an empty or invalid one. Pure."""
    text = text.strip()
    if not text:
        return None
    if '://' not in text:
        text = 'http://' + text
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        return None
    if not parts.hostname:
        return None
    authorization = ''
    if parts.username is not None:
        pair = '{}:{}'.format(unquote(parts.username), unquote(parts.password or ''))
        authorization = 'Basic ' + base64.b64encode(pair.encode('utf-8')).decode('ascii')
    return HttpProxy(parts.scheme, parts.hostname, port, authorization)


def bypassed(excepted: str, host: str, port: int) -> bool:
    """Return whether NO_PROXY excepts a server. Pure.

    :param excepted: the variable's value: addresses, networks, domains (with or without a leading dot or `*.`), each
        with or without a port, or `*`; separated by commas.
    """
    host = host.lower().rstrip('.').strip('[]')
    address = _address(host)
    if host == 'localhost' or (address is not None and address.is_loopback):
        return True
    for entry in (each.strip().lower() for each in excepted.split(',')):
        if entry == '*':
            return True
        if not entry or entry.startswith(':'):
            continue
        if address is not None and '/' in entry:
            try:
                if address in ipaddress.ip_network(entry, strict=False):
                    return True
            except ValueError:
                pass  # Go ignores it too
            continue
        name, its_port = _split_port(entry)
        if its_port and its_port != str(port):
            continue
        if address is not None:
            if _address(name) == address:
                return True
            continue
        name = name[1:] if name.startswith('*.') else name
        if host.endswith(name if name.startswith('.') else '.' + name) or host == name:
            return True
    return False


def open_tunnel(connection: socket.socket, proxy: HttpProxy, host: str, port: int, deadline: float) -> None:
    """Ask the proxy on the other end of ``connection`` to connect it to host:port (RFC 9110, CONNECT).

    :param deadline: monotonic seconds.
    :raises ProxyRefused: it does not; ``strerror`` is the end of a sentence.
    :raises OSError: the connection failed.
    """
    if proxy.scheme != 'http':
        raise ProxyRefused(errno.EPROTO, 'it is a {} proxy, and only http proxies work'.format(proxy.scheme.upper()))
    target = '[{}]:{}'.format(host, port) if ':' in host else '{}:{}'.format(host, port)
    request = 'CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n'.format(target)
    if proxy.authorization:
        request += 'Proxy-Authorization: {}\r\n'.format(proxy.authorization)
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    connection.sendall((request + '\r\n').encode('utf-8'))
    answer = b''
    # One byte at a time: what follows the header belongs to the server.
    while not answer.endswith(b'\r\n\r\n'):
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout()
        connection.settimeout(left)
        byte = connection.recv(1)
        if not byte or len(answer) >= LONGEST_ANSWER:
            raise ProxyRefused(errno.EPROTO, 'it does not answer as an HTTP proxy')
        answer += byte
    words = answer.split(b'\r\n', 1)[0].decode('latin-1').split(' ', 2)
    if len(words) < 2 or not words[0].startswith('HTTP/') or not is_number(words[1], 3):
        raise ProxyRefused(errno.EPROTO, 'it does not answer as an HTTP proxy')
    if words[1] != '200':
        raise ProxyRefused(errno.EPROTO, 'it answers {}'.format(' '.join(words[1:])[:80]))


def _address(text: str) -> Optional[Union[ipaddress.IPv4Address, ipaddress.IPv6Address]]:
    try:
        return ipaddress.ip_address(text.strip('[]'))
    except ValueError:
        return None


def _split_port(entry: str) -> Tuple[str, str]:
    """Return (name or address, port or '') of an entry of NO_PROXY."""
    if _address(entry) is not None:
        return entry.strip('[]'), ''
    name, separator, port = entry.rpartition(':')
    return (name.strip('[]'), port) if separator and is_number(port, 5) else (entry, '')
