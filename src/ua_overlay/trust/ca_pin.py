"""Find a CA of which only the SHA-256 is known, because an invitation may carry that instead of the certificate.

The certificate then comes from the server, over an unauthenticated connection. It is compared with the SHA-256 before
any secret is sent; afterwards the server must pass the usual strict check (probe).

This module reads the certificates out of the TLS handshake itself: Python 3.8 with CERT_NONE returns only the leaf
(getpeercert(True)), never the chain, and SSLSocket.get_unverified_chain is public only from Python 3.13 on.
"""
import hashlib
import socket
import ssl
import time
from typing import List, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ua_overlay.system.http_proxy import ProxyFor, no_proxy
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import names
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.invitation import Invitation
from ua_overlay.trust.probe import open_connection

#: Longest chain, in bytes. A server of this package sends two kilobytes, so a longer chain comes from another server.
MAX_HANDSHAKE = 65536

_HANDSHAKE_RECORD, _CERTIFICATE_MESSAGE = 22, 11


def pins_of(ca_pem: str) -> str:
    """Return the SHA-256 of each certificate (DER) of a PEM text: 64 hexadecimal digits each, separated by blanks.

    :raises CertificateError: the text has no certificate.
    """
    return ' '.join(_pin(each) for each in certificates.load_certificates(ca_pem, 'the CA'))


def pick(pins: str, ca_pem: str) -> str:
    """Return the certificates of a PEM text that ``pins`` name, as PEM text; '' unless there is one for every pin.

    A text without a certificate is valid.
    """
    try:
        authorities = certificates.load_certificates(ca_pem, 'the CA')
    except CertificateError:
        return ''
    return _pick(pins, authorities)


def ca_of(invitation: Invitation, trusted: str = '', timeout: float = 5.0) -> str:
    """Return the CA of an invitation as PEM text.

    It is in the invitation, or already among the ``trusted`` ones (PEM text), or comes from the server.

    :param timeout: seconds for the server.
    :raises CertificateError: the server shows another CA (WRONG_CA).
    :raises probe.ServerError: the server cannot be reached.
    """
    return invitation.ca_pem or pick(invitation.ca_sha256, trusted) or fetch(
        invitation.server_url, invitation.ca_sha256, timeout)


def fetch(server_url: str, pins: str, timeout: float = 5.0, proxies: ProxyFor = no_proxy) -> str:
    """Ask the server for its chain and return the CA that ``pins`` name, as PEM text.

    :param proxies: finds the proxy that tailscaled would use.
    :raises CertificateError: the chain lacks a named certificate (WRONG_CA).
    :raises probe.ServerError: the server cannot be reached (SERVER_UNREACHABLE).
    """
    server = names.parse_server_url(server_url)
    where = '{}:{}'.format(server.host, server.port)
    deadline = time.monotonic() + timeout
    connection = open_connection(server, deadline, timeout, proxies=proxies)
    with connection:
        try:
            chain = _chain(connection, server.host, deadline)
        except (OSError, ValueError, CertificateError):
            chain = []
    ca_pem = _pick(pins, chain)
    if not ca_pem:
        raise CertificateError(
            '{} does not show the CA with the SHA-256 of the invitation ({}…): it is another server, or its CA has '
            'changed.'.format(where, pins[:16]),
            'ssh SERVER sudo cat DIR/ca.pem > ca.pem and: sudo ua-overlay robot prepare --ca ca.pem --user "$USER"; or '
            'a new invitation', 'WRONG_CA')
    return ca_pem


def _pick(pins: str, chain: Sequence[x509.Certificate]) -> str:
    by_pin = {_pin(each): each for each in chain}
    required = pins.split()
    if not required or not all(pin in by_pin for pin in required):
        return ''
    return certificates.dump_certificates(*(by_pin[pin] for pin in required))


def _pin(certificate: x509.Certificate) -> str:
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _chain(connection: socket.socket, host: str, deadline: float) -> List[x509.Certificate]:
    """Return the certificates that a server shows, unchecked.

    In TLS 1.2 they cross the wire unencrypted, so they are read from there.

    :param deadline: monotonic seconds.
    :raises OSError: the handshake fails.
    :raises CertificateError: a certificate is damaged.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = context.wrap_bio(incoming, outgoing, server_hostname=host)
    received = b''
    while len(received) < MAX_HANDSHAKE:
        try:
            handshake.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        complete = certificates_in(received)
        if complete or done:
            return [certificates.load_der(der) for der in complete]
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        connection.sendall(outgoing.read())
        part = connection.recv(16384)
        if not part:
            break
        received += part
        incoming.write(part)
    return []


def certificates_in(stream: bytes) -> List[bytes]:
    """Return the certificates (DER) in what a TLS 1.2 server has sent so far; an empty list while some are missing.

    RFC 5246 6.2.1 (records), 7.4 (handshake messages), 7.4.2 (certificate list).
    """
    messages = b''
    while len(stream) >= 5 and stream[0] == _HANDSHAKE_RECORD:
        length = int.from_bytes(stream[3:5], 'big')
        messages += stream[5:5 + length]
        stream = stream[5 + length:]
    while len(messages) >= 4:
        length = int.from_bytes(messages[1:4], 'big')
        body, kind = messages[4:4 + length], messages[0]
        if len(body) < length:
            return []
        if kind == _CERTIFICATE_MESSAGE:
            return _list(body)
        messages = messages[4 + length:]
    return []


def _list(body: bytes) -> List[bytes]:
    listed, rest = [], body[3:]
    while len(rest) > 3:
        length = int.from_bytes(rest[:3], 'big')
        listed.append(rest[3:3 + length])
        rest = rest[3 + length:]
    return listed
