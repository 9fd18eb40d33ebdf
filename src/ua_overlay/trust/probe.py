"""Does the server answer, and is it ours? A strict TLS ``GET /health``, as tailscaled's own first request would be.

Go's client (tailscaled) and OpenSSL (here) check the same things: the chain to the CA, the dates, the DNS name in the
SAN, the CA's name constraints. So a server that passes here is one that tailscaled will accept.
"""
import datetime
import email.utils
import http.client
import io
import json
import re
import socket
import ssl
import time
from collections import namedtuple

from cryptography import x509
from cryptography.hazmat.backends import default_backend

from ua_overlay.clock import format_utc, utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.system.deadline import call_within
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import names
from ua_overlay.trust.certificate import CertificateError

#: Headscale's answer has 19 bytes; whoever sends more than this is somebody else.
MAX_ANSWER = 16384

# X509_V_ERR_* of OpenSSL's x509_vfy.h: numbers that never change. The texts do, so they are not looked at.
SIGNATURE_FAILURE = 7
NOT_YET_VALID = (9, 11)
HAS_EXPIRED = (10, 12)
NO_TRUSTED_ISSUER = (2, 18, 19, 20, 21, SIGNATURE_FAILURE, 29, 30)
NAME_NOT_CONSTRAINED = (47, 48)
WRONG_HOST_NAME = (62, 64)
#: How Python says, depending on its and OpenSSL's version, that the other end closed a connection.
CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)

#: What a probe found: ``ok`` True; ``latency`` seconds from resolving to the whole answer; ``clock_offset`` seconds by
#: which the server's clock is ahead of this machine's (whole, None when it did not say); ``not_after`` aware UTC
#: datetime, the end of the server's certificate.
ServerHealth = namedtuple('ServerHealth', 'ok latency clock_offset not_after')


class ServerError(OverlayError):
    """The server does not answer as the site's server: codes SERVER_UNREACHABLE, WRONG_CA, WRONG_NAME, CLOCK,
    CERT_EXPIRED, BAD_ANSWER."""

    code = 'SERVER_UNREACHABLE'


def check_server(url, ca_pem, timeout=5, now=utc_now, address=''):
    """Ask the server of ``url`` for its health over TLS that trusts ``ca_pem`` alone.

    :param url: https://name[:port].
    :param ca_pem: PEM text of the site's CA.
    :param timeout: seconds for all of it: resolving, connecting, handshake and answer.
    :param now: function that returns this machine's time, aware UTC.
    :param address: connect to it instead of resolving the server's name.
    :returns: :class:`ServerHealth`.
    :raises ServerError: one sentence, the next command and a code (see the class).
    :raises CertificateError: when ``ca_pem`` is no certificate.
    """
    try:
        server = names.parse_server_url(url)
    except ValueError as error:
        shown = re.sub(r'//.*@', '//…@', url)
        raise ServerError('The server URL {} {}.'.format(shown or '(empty)', error),
                          'ua-overlay invite TEAM ROBOT, on the server', 'BAD_ANSWER') from None
    context = tls_context(ca_pem)
    deadline = time.monotonic() + timeout
    begin = time.monotonic()
    connection = open_connection(server, deadline, timeout, address)
    try:
        try:
            tls = context.wrap_socket(connection, server_hostname=server.host)
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(server, error.verify_code, deadline, now(), address)
        except (ssl.SSLError, OSError) as error:
            raise _no_handshake(server, error, timeout)
        connection = tls
        answer, date = _get_health(tls, server, deadline, timeout)
        latency = time.monotonic() - begin
        local = now()
        not_after = certificates.not_after(_parse(tls.getpeercert(binary_form=True)))
    finally:
        connection.close()
    _check_answer(answer, server)
    # An HTTP date has no fraction: on average it is half a second behind.
    offset = None if date is None else round((date - local).total_seconds() + 0.5)
    return ServerHealth(True, latency, offset, not_after)


def tls_context(ca_pem):
    """An ssl.SSLContext that trusts ``ca_pem`` alone and checks what Go's client checks.

    :raises CertificateError: when it is no certificate.
    """
    try:
        certificates.load_certificates(ca_pem, 'the CA of this robot')
    except CertificateError as error:
        raise CertificateError(error.sentence, 'ua-overlay invite TEAM ROBOT, on the server')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Go looks at the SAN alone, so a name that is only in the subject must not pass here either.
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=ca_pem if isinstance(ca_pem, str) else ca_pem.decode('ascii'))
    return context


def open_connection(server, deadline, timeout, address=''):
    """Return a TCP connection to the first address that takes one; each gets its share of the time.

    :param address: connect to it instead of resolving the server's name.
    """
    addresses = _resolve(server, deadline, timeout, address)
    failure = None
    for index, (family, kind, protocol, _, each) in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - index)
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(max(0.001, share))
            connection.connect(each)
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            # Else the request waits 40 ms for the acknowledgement of the handshake's last message.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            failure = failure or error
    raise ServerError('The server {}:{} ({}) cannot be reached: {}.'.format(
        server.host, server.port, ', '.join(sorted({each[4][0] for each in addresses})), _reason(failure, timeout)),
        'ping -c 3 {} here, and ua-overlay server status on the server'.format(server.host))


def _resolve(server, deadline, timeout, address=''):
    """getaddrinfo's answer within the deadline, for the server's name or for ``address`` in its place."""
    look = 'getent hosts {}'.format(server.host)
    try:
        return call_within(deadline - time.monotonic(), lambda: socket.getaddrinfo(
            address or server.host, server.port, type=socket.SOCK_STREAM))
    except TimeoutError:
        raise ServerError('The server name {} was not resolved within {:g} s: no name server answers this '
                          'machine.'.format(server.host, timeout), look)
    except OSError as error:
        raise ServerError('The server name {} does not resolve on this machine: {}.'.format(
            server.host, (error.strerror or 'unknown name').lower()), look)


def _get_health(tls, server, deadline, timeout):
    """Return ((status, reason, body), the server's time or None)."""
    request = 'GET /health HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\nAccept: */*\r\n\r\n'.format(
        server.host, server.port)
    received = b''
    try:
        tls.settimeout(max(0.001, deadline - time.monotonic()))
        tls.sendall(request.encode('ascii'))
        while len(received) < MAX_ANSWER:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise socket.timeout()
            tls.settimeout(remaining)
            part = tls.recv(4096)
            if not part:
                break
            received += part
    except OSError as error:
        raise ServerError('The server {}:{} took the connection but did not answer: {}.'.format(
            server.host, server.port, _reason(error, timeout)), 'ua-overlay server status, on the server')
    response = http.client.HTTPResponse(_Received(received))
    try:
        response.begin()
        body = response.read()
        date = response.getheader('Date')
    except (http.client.HTTPException, ValueError, OSError):
        raise _bad_answer(server, 'something that is not HTTP or was cut short')
    return (response.status, body), _parse_date(date)


def _check_answer(answer, server):
    status, body = answer
    try:
        health = json.loads(body.decode('utf-8'))['status']
    except (ValueError, KeyError, TypeError):
        raise _bad_answer(server, 'HTTP {} and not with Headscale\'s health'.format(status))
    if status != 200 or health != 'pass':
        raise ServerError('The server {}:{} is up but says that it is not healthy (HTTP {}, status {!r}).'.format(
            server.host, server.port, status, str(health)[:40]),
            'ua-overlay server status, on the server', 'BAD_ANSWER')


def _bad_answer(server, what):
    return ServerError('What answers at {}:{} is not this site\'s server: it answered with {}.'.format(
        server.host, server.port, what), 'ua-overlay server status, on the server', 'BAD_ANSWER')


def _no_handshake(server, error, timeout):
    reason = getattr(error, 'reason', None)
    if isinstance(error, ssl.SSLError) and reason and not isinstance(error, CLOSED):
        return ServerError('What answers at {}:{} is not this site\'s server: no TLS connection comes about '
                           '({}).'.format(server.host, server.port, reason),
                           'ua-overlay server status, on the server', 'BAD_ANSWER')
    return ServerError('The server {}:{} took the connection but did not speak TLS: {}.'.format(
        server.host, server.port, _reason(error, timeout)), 'ua-overlay server status, on the server')


def _untrusted(server, verify_code, deadline, now, address):
    """Return the error of a certificate that OpenSSL refused; what the server shows is read for the sentence's sake."""
    shown, date = _look(server, deadline, address)
    return explain(server, verify_code, shown, date, now)


def explain(server, verify_code, shown, date, now):
    """Say what is wrong with a certificate; pure.

    :param server: names.ServerUrl.
    :param verify_code: X509_V_ERR_* of the refusal.
    :param shown: the certificate that the server shows (x509.Certificate; believed for nothing), or None.
    :param date: the server's own time, aware UTC, or None.
    :param now: this machine's time, aware UTC.
    :returns: :class:`ServerError`.
    """
    where = '{}:{}'.format(server.host, server.port)
    clocks = 'this machine\'s clock says {}'.format(format_utc(now))
    if date is not None and abs((date - now).total_seconds()) >= 60:
        clocks += ' and the server\'s {}'.format(format_utc(date))
    if verify_code in NOT_YET_VALID:
        begin = ' (only from {})'.format(format_utc(certificates.not_before(shown))) if shown else ''
        return ServerError('The certificate of {} is not yet valid{}: {}.'.format(where, begin, clocks),
                           certificates.SET_CLOCK, 'CLOCK')
    if verify_code in HAS_EXPIRED:
        if date is not None and shown is not None and date < certificates.not_after(shown) <= now:
            return ServerError('The certificate of {} is good until {}, which is over by a clock that is wrong: '
                               '{}.'.format(where, format_utc(certificates.not_after(shown)), clocks),
                               certificates.SET_CLOCK, 'CLOCK')
        end = ' on ' + format_utc(certificates.not_after(shown)) if shown else ''
        return ServerError('The certificate of {} expired{}; {}.'.format(where, end, clocks),
                           'ua-overlay server renew, on the server', 'CERT_EXPIRED')
    if verify_code in WRONG_HOST_NAME:
        dns_names, addresses = certificates.names_of(shown) if shown else ([], [])
        return ServerError('The server at {} is another one: its certificate is for {}.'.format(
            where, ', '.join(dns_names + addresses) or 'another name'),
            'getent hosts {} (is that the site\'s server?)'.format(server.host), 'WRONG_NAME')
    if verify_code in NAME_NOT_CONSTRAINED:
        return ServerError('The certificate of {} names a host for which the site\'s CA may not vouch.'.format(where),
                           'ua-overlay server renew, on the server', 'WRONG_NAME')
    if verify_code in NO_TRUSTED_ISSUER:
        issuer = ' (its issuer calls itself {})'.format(shown.issuer.rfc4514_string()) if shown else ''
        return ServerError('The certificate of {} was not signed by the CA that this robot trusts{}: the site was set '
                           'up anew, or something else answers there.'.format(where, issuer),
                           'ua-overlay invite TEAM ROBOT on the server, for an invitation with its CA', 'WRONG_CA')
    return ServerError('The certificate of {} is not acceptable (OpenSSL error {}).'.format(where, verify_code),
                       'ua-overlay server renew, on the server', 'WRONG_CA')


def _look(server, deadline, address):
    """Return (certificate, time) as the server gives them, unverified, only to be named in an error, or None."""
    # The handshake that failed may have used up the time; without this look the sentence only lacks a detail.
    deadline = max(deadline, time.monotonic() + 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    shown = date = None
    try:
        with open_connection(server, deadline, 1, address) as connection:
            with context.wrap_socket(connection, server_hostname=server.host) as tls:
                shown = _parse(tls.getpeercert(binary_form=True))
                date = _get_health(tls, server, deadline, 1)[1]
    except (OSError, ServerError, ValueError):
        return shown, date
    return shown, date


def _parse(der):
    return x509.load_der_x509_certificate(der, default_backend())


def _parse_date(text):
    if not text:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or datetime.timezone.utc)


def _reason(error, timeout):
    if isinstance(error, socket.timeout):
        return 'no answer within {:g} s'.format(timeout)
    if isinstance(error, ConnectionResetError):
        return 'the connection was reset'
    # Python 3.8 has no better name than errno 0 for a connection that ends in the middle of a handshake.
    if isinstance(error, CLOSED) or error.errno == 0:
        return 'the connection was closed'
    if isinstance(error, ssl.SSLError):
        return error.reason or 'a TLS error'
    return (error.strerror or type(error).__name__).lower()


class _Received:
    """The bytes of an answer, as the socket that http.client.HTTPResponse wants."""

    def __init__(self, data):
        self.data = data

    def makefile(self, mode):
        return io.BytesIO(self.data)
