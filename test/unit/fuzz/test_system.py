"""Answers to the question for a neighbour's clock, and of a daemon about its duties: a value or nothing."""
import json

from hypothesis import given
from hypothesis import strategies as st

from ua_overlay.system import duties, reflector
from ua_overlay.system.reflector import Offset


@given(st.binary(max_size=40), st.floats(), st.floats())
def test_any_datagram_gives_an_offset_or_nothing(data, sent, received):
    assert reflector._offset(data, sent, received) is None


@given(st.floats(), st.floats(), st.floats(), st.integers(0, 65535))
def test_times_that_no_clock_shows_are_refused(asked, arrival, departure, port):
    found = reflector._offset(reflector._PACKET.pack(b'ua-time!', asked, arrival, departure, port), 1e9, 1e9 + 0.1)
    assert found is None or isinstance(found, Offset) and found.error >= 0 and abs(found.offset) < 1e12


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(duties.Duty._fields), inner, max_size=4), max_leaves=8)


@given(st.text() | JSON.map(json.dumps) | JSON.map(lambda value: json.dumps({'duties': value})) | JSON.map(
    lambda value: json.dumps({'duties': [dict(duties.Duty('names')._asdict(), state=value, seconds=value)]})))
def test_any_answer_about_duties_gives_duties_or_a_value_error(text):
    try:
        found = duties.parse_duties(text)
    except ValueError:
        return
    assert all(duty.state in duties.STATES and duty.seconds >= 0 for duty in found)
