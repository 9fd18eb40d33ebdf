"""The probes of `server check`, and their results."""
import socket

from ua_overlay.clock import utc_now
from ua_overlay.defaults import DERP_PORT, RELAY_PORT, STUN_PORT
from ua_overlay.headscale.remote_hosts import DerpHost, RelayHost
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import check
from ua_overlay.relays.check import Probe, ProbeResult
from ua_overlay.relays.probe import Unreachable
from ua_overlay.trust.ca import create_ca
from ua_overlay.trust.certificate import dump_certificates


def test_a_server_has_four_probes():
    probes = check.probes_of_server('203.0.113.10', 's.test', (8080, 3478, 40000), {},
                                    lambda protocol, port: 'open {}/{}'.format(port, protocol))
    assert [(probe.what, probe.endpoint, probe.fix) for probe in probes] == [
        ('control', '203.0.113.10 TCP 8080', 'open 8080/tcp'), ('DERP', '203.0.113.10 TCP 8080', 'open 8080/tcp'),
        ('STUN', '203.0.113.10 UDP 3478', 'open 3478/udp'), ('relay', '203.0.113.10 UDP 40000', 'open 40000/udp')]


def test_a_derper_beside_headscale_has_a_probe():
    probes = check.probes_of_server('203.0.113.10', 's.test', (8080, 3478, 40000), {},
                                    lambda protocol, port: 'open {}/{}'.format(port, protocol), DERP_PORT)
    assert [(probe.what, probe.endpoint, probe.fix) for probe in probes][2] == (
        'DERP beside Headscale', '203.0.113.10 TCP {}'.format(DERP_PORT), 'open {}/tcp'.format(DERP_PORT))
    assert len(probes) == 5


def test_remote_hosts_have_their_own_probes():
    settings = SiteSettings('s.test', relays=(RelayHost('b', '203.0.113.11'),),
                            derp=(DerpHost('c', 901, '203.0.113.12'),))
    assert [(probe.what, probe.endpoint) for probe in check.probes_of_hosts(settings, {})] == [
        ('DERP c', '203.0.113.12 TCP {}'.format(DERP_PORT)), ('STUN c', '203.0.113.12 UDP {}'.format(STUN_PORT)),
        ('relay b', '203.0.113.11 UDP {}'.format(RELAY_PORT))]


def test_a_failed_probe_is_a_result_with_the_next_command():
    def fail():
        raise Unreachable('connection refused')

    assert check.run_probes([Probe('STUN', 'x', lambda: 'sees us', 'a'), Probe('DERP', 'y', fail, 'b')]) == [
        ProbeResult('STUN', 'x', True, 'sees us', ''), ProbeResult('DERP', 'y', False, 'connection refused', 'b')]


def test_the_probes_of_a_server_that_is_down_fail():
    ca_pem = dump_certificates(create_ca('site', ['s.test'], [], utc_now())[1])
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))
        port = closed.getsockname()[1]
        probes = check.probes_of_server('127.0.0.1', 's.test', (port, port, port), {'ca_pem': ca_pem},
                                        lambda *_: 'do this')
        results = check.run_probes(probes[:2])
    assert [(each.what, each.ok, each.text, each.next_command) for each in results] == [
        ('control', False, 'The server s.test:{} (127.0.0.1) cannot be reached: connection refused'.format(port),
         'do this'), ('DERP', False, 'connection refused', 'do this')]
