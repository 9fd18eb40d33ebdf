"""Looking at a site as a robot does: TLS, STUN, DERP and the relay's port at one address.

Each function returns what it saw as a short text, and raises :class:`Unreachable` with the reason as the end of a
sentence.
"""
import errno
import http.client
import os
import socket
import ssl
import time

from ua_overlay.relays import stun

#: Seconds that one look may take.
TIMEOUT = 5.0
#: A Geneve header with the control bit and a network that no relay has given out (net/packet: GeneveHeader).
UNKNOWN_SESSION = b'\x00\x80\x7a\x11\xff\xff\xff\x00'


class Unreachable(Exception):
    """It does not answer as it should; str() is the reason."""


def _context(ca_file=None, ca_pem=None):
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _open_tls(address, port, name, trust, timeout):
    """:param trust: {'ca_file': path} or {'ca_pem': text}."""
    try:
        plain = socket.create_connection((address, port), timeout)
    except socket.timeout:
        raise Unreachable('no answer within {:.0f} s: nothing is there, or a firewall drops it'.format(timeout))
    except OSError as error:
        raise Unreachable('connection refused' if error.errno == errno.ECONNREFUSED else error.strerror or str(error))
    try:
        return _context(**trust).wrap_socket(plain, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        raise Unreachable('its certificate is not of this site: {}'.format(error.verify_message))
    except (OSError, ValueError) as error:
        plain.close()
        raise Unreachable('no TLS handshake ({})'.format(error))


def _get(tls, name, path, extra=''):
    """Send a GET, return (status, rest of what came so far)."""
    tls.sendall('GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n'.format(path, name, extra or 'Connection: close\r\n').encode())
    answer = http.client.HTTPResponse(tls)
    answer.begin()
    return answer


def probe_server(address, port, name, trust, timeout=TIMEOUT):
    """GET /health of Headscale, with TLS as a robot demands it. Returns e.g. 'healthy, 12 ms'."""
    start = time.monotonic()
    with _open_tls(address, port, name, trust, timeout) as tls:
        try:
            answer = _get(tls, name, '/health')
            body = answer.read(4096)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable('it does not answer /health ({})'.format(error or type(error).__name__))
    if answer.status != 200 or b'pass' not in body:
        raise Unreachable('it answers {} to /health'.format(answer.status))
    return 'healthy, {:.0f} ms'.format((time.monotonic() - start) * 1000)


def probe_derp_page(address, port, name, trust, timeout=TIMEOUT):
    """GET /derp/probe: what a watcher asks again and again, since an opened DERP connection leaves a line in the log.

    :returns: when its certificate ends, in Unix seconds.
    """
    with _open_tls(address, port, name, trust, timeout) as tls:
        try:
            end = ssl.cert_time_to_seconds(tls.getpeercert()['notAfter'])
            status = _get(tls, name, '/derp/probe').status
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable('it does not answer /derp/probe ({})'.format(error or type(error).__name__))
    if status != 200:
        raise Unreachable('it answers {} to /derp/probe'.format(status))
    return end


def probe_derp(address, port, name, trust, timeout=TIMEOUT):
    """Open a DERP connection up to the server's greeting."""
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


def _udp(address):
    return socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)


def probe_stun(address, port, timeout=TIMEOUT):
    """Ask for our address. Returns e.g. 'sees us as 203.0.113.21:41000'."""
    transaction = os.urandom(12)
    deadline = time.monotonic() + timeout
    with _udp(address) as link:
        try:
            link.connect((address, port))
            while time.monotonic() < deadline:
                link.send(stun.request(transaction))
                link.settimeout(max(0.05, min(1.0, deadline - time.monotonic())))
                try:
                    seen = stun.parse_response(link.recv(2048), transaction)
                except socket.timeout:
                    continue
                if seen is not None:
                    return 'sees us as {}:{}'.format(*seen)
        except OSError as error:
            raise Unreachable('nothing listens there' if error.errno == errno.ECONNREFUSED
                              else error.strerror or str(error))
    raise Unreachable('no answer within {:.0f} s'.format(timeout))


def probe_relay(address, port, timeout=1.0):
    """Whether the relay's port is refused. A relay answers robots with a session alone: silence is all it can say.

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
            return 'not refused (a relay answers robots alone)'
        except OSError as error:
            raise Unreachable('nothing listens there' if error.errno == errno.ECONNREFUSED
                              else error.strerror or str(error))
    raise Unreachable('something else than a relay answers there')
