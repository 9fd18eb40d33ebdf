"""Check that the site's server answers: a strict TLS ``GET /health``, like tailscaled's first request.

Go's client (tailscaled) and OpenSSL (here) check the same things: the chain to the CA, the dates, the DNS name in the
SAN, the CA's name constraints. So tailscaled accepts a server that passes here.
"""
import datetime
import email.utils
import re
import socket
import ssl
import time
from typing import Any, List, NamedTuple, Optional, Tuple, Union

from cryptography import x509

from ua_overlay.advice import command
from ua_overlay.clock import format_utc, utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.protocols import UtcClock
from ua_overlay.system import foreign_json
from ua_overlay.system.deadline import call_within
from ua_overlay.system.http_proxy import ProxyFor, ProxyRefused, no_proxy, open_tunnel
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import http_answer, names
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.names import ServerUrl

# X509_V_ERR_* of OpenSSL's x509_vfy.h. The numbers never change; the texts do, so nothing depends on them.
SIGNATURE_FAILURE = 7
NOT_YET_VALID = (9, 11)
HAS_EXPIRED = (10, 12)
NO_TRUSTED_ISSUER = (2, 18, 19, 20, 21, SIGNATURE_FAILURE, 29, 30)
NAME_NOT_CONSTRAINED = (47, 48)
WRONG_HOST_NAME = (62, 64)
#: Exceptions for a connection closed by the other end; they depend on the versions of Python and OpenSSL.
CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)

#: Address of a server, as socket.getaddrinfo returns it.
_Address = Tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]


class ServerHealth(NamedTuple):
    """The answer of a healthy server."""

    ok: bool
    #: Seconds from the start of name resolution to the complete answer.
    latency: float
    #: Whole seconds by which the server's clock is ahead of this machine's; None if the server sent no time.
    clock_offset: Optional[int]
    #: When the server's certificate expires, aware UTC.
    not_after: datetime.datetime


class ServerError(OverlayError):
    """The server does not answer, or not like the site's server.

    Codes: SERVER_UNREACHABLE, WRONG_CA, WRONG_NAME, CLOCK, CERT_EXPIRED, BAD_ANSWER.
    """

    code = 'SERVER_UNREACHABLE'


def check_server(url: str, ca_pem: str, timeout: float = 5, now: UtcClock = utc_now,
                 address: str = '', proxies: ProxyFor = no_proxy) -> ServerHealth:
    """Ask the server of ``url`` for its health, over TLS that trusts only ``ca_pem``.

    :param url: https://name[:port].
    :param ca_pem: PEM text of the site's CA.
    :param timeout: seconds for resolving, connecting, handshake and answer together.
    :param address: connect to it instead of resolving the server's name.
    :param proxies: finds the proxy that tailscaled would use; it gets the server's name.
    :raises ServerError: with one of the codes of this class.
    :raises CertificateError: ``ca_pem`` is not a certificate.
    """
    try:
        server = names.parse_server_url(url)
    except ValueError as error:
        shown = re.sub(r'//.*@', '//…@', url)
        raise ServerError('The server URL {} {}.'.format(shown or '(empty)', error),
                          'ua-overlay invite TEAM ROBOT   # on the server', 'BAD_ANSWER') from None
    context = tls_context(ca_pem)
    deadline = time.monotonic() + timeout
    begin = time.monotonic()
    connection: Union[socket.socket, ssl.SSLSocket] = open_connection(server, deadline, timeout, address, proxies)
    try:
        try:
            tls = context.wrap_socket(connection, server_hostname=server.host)
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(server, error.verify_code, deadline, now(), address, proxies)
        except (ssl.SSLError, OSError) as error:
            raise _no_handshake(server, error, timeout)
        connection = tls
        status, body, date = _get_health(tls, server, deadline, timeout)
        latency = time.monotonic() - begin
        local = now()
        try:
            not_after = certificates.not_after(_peer(tls))
        except CertificateError:
            # OpenSSL accepted it, so the site's CA signed it: something is wrong on the server.
            raise ServerError('The certificate of {}:{} is damaged.'.format(server.host, server.port),
                              'ua-overlay server renew   # on the server', 'BAD_ANSWER') from None
    finally:
        connection.close()
    _check_answer(status, body, server)
    # An HTTP date has no fraction, so on average it is half a second behind.
    offset = None if date is None else round((date - local).total_seconds() + 0.5)
    return ServerHealth(True, latency, offset, not_after)


def tls_context(ca_pem: str) -> ssl.SSLContext:
    """Return a context that trusts only ``ca_pem`` and checks what Go's client checks.

    :raises CertificateError: ``ca_pem`` is not a certificate.
    """
    again = 'ua-overlay invite TEAM ROBOT   # on the server'
    try:
        authorities = certificates.load_certificates(ca_pem, 'the CA of this robot')
    except CertificateError as error:
        raise CertificateError(error.sentence, again) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Go reads only the SAN, so a name that is only in the subject must not be accepted here either.
    context.hostname_checks_common_name = False
    try:
        # Without the text between the certificates, which OpenSSL would read, too.
        context.load_verify_locations(cadata=certificates.dump_certificates(*authorities))
    except (ssl.SSLError, ValueError) as error:
        raise CertificateError('The CA of this robot cannot be used: {}.'.format(
            getattr(error, 'reason', None) or 'it is damaged'), again) from None
    return context


def open_connection(server: ServerUrl, deadline: float, timeout: float, address: str = '',
                    proxies: ProxyFor = no_proxy) -> socket.socket:
    """Return a TCP connection to the server: directly, or through the proxy that tailscaled would use.

    :param deadline: monotonic seconds.
    :param timeout: seconds, only for the error's sentence.
    :param address: connect to it instead of resolving the server's name; never through a proxy.
    :param proxies: finds the proxy.
    :raises ServerError: SERVER_UNREACHABLE.
    """
    proxy = None if address else proxies(server.host, server.port)
    if proxy is None:
        return _connect(server, deadline, timeout, address)
    try:
        connection = _connect(server._replace(host=proxy.host, port=proxy.port), deadline, timeout)
    except ServerError as error:
        raise ServerError('tailscaled reaches the server through the proxy {}, which does not answer: {}'.format(
            proxy.url, error.sentence), 'systemctl show-environment; systemctl cat tailscaled')
    try:
        open_tunnel(connection, proxy, server.host, server.port, deadline)
    except OSError as error:
        connection.close()
        why = error.strerror if isinstance(error, ProxyRefused) else _reason(error, timeout)
        raise ServerError('The proxy {} does not connect to {}:{}: {}.'.format(
            proxy.url, server.host, server.port, why),
            command('curl --proxy {} --head https://{}:{}   # until the proxy allows it',
                proxy.url, server.host, server.port))
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    return connection


def _connect(server: ServerUrl, deadline: float, timeout: float, address: str = '') -> socket.socket:
    """Return a TCP connection to the first address that accepts one; each gets its share of the time.

    :param deadline: monotonic seconds.
    :param timeout: seconds, only for the error's sentence.
    :param address: connect to it instead of resolving the server's name.
    :raises ServerError: SERVER_UNREACHABLE.
    """
    addresses = _resolve(server, deadline, timeout, address)
    failure: Optional[OSError] = None
    for index, (family, kind, protocol, _, each) in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - index)
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(max(0.001, share))
            connection.connect(each)
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            # Otherwise the request waits 40 ms for the acknowledgement of the handshake's last message.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError as error:
            connection.close()
            failure = failure or error
    raise ServerError('The server {}:{} ({}) cannot be reached: {}.'.format(
        server.host, server.port, ', '.join(sorted({str(each[4][0]) for each in addresses})),
        'it has no address' if failure is None else _reason(failure, timeout)),
        command('ping -c 3 {}   # and on the server: ua-overlay server status', server.host))


def _resolve(server: ServerUrl, deadline: float, timeout: float, address: str = '') -> List[_Address]:
    """Return getaddrinfo's answer within the deadline, for the server's name or for ``address`` in its place."""
    check = 'getent hosts {}'.format(server.host)
    try:
        return call_within(deadline - time.monotonic(), lambda: socket.getaddrinfo(
            address or server.host, server.port, type=socket.SOCK_STREAM))
    except TimeoutError:
        raise ServerError('The server name {} was not resolved within {:g} s: no name server answers this '
                          'machine.'.format(server.host, timeout), check)
    except OSError as error:
        raise ServerError('The server name {} does not resolve on this machine: {}.'.format(
            server.host, (error.strerror or 'unknown name').lower()), check)


def _get_health(tls: ssl.SSLSocket, server: ServerUrl, deadline: float,
                timeout: float) -> Tuple[int, bytes, Optional[datetime.datetime]]:
    """Return (HTTP status, body, the server's time or None)."""
    request = 'GET /health HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\nAccept: */*\r\n\r\n'.format(
        server.host, server.port)
    try:
        answer = http_answer.exchange(tls, request.encode('ascii'), deadline)
    except OSError as error:
        raise ServerError('The server {}:{} accepted the connection but did not answer: {}.'.format(
            server.host, server.port, _reason(error, timeout)), 'ua-overlay server status   # on the server')
    except ValueError:
        raise _bad_answer(server, 'it does not speak HTTP, or its answer was cut short') from None
    return answer.status, answer.body, _parse_date(answer.date)


def _check_answer(status: int, body: bytes, server: ServerUrl) -> None:
    try:
        health = foreign_json.parse_object(body)['status']
    except (ValueError, KeyError):
        raise _bad_answer(server, 'it answers HTTP {} without Headscale\'s health'.format(status)) from None
    if status != 200 or health != 'pass':
        raise ServerError('The server {}:{} is up but not healthy (HTTP {}, status {!r}).'.format(
            server.host, server.port, status, printable(health, 40)),
            'ua-overlay server status   # on the server', 'BAD_ANSWER')


def _bad_answer(server: ServerUrl, what: str) -> ServerError:
    return ServerError('{}:{} is not this site\'s server: {}.'.format(
        server.host, server.port, what), 'ua-overlay server status   # on the server', 'BAD_ANSWER')


def _no_handshake(server: ServerUrl, error: OSError, timeout: float) -> ServerError:
    reason = getattr(error, 'reason', None)
    if isinstance(error, ssl.SSLError) and reason and not isinstance(error, CLOSED):
        return ServerError('{}:{} is not this site\'s server: the TLS handshake failed ({}).'.format(
            server.host, server.port, reason), 'ua-overlay server status   # on the server', 'BAD_ANSWER')
    return ServerError('The server {}:{} accepted the connection but did not speak TLS: {}.'.format(
        server.host, server.port, _reason(error, timeout)), 'ua-overlay server status   # on the server')


def _untrusted(server: ServerUrl, verify_code: int, deadline: float, now: datetime.datetime,
               address: str, proxies: ProxyFor) -> ServerError:
    """Return the error for a certificate that OpenSSL refused; read the certificate again, only for the sentence."""
    certificate, date = _read_unverified(server, deadline, address, proxies)
    return explain(server, verify_code, certificate, date, now)


def explain(server: ServerUrl, verify_code: int, certificate: Optional[x509.Certificate],
            date: Optional[datetime.datetime], now: datetime.datetime) -> ServerError:
    """Return the error that explains the problem of a certificate. Pure.

    :param verify_code: X509_V_ERR_* of the refusal.
    :param certificate: the server's, unverified.
    :param date: the server's own time, aware UTC.
    :param now: this machine's time, aware UTC.
    """
    where = '{}:{}'.format(server.host, server.port)
    clocks = 'this machine\'s clock says {}'.format(format_utc(now))
    if date is not None and abs((date - now).total_seconds()) >= 60:
        clocks += ' and the server\'s {}'.format(format_utc(date))
    if verify_code in NOT_YET_VALID:
        begin = ' (only from {})'.format(format_utc(certificates.not_before(certificate))) if certificate else ''
        return ServerError('The certificate of {} is not yet valid{}: {}.'.format(where, begin, clocks),
                           _set_clock(date), 'CLOCK')
    if verify_code in HAS_EXPIRED:
        if date is not None and certificate is not None and date < certificates.not_after(certificate) <= now:
            return ServerError('The certificate of {} is valid until {}, but one of the clocks is wrong: '
                               '{}.'.format(where, format_utc(certificates.not_after(certificate)), clocks),
                               _set_clock(date), 'CLOCK')
        end = ' on ' + format_utc(certificates.not_after(certificate)) if certificate else ''
        return ServerError('The certificate of {} expired{}; {}.'.format(where, end, clocks),
                           'ua-overlay server renew   # on the server', 'CERT_EXPIRED')
    if verify_code in WRONG_HOST_NAME:
        dns_names, addresses = certificates.names_of(certificate) if certificate else ([], [])
        return ServerError('{} is another server: its certificate is for {}.'.format(
            where, printable(', '.join(dns_names + addresses)) or 'another name'),
            command('getent hosts {} (is that the site\'s server?)', server.host), 'WRONG_NAME')
    if verify_code in NAME_NOT_CONSTRAINED:
        return ServerError('The certificate of {} is for a name for which the site\'s CA may not vouch.'.format(where),
                           'ua-overlay server renew   # on the server', 'WRONG_NAME')
    if verify_code in NO_TRUSTED_ISSUER:
        issuer = ' (its issuer is {})'.format(certificates.issuer_of(certificate)) if certificate else ''
        return ServerError('The certificate of {} was not signed by the CA that this robot trusts{}: the site was set '
                           'up again, or it is another server.'.format(where, issuer),
                           'ua-overlay invite TEAM ROBOT   # on the server: an invitation with its CA', 'WRONG_CA')
    return ServerError('The certificate of {} is invalid (OpenSSL error {}).'.format(where, verify_code),
                       'ua-overlay server renew   # on the server', 'WRONG_CA')


def _set_clock(date: Optional[datetime.datetime]) -> str:
    """Return the command that sets this machine's clock, with the server's own time if it sent one. Pure."""
    if date is None:
        return certificates.SET_CLOCK
    moment = date.astimezone(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M:%S')
    return certificates.SET_CLOCK.replace('YYYY-MM-DD HH:MM', moment).replace('the time in UTC', 'the server\'s time')


def _read_unverified(
        server: ServerUrl, deadline: float, address: str, proxies: ProxyFor
) -> Tuple[Optional[x509.Certificate], Optional[datetime.datetime]]:
    """Return the server's (certificate, time), unverified, for a sentence; None for a value that it does not send."""
    # The handshake that failed may have used up the time. If this fails too, the sentence only lacks a detail.
    deadline = max(deadline, time.monotonic() + 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    certificate: Optional[x509.Certificate] = None
    date: Optional[datetime.datetime] = None
    try:
        with open_connection(server, deadline, 1, address, proxies) as connection:
            with context.wrap_socket(connection, server_hostname=server.host) as tls:
                certificate = _peer(tls)
                date = _get_health(tls, server, deadline, 1)[2]
    except (OSError, OverlayError, ValueError):
        return certificate, date
    return certificate, date


def _peer(tls: ssl.SSLSocket) -> x509.Certificate:
    """Return the certificate that the server has shown.

    :raises CertificateError: it is damaged.
    """
    return certificates.load_der(tls.getpeercert(binary_form=True) or b'')


def _parse_date(text: Optional[str]) -> Optional[datetime.datetime]:
    if not text:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text)
        utc = moment.replace(tzinfo=moment.tzinfo or datetime.timezone.utc).astimezone(datetime.timezone.utc)
    except Exception:  # email raises TypeError, ValueError, IndexError or OverflowError, by version
        return None
    return utc if utc.year in certificates.YEARS else None


def _reason(error: OSError, timeout: float) -> str:
    if isinstance(error, socket.timeout):
        return 'no answer within {:g} s'.format(timeout)
    if isinstance(error, ConnectionResetError):
        return 'the connection was reset'
    # Python 3.8 reports a connection that ends in the middle of a handshake as errno 0.
    if isinstance(error, CLOSED) or error.errno == 0:
        return 'the connection was closed'
    if isinstance(error, ssl.SSLError):
        return error.reason or 'a TLS error'
    return (error.strerror or type(error).__name__).lower()
