"""The output of a program at one end of a ROS measurement."""
import pytest

from ua_overlay.measure.tools.ros_ends import last_json
from ua_overlay.measure.tools.tool import Unmeasured


def test_the_last_json_object_counts():
    assert last_json('[WARN] x\n{"sent": 1}\n{"sent": 95}\nbye\n', 'a') == {'sent': 95}


@pytest.mark.parametrize('text, sentence', [
    ('{"error": "nobody subscribed"}', 'ROS on a: nobody subscribed.'),
    ('ua-overlay: there is no team.', 'The ROS program on a printed no result: ua-overlay: there is no team.'),
    ('', 'The ROS program on a printed no result: no output.')])
def test_an_end_that_fails_is_named(text, sentence):
    with pytest.raises(Unmeasured) as caught:
        last_json(text, 'a')
    assert caught.value.sentence == sentence
