"""Probe a site as a robot reaches it: TLS, STUN, DERP and the relay's port at one address.

Each function raises :class:`Unreachable`, with the reason as a sentence or the end of one, without a full stop.
"""
import errno
import http.client
import os
import socket
import ssl
import time
from typing import Mapping, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.relays import stun
from ua_overlay.trust.probe import check_server

#: Seconds that one probe may take.
TIMEOUT = 5.0
#: A Geneve header with the control bit and a network that no relay assigns (net/packet: GeneveHeader).
UNKNOWN_SESSION = b'\x00\x80\x7a\x11\xff\xff\xff\x00'

#: The CA to trust: {'ca_file': path} or {'ca_pem': text}.
Trust = Mapping[str, str]


class Unreachable(Exception):
    """The probed service does not answer correctly; str() is the reason."""


def _context(ca_file: Optional[str] = None, ca_pem: Optional[str] = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _open_tls(address: str, port: int, name: str, trust: Trust, timeout: float) -> ssl.SSLSocket:
    try:
        plain = socket.create_connection((address, port), timeout)
    except socket.timeout:
        raise Unreachable('no answer within {:.0f} s: no such host, or a firewall drops the packets'
                          .format(timeout))
    except OSError as error:
        raise Unreachable(_reason(error, 'connection refused'))
    try:
        return _context(**trust).wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise Unreachable('this site\'s CA did not sign its certificate: {}'.format(error.verify_message))
    except (OSError, ValueError) as error:
        plain.close()
        raise Unreachable('no TLS handshake ({})'.format(error))


def _reason(error: OSError, refused: str) -> str:
    return refused if error.errno == errno.ECONNREFUSED else error.strerror or str(error)


def _get(tls: ssl.SSLSocket, name: str, path: str,
         headers: str = 'Connection: close\r\n') -> http.client.HTTPResponse:
    """Send a GET and read the header of the answer."""
    tls.sendall('GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n'.format(path, name, headers).encode())
    answer = http.client.HTTPResponse(tls)
    answer.begin()
    return answer


def probe_server(address: str, port: int, name: str, trust: Trust, timeout: float = TIMEOUT) -> str:
    """Ask Headscale for /health, as a robot does before it joins (trust.probe.check_server).

    :param name: DNS name of the server.
    :param timeout: seconds.
    :returns: for instance 'healthy, 12 ms'.
    """
    try:
        health = check_server('https://{}:{}'.format(name, port), _ca_pem(**trust), timeout, address=address)
    except OverlayError as error:
        raise Unreachable(error.sentence.rstrip('.'))
    return 'healthy, {:.0f} ms'.format(health.latency * 1000)


def _ca_pem(ca_file: Optional[str] = None, ca_pem: str = '') -> str:
    if ca_file is None:
        return ca_pem
    with open(ca_file, encoding='ascii') as stream:
        return stream.read()


def probe_derp_page(address: str, port: int, name: str, trust: Trust, timeout: float = TIMEOUT) -> float:
    """Ask a DERP for /derp/probe.

    Use this probe for repeated checks, because each DERP connection would add a line to the DERP's log.

    :returns: the expiry of its certificate, in Unix seconds.
    """
    with _open_tls(address, port, name, trust, timeout) as tls:
        try:
            certificate = tls.getpeercert() or {}
            end = ssl.cert_time_to_seconds(str(certificate['notAfter']))
            status = _get(tls, name, '/derp/probe').status
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable('it does not answer /derp/probe ({})'.format(error or type(error).__name__))
    if status != 200:
        raise Unreachable('it answers {} to /derp/probe'.format(status))
    return end


def probe_derp(address: str, port: int, name: str, trust: Trust, timeout: float = TIMEOUT) -> str:
    """Open a DERP connection and read the server's greeting.

    :returns: for instance 'DERP, 12 ms'.
    """
    start = time.monotonic()
    with _open_tls(address, port, name, trust, timeout) as tls:
        try:
            answer = _get(tls, name, '/derp', 'Upgrade: DERP\r\nConnection: Upgrade\r\n')
            # 5 bytes of frame header, then the magic (derp: frameServerKey).
            greeting = answer.fp.read(13) if answer.status == 101 else b''
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable('it does not speak DERP ({})'.format(error or type(error).__name__))
    if greeting[5:] != 'DERP🔑'.encode():
        raise Unreachable('it answers {} instead of DERP; a proxy that does not pass upgrades?'.format(answer.status))
    return 'DERP, {:.0f} ms'.format((time.monotonic() - start) * 1000)


def _udp(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)


def probe_stun(address: str, port: int, timeout: float = TIMEOUT) -> str:
    """Ask a STUN server for our public address.

    :returns: for instance 'sees us as 203.0.113.21:41000'.
    """
    transaction = os.urandom(12)
    deadline = time.monotonic() + timeout
    with _udp(address) as link:
        try:
            link.connect((address, port))
            while time.monotonic() < deadline:
                link.send(stun.request(transaction))
                link.settimeout(max(0.05, min(1.0, deadline - time.monotonic())))
                try:
                    reply = stun.parse_response(link.recv(2048), transaction)
                except socket.timeout:
                    continue
                if reply is not None:
                    return 'sees us as {}:{}'.format(*reply)
        except OSError as error:
            raise Unreachable(_reason(error, 'nothing listens there'))
    raise Unreachable('no answer within {:.0f} s'.format(timeout))


def probe_relay(address: str, port: int, timeout: float = 1.0) -> str:
    """Check that the relay's port does not refuse packets. A relay answers only robots with a session, so silence is
    fine.

    :returns: 'not refused …'.
    """
    with _udp(address) as link:
        link.settimeout(timeout)
        try:
            link.connect((address, port))
            for _ in range(2):
                link.send(UNKNOWN_SESSION)
                link.recv(64)
        except socket.timeout:
            return 'not refused (a relay answers only robots)'
        except OSError as error:
            raise Unreachable(_reason(error, 'nothing listens there'))
    raise Unreachable('something other than a relay answers there')
