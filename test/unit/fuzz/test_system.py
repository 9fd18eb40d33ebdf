"""Answers to the question for a neighbour's clock, whatever they hold: an offset or nothing."""
from hypothesis import given
from hypothesis import strategies as st

from ua_overlay.system import reflector
from ua_overlay.system.reflector import Offset


@given(st.binary(max_size=40), st.floats(), st.floats())
def test_any_datagram_gives_an_offset_or_nothing(data, sent, received):
    assert reflector._offset(data, sent, received) is None


@given(st.floats(), st.floats(), st.floats(), st.integers(0, 65535))
def test_times_that_no_clock_shows_are_refused(asked, arrival, departure, port):
    found = reflector._offset(reflector._PACKET.pack(b'ua-time!', asked, arrival, departure, port), 1e9, 1e9 + 0.1)
    assert found is None or isinstance(found, Offset) and found.error >= 0 and abs(found.offset) < 1e12
