"""A CA known by its SHA-256: fetched over real TLS on the loopback, where only the named one is accepted."""
import contextlib
import datetime
import socket
import ssl
import struct
import threading

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import ca_pin
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.invitation import Invitation
from ua_overlay.trust.probe import ServerError

NOW = utc_now()


def make_ca():
    return ca_module.create_ca('lab', ['localhost'], ['127.0.0.1'], NOW)


KEY, CA = make_ca()
OTHER_KEY, OTHER = make_ca()
PEM, OTHER_PEM = certificates.dump_certificates(CA), certificates.dump_certificates(OTHER)


@contextlib.contextmanager
def serving(talk):
    """Calls ``talk(connection)`` for each connection; yields the URL."""
    listener = socket.create_server(('127.0.0.1', 0))
    # The caller's end may close first, which is no failure here.
    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                with connection, contextlib.suppress(OSError):
                    talk(connection)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield 'https://localhost:{}'.format(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def chain(tmp_path):
    """Function(certificate, …) -> talk of a server that shows its own and these."""
    def make(*authorities):
        key, leaf = certificates.issue_server_certificate(KEY, CA, ['localhost'], [], NOW)
        (tmp_path / 'chain').write_text(certificates.dump_certificates(leaf, *authorities))
        (tmp_path / 'key').write_text(certificates.dump_private_key(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(tmp_path / 'chain'), str(tmp_path / 'key'))

        def talk(connection):
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(1)

        return talk

    return make


def test_the_pinned_ca_is_fetched(chain):
    with serving(chain(CA)) as url:
        assert ca_pin.fetch(url, ca_pin.pins_of(PEM)).strip() == PEM.strip()


def test_during_a_rotation_every_pinned_ca_is_required(chain):
    both = ca_pin.pins_of(PEM + OTHER_PEM)
    with serving(chain(CA, OTHER)) as url:
        assert ca_pin.fetch(url, both).count('BEGIN') == 2
        assert ca_pin.fetch(url, ca_pin.pins_of(OTHER_PEM)).strip() == OTHER_PEM.strip()
    with serving(chain(CA)) as url, pytest.raises(CertificateError) as caught:
        ca_pin.fetch(url, both)
    assert caught.value.code == 'WRONG_CA'


@pytest.mark.parametrize('shown', [(OTHER,), ()])
def test_another_ca_is_refused(chain, shown):
    with serving(chain(*shown)) as url, pytest.raises(CertificateError) as caught:
        ca_pin.fetch(url, ca_pin.pins_of(PEM))
    assert caught.value.code == 'WRONG_CA' and ca_pin.pins_of(PEM)[:16] in caught.value.sentence
    assert '--ca ca.pem' in caught.value.next_command


@pytest.mark.parametrize('nonsense', [b'', b'HTTP/1.1 200 OK\r\n\r\n', bytes([22, 3, 3, 255, 255]) + b'x' * 70000,
                                      bytes([22, 3, 3, 0, 4, 11, 0, 0, 0]), bytes(range(256)) * 300])
def test_an_invalid_handshake_is_not_the_site_s_server(nonsense):
    def talk(connection):
        connection.recv(4096)
        connection.sendall(nonsense)

    with serving(talk) as url, pytest.raises(CertificateError) as caught:
        ca_pin.fetch(url, ca_pin.pins_of(PEM), timeout=3)
    assert caught.value.code == 'WRONG_CA'


def test_a_silent_server_times_out():
    begin = datetime.datetime.now()
    with serving(lambda connection: connection.recv(100000) and connection.recv(1)) as url:
        with pytest.raises(CertificateError):
            ca_pin.fetch(url, ca_pin.pins_of(PEM), timeout=1)
    assert (datetime.datetime.now() - begin).total_seconds() < 10


def test_a_port_without_a_server():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        with pytest.raises(ServerError) as caught:
            ca_pin.fetch('https://localhost:{}'.format(probe.getsockname()[1]), ca_pin.pins_of(PEM))
    assert caught.value.code == 'SERVER_UNREACHABLE'


def test_a_trusted_ca_is_not_fetched():
    def invitation(**trust):
        return Invitation(server_url='https://nowhere.invalid', key='', robot='dev-1', created=NOW, expires=NOW,
                          **trust)

    assert ca_pin.ca_of(invitation(ca_pem=PEM)) == PEM
    found = ca_pin.ca_of(invitation(ca_pem='', ca_sha256=ca_pin.pins_of(PEM)), OTHER_PEM + PEM)
    assert found.strip() == PEM.strip()


@pytest.mark.parametrize('text', ['', 'hello', OTHER_PEM, PEM[:200]])
def test_a_ca_that_does_not_match_is_not_selected(text):
    assert ca_pin.pick(ca_pin.pins_of(PEM), text) == ''
    assert ca_pin.pick('', PEM) == ''


def test_a_fragmented_handshake():
    def record(data):
        return bytes([22, 3, 3]) + struct.pack('>H', len(data)) + data

    certificate = b'\x01\x02\x03'
    listed = b'\x00\x00\x03' + certificate + b'\x00\x00\x02xy'
    body = b'\x00\x00' + bytes([len(listed)]) + listed
    message = b'\x0b\x00\x00' + bytes([len(body)]) + body
    stream = record(b'\x02\x00\x00\x01z' + message[:5]) + record(message[5:]) + b'\x14\x03\x03'
    assert ca_pin.certificates_in(stream) == [certificate, b'xy']
    whole = len(stream) - 3
    assert all(ca_pin.certificates_in(stream[:cut]) == [] for cut in range(whole))
