"""A topic: the command lines and the output of both ends."""
import pytest

from ua_overlay.measure import headers
from ua_overlay.measure.tools.tool import Job, Unmeasured
from unit.measure.campaigns import ScriptedHost, say, tool_of

TOPIC = tool_of('ros-topic')
HEARD = {'received': 95, 'hz': 9.9, 'age_ms': [1.5]}


def measure(publisher, subscriber):
    hosts = ScriptedHost('a', {'rosrun': publisher}), ScriptedHost('b', {'rosrun': subscriber})
    return TOPIC.measure(Job(hosts[0], hosts[1], '100.64.0.2', 'overlay', repetition=7)), hosts


def test_command_lines():
    subscriber, publisher = TOPIC.argvs('/x')
    assert subscriber == ['rosrun', 'ua_overlay', 'measure_ros.py', 'listen', '/x', '--seconds', '10', '--omit', '5']
    assert publisher == ['rosrun', 'ua_overlay', 'measure_ros.py', 'publish', '/x', '--size', '1000', '--rate', '10',
                         '--seconds', '10', '--omit', '5']


def test_a_measurement_uses_the_output_of_both_ends():
    result, (source, target) = measure(say('some warning', {'sent': 95}), say(HEARD))
    assert result == ({'hz': 9.9, 'age_ms': [1.5], 'sent': 95, 'received': 95, 'size_bytes': 1000}, 95000, '')
    assert [ros for _, ros in source.started + target.started] == [True, True]
    assert source.started[0][0][4] == target.started[0][0][4] == '/ua_overlay_measure_7'


@pytest.mark.parametrize('publisher, subscriber, sentence', [
    (say({'error': 'nobody subscribed'}), say(HEARD), 'ROS on a: nobody subscribed.'),
    (say({'sent': 1}), 'echo there is no team >&2; exit 1', 'on b printed no result: there is no team.')])
def test_an_end_that_fails_is_named(publisher, subscriber, sentence):
    with pytest.raises(Unmeasured) as caught:
        measure(publisher, subscriber)
    assert sentence in caught.value.sentence


def test_bytes_on_the_wire():
    assert TOPIC.duration == 15.0
    assert TOPIC.wire_bits() == pytest.approx(8 * 105 * (1000 + 98) / headers.overlay_efficiency())
