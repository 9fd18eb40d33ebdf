"""Whether the server knows a node key, against real TLS servers on the loopback that play Headscale's answers."""
import ssl
import threading

import pytest

from ua_overlay.trust.verify import verify_node_key
from unit.trust.test_probe import answer, make, served

KEY = 'nodekey:' + 'ab' * 32


def speak(chain, key, data, requests):
    """A ``talk`` that reads a whole request, remembers it and sends ``data``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)

    def talk(connection):
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                request = b''
                while b'}' not in request:
                    request += secure.recv(4096)
                requests.append(request)
                secure.sendall(data)
        except OSError:
            return  # the client refused the certificate

    return talk


@pytest.mark.parametrize('said, expected', [
    (answer(b'{"Allow":true}\n'), True), (answer(b'{"Allow":false}\n'), False), (answer(b'{"Allow":"no"}'), None),
    (answer(b'[]'), None), (answer(b'{"status":"pass"}'), None), (answer(b'{"Allow":true}', '404 Not Found'), None),
    (b'SSH-2.0-x\r\n', None), (b'', None)])
def test_answers_of_the_server(tmp_path, said, expected):
    ca_pem, chain, key, _ = make(tmp_path)
    requests = []
    with served(speak(chain, key, said, requests)) as url:
        assert verify_node_key(url, ca_pem, KEY, timeout=3) is expected
    assert requests[0].startswith(b'POST /verify ') and KEY.encode() in requests[0]


def test_a_server_of_another_site_is_ignored(tmp_path):
    (tmp_path / 'other').mkdir()
    ca_pem = make(tmp_path / 'other')[0]
    _, chain, key, _ = make(tmp_path)
    with served(speak(chain, key, answer(b'{"Allow":false}'), [])) as url:
        assert verify_node_key(url, ca_pem, KEY, timeout=3) is None


def test_without_a_key_no_request_is_sent(tmp_path):
    ca_pem = make(tmp_path)[0]
    called = threading.Event()
    with served(lambda connection: called.set()) as url:
        for key in ('', 'nodekey:' + '0' * 64, 'mkey:ab'):
            assert verify_node_key(url, ca_pem, key) is None
    assert not called.is_set()
    assert verify_node_key('https://localhost:1', ca_pem, KEY, timeout=1) is None
    assert verify_node_key('not a url', ca_pem, KEY) is None
