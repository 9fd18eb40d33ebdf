"""Which remote DERP regions answer, and the map that follows from it."""
from ua_overlay.relays.derp_watcher import Answering


def test_a_region_is_gone_after_two_failures_and_back_at_once():
    answering = Answering()
    assert answering.step({'a': False}) == set()
    assert answering.step({'a': True}) == {'a'}
    assert answering.step({'a': False}) == {'a'}
    assert answering.step({'a': False}) == set()
    assert answering.step({'a': True}) == {'a'}
