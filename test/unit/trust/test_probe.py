"""The probe against real TLS servers on the loopback. They are called localhost: that resolves everywhere."""
import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import threading
import time
from unittest import mock

import odd_certificates
import pytest
from cryptography import x509
from cryptography.hazmat.backends import default_backend
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from ua_overlay.clock import format_utc, utc_now
from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import ca_pin, names
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.probe import ServerError, check_server, explain
from ua_overlay.trust.verify import verify_node_key

DAY = datetime.timedelta(days=1)
HEALTHY = b'{"status":"pass"}\n'


def answer(body=HEALTHY, status='200 OK', date=None, length=None):
    """An HTTP answer as headscale gives it; ``date`` is the server's time, aware UTC."""
    lines = ['HTTP/1.1 ' + status, 'Content-Type: application/health+json; charset=utf-8',
             'Content-Length: {}'.format(len(body) if length is None else length), 'Connection: close']
    if date:
        lines.append('Date: ' + date.strftime('%a, %d %b %Y %H:%M:%S GMT'))
    return '\r\n'.join(lines).encode('ascii') + b'\r\n\r\n' + body


def make(directory, dns_names=('localhost',), addresses=(), made=None, constrained=('localhost',), days=90):
    """Make a CA and a server certificate in a directory; return (CA PEM, chain path, key path, certificate)."""
    made = made or utc_now()
    ca_key, ca = ca_module.create_ca('test', list(constrained), ['127.0.0.1'], made)
    with mock.patch.object(certificates, 'not_permitted', return_value=[]):     # what a broken or hostile CA might sign
        key, leaf = certificates.issue_server_certificate(ca_key, ca, list(dns_names), list(addresses), made, days)
    chain, key_path = os.path.join(str(directory), 'server.pem'), os.path.join(str(directory), 'server.key')
    with open(chain, 'w') as stream:
        stream.write(certificates.dump_certificates(leaf))
    with open(key_path, 'w') as stream:
        stream.write(certificates.dump_private_key(key))
    return certificates.dump_certificates(ca), chain, key_path, leaf


@contextlib.contextmanager
def served(talk):
    """Listen on a free port of the loopback and call ``talk(connection)`` for each connection; yields the URL."""
    listener = socket.create_server(('127.0.0.1', 0))
    open_ones = []

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return      # closed below
            open_ones.append(connection)
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield 'https://localhost:{}'.format(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_ones:
            connection.close()
        thread.join(5)


def tls(chain, key, respond, begins=b'GET /health HTTP/1.1\r\nHost: localhost:'):
    """Return a ``talk`` that does the handshake, reads the request and calls ``respond(tls connection)``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    def talk(connection):
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                request = secure.recv(4096)
                assert request.startswith(begins)
                respond(secure)
        except OSError:
            return      # the client refused the certificate: that is what most of these tests are about

    return talk


def sending(data):
    return lambda secure: secure.sendall(data)


def probe_error(url, ca_pem, **kwargs):
    with pytest.raises(ServerError) as caught:
        check_server(url, ca_pem, **kwargs)
    error = caught.value
    assert error.next_command and '\n' not in error.sentence and error.sentence.endswith('.')
    return error


def test_a_healthy_server(tmp_path):
    ca_pem, chain, key, leaf = make(tmp_path)
    with served(tls(chain, key, sending(answer(date=utc_now())))) as url:
        health = check_server(url, ca_pem)
    assert health.ok and 0 < health.latency < 5
    assert health.clock_offset in (-1, 0, 1)
    assert health.not_after == certificates.not_after(leaf)


def test_the_offset_is_the_server_s_clock_against_this_one(tmp_path):
    ca_pem, chain, key, _ = make(tmp_path)
    ahead = datetime.timedelta(seconds=300)
    with served(tls(chain, key, sending(answer(date=utc_now() + ahead)))) as url:
        assert 298 <= check_server(url, ca_pem).clock_offset <= 301
    with served(tls(chain, key, sending(answer()))) as url:
        assert check_server(url, ca_pem).clock_offset is None


def test_a_fragmented_answer_is_reassembled(tmp_path):
    ca_pem, chain, key, _ = make(tmp_path)

    def respond(secure):
        for byte in answer():
            secure.sendall(bytes([byte]))

    with served(tls(chain, key, respond)) as url:
        assert check_server(url, ca_pem).ok


def test_another_ca_of_the_same_name_is_refused(tmp_path):
    _, chain, key, _ = make(tmp_path)
    other = tmp_path / 'other'
    other.mkdir()
    foreign_ca = make(other)[0]
    with served(tls(chain, key, sending(answer()))) as url:
        error = probe_error(url, foreign_ca)
    assert error.code == 'WRONG_CA' and 'ua_overlay CA of test' in error.sentence


def test_system_cas_are_not_trusted(tmp_path, monkeypatch):
    ca_pem, chain, key, _ = make(tmp_path)
    other = tmp_path / 'other'
    other.mkdir()
    (tmp_path / 'ca.pem').write_text(ca_pem)
    monkeypatch.setenv('SSL_CERT_FILE', str(tmp_path / 'ca.pem'))
    with served(tls(chain, key, sending(answer()))) as url:
        assert probe_error(url, make(other)[0]).code == 'WRONG_CA'


def test_a_certificate_for_another_name(tmp_path):
    ca_pem, chain, key, _ = make(tmp_path, ['other.test'], constrained=['other.test'])
    with served(tls(chain, key, sending(answer()))) as url:
        error = probe_error(url, ca_pem)
    assert error.code == 'WRONG_NAME' and 'other.test' in error.sentence


def test_a_name_only_in_the_subject_is_ignored(tmp_path):
    address = [x509.IPAddress(ipaddress.ip_address('127.0.0.1'))]
    with mock.patch.object(certificates, 'general_names', return_value=address):
        ca_pem, chain, key, leaf = make(tmp_path)
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == 'localhost'
    with served(tls(chain, key, sending(answer()))) as url:
        error = probe_error(url, ca_pem)
    assert error.code == 'WRONG_NAME' and '127.0.0.1' in error.sentence


def test_a_name_outside_the_ca_s_constraints(tmp_path):
    ca_pem, chain, key, _ = make(tmp_path, ['localhost'], constrained=['server.ua.test'])
    with served(tls(chain, key, sending(answer()))) as url:
        error = probe_error(url, ca_pem)
    assert error.code == 'WRONG_NAME' and 'may not vouch' in error.sentence


def test_a_clock_in_the_past_shows_both_times(tmp_path):
    ca_pem, chain, key, leaf = make(tmp_path, made=utc_now() + 400 * DAY)
    with served(tls(chain, key, sending(answer(date=utc_now() + 401 * DAY)))) as url:
        error = probe_error(url, ca_pem)
    assert error.code == 'CLOCK'
    assert format_utc(certificates.not_before(leaf)) in error.sentence
    assert utc_now().strftime('%Y-%m-%d') in error.sentence
    assert (utc_now() + 401 * DAY).strftime('%Y-%m-%d') in error.sentence
    # The command sets the time that the server sent.
    moment = datetime.datetime.strptime(error.next_command.split('"')[1] + ' +0000', '%Y-%m-%d %H:%M:%S %z')
    assert abs(moment - utc_now() - 401 * DAY) < datetime.timedelta(minutes=1)


def test_an_expired_certificate(tmp_path):
    ca_pem, chain, key, leaf = make(tmp_path, made=utc_now() - 100 * DAY)
    with served(tls(chain, key, sending(answer(date=utc_now())))) as url:
        error = probe_error(url, ca_pem)
    assert error.code == 'CERT_EXPIRED'
    assert format_utc(certificates.not_after(leaf)) in error.sentence
    assert 'server renew' in error.next_command


def test_an_expired_certificate_and_a_server_clock_that_disagrees(tmp_path):
    ca_pem, chain, key, _ = make(tmp_path, made=utc_now() - 100 * DAY)
    with served(tls(chain, key, sending(answer(date=utc_now() - 50 * DAY)))) as url:
        error = probe_error(url, ca_pem)
    assert error.code == 'CLOCK' and error.next_command.startswith('sudo date -us "20')


def test_a_closed_port():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        port = listener.getsockname()[1]
    ca_pem = certificates.dump_certificates(ca_module.create_ca('x', ['localhost'], [], utc_now())[1])
    error = probe_error('https://localhost:{}'.format(port), ca_pem)
    assert error.code == 'SERVER_UNREACHABLE'
    assert 'connection refused' in error.sentence and 'localhost:{}'.format(port) in error.sentence


def test_a_name_that_does_not_resolve(tmp_path):
    error = probe_error('https://nowhere.invalid:8080', make(tmp_path)[0], timeout=20)
    assert error.code == 'SERVER_UNREACHABLE' and 'nowhere.invalid does not resolve' in error.sentence
    assert error.next_command == 'getent hosts nowhere.invalid'


def test_a_hanging_resolver_times_out(tmp_path, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kwargs: release.wait(30) or [])
    begin = time.monotonic()
    error = probe_error('https://server.ua.test', make(tmp_path)[0], timeout=0.3)
    release.set()
    assert time.monotonic() - begin < 3
    assert error.code == 'SERVER_UNREACHABLE' and 'was not resolved within 0.3 s' in error.sentence


@pytest.mark.parametrize('stage', ['handshake', 'answer', 'drip'])
def test_a_hanging_server_times_out(tmp_path, stage):
    ca_pem, chain, key, _ = make(tmp_path)
    over = threading.Event()

    def drip(secure):
        secure.sendall(answer()[:20])
        while not over.wait(0.05):
            secure.sendall(b'x')

    talk = {'handshake': lambda connection: over.wait(30), 'answer': tls(chain, key, lambda secure: over.wait(30)),
            'drip': tls(chain, key, drip)}[stage]
    with served(talk) as url:
        begin = time.monotonic()
        error = probe_error(url, ca_pem, timeout=0.5)
        took = time.monotonic() - begin
        over.set()
    assert 0.4 < took < 3
    assert error.code == 'SERVER_UNREACHABLE' and 'no answer within 0.5 s' in error.sentence


@pytest.mark.parametrize('data, said', [
    (answer(b'{"status":"fail"}\n', '500 Internal Server Error'), "not healthy (HTTP 500, status 'fail')"),
    (answer(b'{"status":"fail"}\n'), "not healthy (HTTP 200, status 'fail')"),
    (answer(b'<html>router login</html>'), 'HTTP 200'),
    (answer(b'not found', '404 Not Found'), 'HTTP 404'),
    (answer(b'[]'), 'HTTP 200'), (answer(b'{}'), 'HTTP 200'), (answer(b'"pass"'), 'HTTP 200'),
    (answer(b'\xff'), 'HTTP 200'),
    (answer(HEALTHY, '503 Service Unavailable'), 'not healthy'),
    (b'SSH-2.0-OpenSSH_9.2\r\n', 'does not speak HTTP'), (b'', 'does not speak HTTP'),
    (answer(length=5000), 'cut short'),
    (b'HTTP/1.1 200 OK\r\n' + b'X: y\r\n' * 4000, 'does not speak HTTP'),
])
def test_unexpected_answers(tmp_path, data, said):
    ca_pem, chain, key, _ = make(tmp_path)
    with served(tls(chain, key, sending(data))) as url:
        error = probe_error(url, ca_pem)
    assert error.code == 'BAD_ANSWER' and said in error.sentence


def test_a_server_that_does_not_speak_tls(tmp_path):
    def plain(connection):
        connection.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n')
        connection.close()

    with served(plain) as url:
        error = probe_error(url, make(tmp_path)[0])
    assert error.code in ('BAD_ANSWER', 'SERVER_UNREACHABLE') and 'TLS' in error.sentence
    assert '_ssl.c' not in error.sentence


def test_a_connection_closed_at_once(tmp_path):
    ca_pem = make(tmp_path)[0]
    with served(lambda connection: connection.close()) as url:
        for _ in range(30):     # a reset or an end of file, depending on timing
            error = probe_error(url, ca_pem)
            assert error.code == 'SERVER_UNREACHABLE'
            assert 'was reset' in error.sentence or 'was closed' in error.sentence


@pytest.mark.parametrize('url', ['http://localhost', 'https://127.0.0.1', '', 'https://user:hunter2@localhost'])
def test_invalid_urls(url):
    error = probe_error(url, '')
    assert error.code == 'BAD_ANSWER' and 'hunter2' not in str(error)


def test_messages_do_not_depend_on_openssl_texts():
    """There is a sentence without a server, and for unknown codes."""
    server = names.ServerUrl('server.ua.test', 8080)
    codes = {number: explain(server, number, None, None, utc_now()).code
             for number in (9, 10, 18, 19, 20, 21, 47, 62, 99)}
    assert codes == {9: 'CLOCK', 10: 'CERT_EXPIRED', 18: 'WRONG_CA', 19: 'WRONG_CA', 20: 'WRONG_CA', 21: 'WRONG_CA',
                     47: 'WRONG_NAME', 62: 'WRONG_NAME', 99: 'WRONG_CA'}


def odd_server(directory, what, ca=None):
    """(chain path, key path) of a certificate with an extension of garbage: self-signed, or signed by ``ca``."""
    certificate, key = odd_certificates.self_signed(odd_certificates.EXTENSIONS[what], begin=utc_now() - DAY,
                                                    end=utc_now() + DAY)
    if ca is not None:
        ca_key, authority = ca
        builder = x509.CertificateBuilder().subject_name(odd_certificates.name()).issuer_name(authority.subject)
        builder = builder.public_key(key.public_key()).serial_number(18).add_extension(x509.UnrecognizedExtension(
            *odd_certificates.EXTENSIONS[what]), critical=False)
        certificate = builder.not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(
            datetime.datetime(2035, 1, 1)).sign(ca_key, hashes.SHA256(), default_backend())
    (directory / 'odd.pem').write_text(certificates.dump_certificates(certificate))
    (directory / 'odd.key').write_text(certificates.dump_private_key(key))
    return str(directory / 'odd.pem'), str(directory / 'odd.key')


@pytest.mark.fault('K1', "Whoever answers for the server's address shows a certificate that cannot be read",
                   behaviour='the robot stays in its team, and says that this is not its server',
                   reported='at the next probe', recovery='at the next probe of the right server', lost='nothing')
@pytest.mark.parametrize('signed', [False, True], ids=['self-signed', 'by the CA'])
@pytest.mark.parametrize('what', odd_certificates.SHOWN)
def test_a_certificate_that_cannot_be_read(tmp_path, what, signed):
    ca_key, ca = ca_module.create_ca('test', ['localhost'], ['127.0.0.1'], utc_now())
    chain, key = odd_server(tmp_path, what, (ca_key, ca) if signed else None)
    ca_pem = certificates.dump_certificates(ca)
    with served(tls(chain, key, sending(answer(date=utc_now())), b'')) as url:
        error = probe_error(url, ca_pem)
        assert error.code in ('WRONG_CA', 'WRONG_NAME', 'BAD_ANSWER')
        assert verify_node_key(url, ca_pem, 'nodekey:' + 'ab' * 32) is None
        with pytest.raises(CertificateError) as caught:
            ca_pin.fetch(url, 'ab' * 32)
        assert caught.value.code == 'WRONG_CA'


def test_a_trusted_certificate_that_cryptography_cannot_read(tmp_path, monkeypatch):
    """OpenSSL accepts it: its chain, its dates and its name are right, and only a part of no use to it is odd."""
    ca_key, ca = ca_module.create_ca('test', ['localhost'], ['127.0.0.1'], utc_now())
    _, leaf = certificates.issue_server_certificate(ca_key, ca, ['localhost'], [], utc_now())
    key = certificates.generate_key()
    builder = x509.CertificateBuilder().subject_name(leaf.subject).issuer_name(ca.subject).public_key(key.public_key())
    builder = builder.serial_number(19).not_valid_before(datetime.datetime(2026, 1, 1)).not_valid_after(
        datetime.datetime(2035, 1, 1)).add_extension(x509.SubjectAlternativeName([
            x509.DNSName('localhost'), x509.OtherName(NameOID.COMMON_NAME, b'\x05\x00')]), critical=False)
    odd = builder.add_extension(x509.UnrecognizedExtension(
        x509.oid.ExtensionOID.NAME_CONSTRAINTS, b'\x30\x09\xa0\x07\x30\x05\x87\x03\x01\x02\x03'), critical=False).sign(
            ca_key, hashes.SHA256(), default_backend())
    (tmp_path / 'odd.pem').write_text(certificates.dump_certificates(odd))
    (tmp_path / 'odd.key').write_text(certificates.dump_private_key(key))
    with served(tls(str(tmp_path / 'odd.pem'), str(tmp_path / 'odd.key'), sending(answer()))) as url:
        error = probe_error(url, certificates.dump_certificates(ca))
    assert error.code in ('BAD_ANSWER', 'WRONG_CA', 'WRONG_NAME')


@pytest.mark.fault('K1', "The server's name is answered by endless or slow data", behaviour='the probe ends in its '
                   'time', reported='within 5 s', recovery='at the next probe', lost='nothing')
@pytest.mark.parametrize('drip', [b'HTTP/1.1 200 OK\r\nX: ', b'H', b'HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n',
                                  b'HTTP/1.1 200 OK\r\n\r\n' + b'[' * 12000, b'HTTP/1.1 200 OK\r\nX: y\r\n' * 400])
def test_a_slow_or_endless_answer_ends_in_time(tmp_path, drip):
    ca_pem, chain, key, _ = make(tmp_path)

    def respond(secure):
        secure.sendall(drip)
        for _ in range(100):
            time.sleep(0.1)
            secure.sendall(b'x')

    with served(tls(chain, key, respond, b'')) as url:
        start = time.monotonic()
        assert probe_error(url, ca_pem, timeout=1).code in ('SERVER_UNREACHABLE', 'BAD_ANSWER')
        assert verify_node_key(url, ca_pem, 'nodekey:' + 'ab' * 32, timeout=1) is None
        assert time.monotonic() - start < 6


def test_a_ca_that_openssl_refuses(monkeypatch):
    _, ca = ca_module.create_ca('test', ['localhost'], [], utc_now())
    context = mock.Mock(load_verify_locations=mock.Mock(side_effect=ssl.SSLError(1, 'no start line')))
    monkeypatch.setattr(ssl, 'SSLContext', lambda protocol: context)
    with pytest.raises(CertificateError, match='The CA of this robot cannot be used'):
        check_server('https://localhost', certificates.dump_certificates(ca))
