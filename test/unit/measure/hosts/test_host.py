"""The facts of a host, from the output of its programs."""
import pytest

from ua_overlay.measure.hosts.process import HostLost
from unit.measure.campaigns import ScriptedHost, say

COUNTERS = 'tailscaled_outbound_bytes_total{path="direct_ipv4"} 7\ntailscaled_inbound_bytes_total{path="derp"} 5'


def test_a_program_runs_to_its_end():
    assert ScriptedHost('a', {'x': 'echo out; echo err >&2; exit 3'}).run(['x'], 10.0) == (3, 'out\n', 'err\n')


def test_a_missing_program_is_named():
    with pytest.raises(HostLost) as caught:
        ScriptedHost('a', {}).run(['env', 'LC_ALL=C', 'ping'], 10.0)
    assert caught.value.sentence == 'ping cannot be started on a: No such file or directory.'
    assert ScriptedHost('a', {}).ask(['ping']) is None


def test_answers_of_tailscaled():
    host = ScriptedHost('a', {'tailscale metrics': "printf '{}'".format(COUNTERS), 'tailscale ip': 'echo 100.64.0.2'})
    assert host.path_bytes() == {'DIRECT': 7, 'DERP': 5}
    assert host.overlay_address() == host.overlay_address() == '100.64.0.2'
    assert len([argv for argv, _ in host.started if argv[1] == 'ip']) == 1


def test_a_tailscaled_that_does_not_answer():
    host = ScriptedHost('a', {'tailscale': 'exit 1'})
    assert host.path_bytes() is None
    with pytest.raises(HostLost, match='The tailscaled of a has no address in the overlay.'):
        host.overlay_address()
    assert ScriptedHost('a', {}, overlay='a.overlay.internal').overlay_address() == 'a.overlay.internal'


def test_the_mtu_is_that_of_the_outgoing_interface():
    host = ScriptedHost('a', {'getent ahosts': say('192.0.2.7 STREAM b', '192.0.2.8 DGRAM'),
                              'ip': 'echo "192.0.2.7 dev lo src 192.0.2.1"',
                              'cat /sys/class/net/lo/mtu': 'echo 1280'})
    assert host.mtu('b') == 1280 and host.numeric('b') == '192.0.2.7'
    assert ['ip', '-o', 'route', 'get', '192.0.2.7'] in [argv for argv, _ in host.started]
    assert ScriptedHost('a', {'ip': 'exit 1'}).mtu('192.0.2.7') is None


def test_an_unresolved_name_is_kept():
    assert ScriptedHost('a', {'getent': 'exit 2'}).numeric('nowhere') == 'nowhere'


def test_versions_of_installed_programs():
    host = ScriptedHost('a', {'iperf3': say('iperf 3.12 (cJSON)', 'Linux'), 'uname': 'echo 6.1', 'tailscale': 'exit 1'})
    assert host.versions() == {'iperf3': 'iperf 3.12 (cJSON)', 'kernel': '6.1'}


def test_command_line_by_graph():
    argv = ScriptedHost.ros_argv
    assert argv(['x'], False) == ['x']
    assert argv(['x'], True) == ['ua-overlay', 'exec', '--wait', '--timeout', '30', 'x']
    assert argv(['x'], {'ROS_MASTER_URI': 'http://10.0.0.2:11399', 'ROS_IP': '10.0.0.1'}) == [
        'env', '-u', 'ROS_HOSTNAME', 'ROS_IP=10.0.0.1', 'ROS_MASTER_URI=http://10.0.0.2:11399', 'x']
