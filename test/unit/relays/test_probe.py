"""Probes of a site, against sockets of this machine. Real servers: test/lab/test_relays_loopback.py."""
import socket
import threading

import pytest

from ua_overlay.relays.probe import Unreachable, probe_derp, probe_derp_page, probe_relay, probe_server, probe_stun


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


@pytest.mark.parametrize('probe', [probe_server, probe_derp, probe_derp_page])
def test_a_tcp_port_without_a_server_and_one_that_does_not_speak_tls(probe):
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match='refused'):
            probe('127.0.0.1', port, 's.test', {})
        listener.listen(1)
        with pytest.raises(Unreachable, match='no TLS handshake'):
            probe('127.0.0.1', port, 's.test', {}, timeout=0.2)
