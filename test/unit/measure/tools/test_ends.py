"""How long one end of a measurement waits for the other."""
from ua_overlay.measure.tools.ends import wait


def test_the_wait_ends_when_true_late_or_stopped():
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    assert wait(lambda: now[0] > 0.5, 1.0, lambda: False, lambda: now[0], sleep) and now[0] < 0.6
    assert not wait(lambda: False, 1.0, lambda: False, lambda: now[0], sleep) and now[0] > 1.5
    assert not wait(lambda: False, 1e9, lambda: True, lambda: now[0], sleep)
