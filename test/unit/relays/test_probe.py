"""Probes of a site, against sockets of this machine. Real servers: test/lab/test_relays_loopback.py."""
import socket
import threading

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.relays.probe import Unreachable, probe_derp, probe_derp_page, probe_relay, probe_server, probe_stun
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.certificate import dump_certificates


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
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match='refused'):
            probe('127.0.0.1', port, 's.test', {})
        listener.listen(1)
        with pytest.raises(Unreachable, match='no TLS handshake'):
            probe('127.0.0.1', port, 's.test', {}, timeout=0.2)


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
