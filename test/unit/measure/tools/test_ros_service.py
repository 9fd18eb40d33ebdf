"""A service: the command lines of both ends, and the output of the caller."""
import pytest

from ua_overlay.measure.tools.tool import Job, Unmeasured
from unit.measure.campaigns import ScriptedHost, say, tool_of

SERVICE = tool_of('ros-service', calls=3, omit=1)


def measure(caller):
    hosts = ScriptedHost('a', {'rosrun': caller}), ScriptedHost('b', {'rosrun': 'exec sleep 60'})
    return SERVICE.measure(Job(hosts[0], hosts[1], '100.64.0.2', 'overlay')), hosts


def test_command_lines():
    server, caller = SERVICE.argvs('/x')
    assert server == ['rosrun', 'ua_overlay', 'measure_ros.py', 'serve', '/x', '--seconds', '71']
    assert caller == ['rosrun', 'ua_overlay', 'measure_ros.py', 'call', '/x', '--calls', '3', '--omit', '1']


def test_a_measurement_uses_the_caller_s_output():
    result, (source, target) = measure(say({'rtt_ms': [2.0], 'failed': 1}))
    assert result == ({'rtt_ms': [2.0], 'failed': 1}, 100, '')
    assert [ros for _, ros in source.started + target.started] == [True, True]


def test_an_unanswered_service_is_an_error():
    with pytest.raises(Unmeasured, match='No call from a to b was answered.'):
        measure(say({'rtt_ms': [], 'failed': 4}))


def test_bytes_on_the_wire():
    assert (SERVICE.duration, SERVICE.wire_bits()) == (pytest.approx(5.4), 8.0 * 4 * 1000)
