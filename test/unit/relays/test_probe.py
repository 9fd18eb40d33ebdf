"""Probes of a site, against sockets of this machine. Real servers: test/lab/test_relays_loopback.py."""
import socket
import threading
import time

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.relays.probe import Unreachable, probe_derp, probe_derp_page, probe_relay, probe_server, probe_stun
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.certificate import dump_certificates, not_after
from unit.trust.test_probe import answer, make, served, tls


def test_a_stun_server_that_answers(udp, stun_answer):
    def serve():
        data, source = udp.recvfrom(2048)
        udp.sendto(stun_answer(data[8:20], socket.inet_aton(source[0]), source[1]), source)

    thread = threading.Thread(target=serve)
    thread.start()
    assert probe_stun('127.0.0.1', udp.getsockname()[1]).startswith('sees us as 127.0.0.1:')
    thread.join()


def test_a_silent_port_and_a_closed_one(udp):
    port = udp.getsockname()[1]
    with pytest.raises(Unreachable, match='no answer within'):
        probe_stun('127.0.0.1', port, timeout=0.2)
    assert 'not refused' in probe_relay('127.0.0.1', port, timeout=0.2)
    udp.close()
    for probe in (probe_stun, probe_relay):
        with pytest.raises(Unreachable, match='nothing listens there'):
            probe('127.0.0.1', port)


@pytest.mark.parametrize('probe', [probe_derp, probe_derp_page])
def test_a_closed_tcp_port_and_one_without_tls(probe):
    trust = {'ca_pem': dump_certificates(create_ca('site', ['s.test'], [], utc_now())[1])}
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match='refused'):
            probe('127.0.0.1', port, 's.test', trust)
        listener.listen(8)
        with pytest.raises(Unreachable, match='no TLS handshake'):
            probe('127.0.0.1', port, 's.test', trust, timeout=0.2)
        for damaged, words in (({'ca_pem': 'x'}, 'no certificate'), ({'ca_file': '/none'}, 'cannot be read')):
            with pytest.raises(Unreachable, match=words):
                probe('127.0.0.1', port, 's.test', damaged)


def test_a_server_is_probed_like_a_robot_probes_it(tmp_path):
    """Its name need not resolve here. What a robot would say of each fault: test/unit/trust/test_probe.py."""
    ca_pem = dump_certificates(create_ca('site', ['s.test'], [], utc_now())[1])
    (tmp_path / 'ca.pem').write_text(ca_pem)
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
        for trust in ({'ca_pem': ca_pem}, {'ca_file': str(tmp_path / 'ca.pem')}):
            with pytest.raises(Unreachable, match=r' \(127\.0\.0\.1\) cannot be reached: connection refused$'):
                probe_server('127.0.0.1', port, 's.test', trust)
        listener.listen(1)
        with pytest.raises(Unreachable, match='did not speak TLS: no answer within 0.2 s$'):
            probe_server('127.0.0.1', port, 's.test', {'ca_pem': ca_pem}, timeout=0.2)


@pytest.mark.fault('K1', 'A DERP answers endless or slow data', behaviour='the region counts as down, the others are '
                   'probed', reported='within 20 s', recovery='at the next probe', lost='nothing')
@pytest.mark.parametrize('probe', [probe_derp, probe_derp_page])
@pytest.mark.parametrize('sent', [b'HTTP/1.1 200 OK\r\nX: ', b'HTTP/1.1 101 Switching Protocols\r\n\r\n', b'[' * 20000,
                                  b'HTTP/1.1 200 OK\r\n' + b'X: y\r\n' * 3000, b''])
def test_slow_and_endless_answers_end_in_time(tmp_path, probe, sent):
    ca_pem, chain, key, _ = make(tmp_path)

    def respond(secure):
        secure.sendall(sent)
        for _ in range(100 if sent else 0):
            time.sleep(0.1)
            secure.sendall(b'x' if b'101' not in sent else b'')

    with served(tls(chain, key, respond, b'')) as url:
        start = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            probe('127.0.0.1', int(url.rsplit(':', 1)[1]), 'localhost', {'ca_pem': ca_pem}, 1)
        assert time.monotonic() - start < 5 and str(caught.value).isprintable()


def test_a_derp_that_answers(tmp_path):
    ca_pem, chain, key, leaf = make(tmp_path)
    with served(tls(chain, key, lambda secure: secure.sendall(answer(b'')), b'')) as url:
        end = probe_derp_page('127.0.0.1', int(url.rsplit(':', 1)[1]), 'localhost', {'ca_pem': ca_pem}, 5)
    assert end == not_after(leaf).timestamp()
    greeting = b'HTTP/1.1 101 Switching Protocols\r\n\r\n' + b'12345' + 'DERP🔑'.encode() + b'rest'
    with served(tls(chain, key, lambda secure: secure.sendall(greeting), b'')) as url:
        port = int(url.rsplit(':', 1)[1])
        assert probe_derp('127.0.0.1', port, 'localhost', {'ca_pem': ca_pem}).startswith('DERP, ')
    with served(tls(chain, key, lambda secure: secure.sendall(answer(b'x', '404 Not Found')), b'')) as url:
        with pytest.raises(Unreachable, match='it answers 404 instead of DERP'):
            probe_derp('127.0.0.1', int(url.rsplit(':', 1)[1]), 'localhost', {'ca_pem': ca_pem})
