"""Probe a site as a robot reaches it: TLS, STUN, DERP and the relay's port at one address.

Each function raises :class:`Unreachable`, with the reason as a sentence or the end of one, without a full stop.
"""
import errno
import os
import re
import socket
import ssl
import time
from typing import Mapping, Optional, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.relays import stun
from ua_overlay.system import foreign_file
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import http_answer
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.probe import check_server, tls_context

#: Seconds that one probe may take.
TIMEOUT = 5.0
#: A Geneve header with the control bit and a network that no relay assigns (net/packet: GeneveHeader).
UNKNOWN_SESSION = b'\x00\x80\x7a\x11\xff\xff\xff\x00'

#: The status line of an HTTP answer (RFC 9112, 4).
_STATUS = re.compile(br'HTTP/1\.[01] ([0-9]{3})\b')
#: The CA to trust: {'ca_file': path} or {'ca_pem': text}.
Trust = Mapping[str, str]


class Unreachable(Exception):
    """The probed service does not answer correctly; str() is the reason."""




def _open_tls(address: str, port: int, name: str, trust: Trust, timeout: float) -> ssl.SSLSocket:
    try:
        plain = socket.create_connection((address, port), timeout)
    except socket.timeout:
        raise Unreachable('no answer within {:.0f} s: no such host, or a firewall drops the packets'
                          .format(timeout))
    except OSError as error:
        raise Unreachable(_reason(error, 'connection refused'))
    try:
        return tls_context(_ca_pem(**trust)).wrap_socket(plain, server_hostname=name)
    except OverlayError as error:
        plain.close()
        raise Unreachable(error.sentence.rstrip('.'))
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise Unreachable('this site\'s CA did not sign its certificate: {}'.format(error.verify_message))
    except (OSError, ValueError) as error:
        plain.close()
        raise Unreachable('no TLS handshake ({})'.format(_words(error)))


def _reason(error: OSError, refused: str) -> str:
    return refused if error.errno == errno.ECONNREFUSED else error.strerror or str(error)


def _request(name: str, path: str, headers: str = 'Connection: close\r\n') -> bytes:
    return 'GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n'.format(path, name, headers).encode()


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
    try:
        return foreign_file.read_text(ca_file)
    except OSError as error:
        raise Unreachable('{} cannot be read: {}'.format(ca_file, error.strerror or error))


def probe_derp_page(address: str, port: int, name: str, trust: Trust, timeout: float = TIMEOUT) -> float:
    """Ask a DERP for /derp/probe.

    Use this probe for repeated checks, because each DERP connection would add a line to the DERP's log.

    :returns: the expiry of its certificate, in Unix seconds.
    """
    with _open_tls(address, port, name, trust, timeout) as tls:
        try:
            end = certificates.not_after(certificates.load_der(tls.getpeercert(True) or b'')).timestamp()
            status = http_answer.exchange(tls, _request(name, '/derp/probe'), time.monotonic() + timeout).status
        except (OSError, ValueError, CertificateError) as error:
            raise Unreachable('it does not answer /derp/probe ({})'.format(_words(error)))
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
            status, greeting = _upgrade(tls, name, start + timeout)
        except (OSError, ValueError) as error:
            raise Unreachable('it does not speak DERP ({})'.format(_words(error)))
    # 5 bytes of frame header, then the magic (derp: frameServerKey).
    if greeting[5:] != 'DERP🔑'.encode():
        raise Unreachable('it answers {} instead of DERP; a proxy that does not pass upgrades?'.format(status))
    return 'DERP, {:.0f} ms'.format((time.monotonic() - start) * 1000)


def _upgrade(tls: ssl.SSLSocket, name: str, deadline: float) -> Tuple[int, bytes]:
    """Ask for a DERP connection; return (HTTP status, the first 13 bytes behind the header).

    :param deadline: monotonic seconds.
    :raises OSError: it does not arrive in time.
    :raises ValueError: it is not HTTP.
    """
    tls.sendall(_request(name, '/derp', 'Upgrade: DERP\r\nConnection: Upgrade\r\n'))
    received = b''
    while len(received) < http_answer.LONGEST:
        header, end, greeting = received.partition(b'\r\n\r\n')
        status = _STATUS.match(header)
        if end and status and (len(greeting) >= 13 or status.group(1) != b'101'):
            return int(status.group(1)), greeting[:13]
        tls.settimeout(max(0.001, deadline - time.monotonic()))
        part = tls.recv(4096)
        if not part:
            break
        received += part
    raise ValueError('not an HTTP answer')


def _words(error: Exception) -> str:
    return str(getattr(error, 'strerror', None) or getattr(error, 'sentence', '').rstrip('.') or error
               or type(error).__name__)


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
