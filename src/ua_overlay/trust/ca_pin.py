"""A CA that is known by its SHA-256 alone: an invitation may carry that instead of the certificate.

The certificate then comes from the server, over a connection that proves nothing. It is compared with the SHA-256
before anything secret is sent; afterwards the server has to pass the same strict check as always (probe).
"""
import hashlib
import re
import ssl
import time

from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import serialization

from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import names
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.probe import open_connection

#: The chain of a server of this package has two kilobytes; whoever sends more than this is somebody else.
MAX_HANDSHAKE = 65536
PINS = re.compile(r'[0-9a-f]{64}(?: [0-9a-f]{64})*')

_HANDSHAKE_RECORD, _CERTIFICATE_MESSAGE = 22, 11


def pins_of(ca_pem):
    """SHA-256 of each certificate (DER) of a PEM text: 64 hexadecimal digits each, with blanks between them."""
    return ' '.join(_pin(each) for each in certificates.load_certificates(ca_pem, 'the CA'))


def pick(pins, ca_pem):
    """Those certificates of a PEM text that ``pins`` name, as PEM text; '' unless there is one for every pin.

    Text without a certificate counts as none.
    """
    try:
        found = certificates.load_certificates(ca_pem, 'the CA')
    except CertificateError:
        return ''
    return _pick(pins, found)


def ca_of(invitation, known='', timeout=5.0):
    """The CA of an invitation as PEM text: its own, else that of ``known`` (PEM text), else fetched from the server.

    :raises CertificateError: WRONG_CA when what the server shows is another CA.
    :raises probe.ServerError: the server cannot be reached.
    """
    return invitation.ca_pem or pick(invitation.ca_sha256, known) or fetch(
        invitation.server_url, invitation.ca_sha256, timeout)


def fetch(server_url, pins, timeout=5.0):
    """Ask the server for its chain and return the CA that ``pins`` name, as PEM text.

    :raises CertificateError: WRONG_CA when not all that are named are there.
    :raises probe.ServerError: SERVER_UNREACHABLE.
    """
    server = names.parse_server_url(server_url)
    where = '{}:{}'.format(server.host, server.port)
    deadline = time.monotonic() + timeout
    connection = open_connection(server, deadline, timeout)
    with connection:
        try:
            shown = _chain(connection, server.host, deadline)
        except (OSError, ValueError):
            shown = []
    found = _pick(pins, shown)
    if not found:
        raise CertificateError(
            'What answers at {} shows no CA with the SHA-256 of the invitation ({}…): it is another server, or its CA '
            'was renewed.'.format(where, pins[:16]),
            'ssh SERVER sudo cat DIR/ca.pem > ca.pem and: sudo ua-overlay robot prepare --ca ca.pem --user "$USER"; or '
            'a new invitation', 'WRONG_CA')
    return found


def _pick(pins, shown):
    by_pin = {_pin(each): each for each in shown}
    required = pins.split()
    if not required or not all(pin in by_pin for pin in required):
        return ''
    return certificates.dump_certificates(*(by_pin[pin] for pin in required))


def _pin(certificate):
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def _chain(connection, host, deadline):
    """The certificates (x509) that a server shows, checked for nothing.

    Python 3.8 gives only the first one. In TLS 1.2 they cross the wire in clear, so they are read from there.

    :raises OSError, ValueError: no handshake, or nonsense in it.
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
        found = certificates_in(received)
        if found or done:
            return [x509.load_der_x509_certificate(der, default_backend()) for der in found]
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        connection.sendall(outgoing.read())
        part = connection.recv(16384)
        if not part:
            break
        received += part
        incoming.write(part)
    return []


def certificates_in(stream):
    """The certificates (list of DER bytes) in what a TLS 1.2 server has sent so far; empty when they are not all there.

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


def _list(body):
    found, rest = [], body[3:]
    while len(rest) > 3:
        length = int.from_bytes(rest[:3], 'big')
        found.append(rest[3:3 + length])
        rest = rest[3 + length:]
    return found
