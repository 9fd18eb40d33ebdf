"""The frames of a stream, counted at both ends."""
import pytest

from ua_overlay.measure.tools import frames


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_late_camera_skips_a_frame():
    clock = Clock()
    camera = frames.Camera(2, 1.0, 10.0, clock)
    taken = []
    for number in camera.slots(clock.sleep):
        taken.append((number, round(clock.now - 100.0, 6)))
        camera.took(number, 50)
        if number == 5:
            clock.now += 0.37
    assert [number for number, _ in taken] == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert taken[5] == (5, 0.5) and taken[6] == (8, 0.87) and taken[-1] == (11, 1.1)
    assert camera.totals() == {'sent': 8, 'skipped': 2, 'size_bytes': 50}
    assert camera.numbers() == (3, 10)


def test_arriving_frames_are_counted():
    viewer = frames.Viewer()
    assert not viewer.complete
    # Two that do not count, 3 to 8 that do, 5 and 6 overtaken, 4 twice.
    for number, now in ((1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4), (4, 0.41), (7, 0.8)):
        viewer.took(number, 0.1 * number, now + 0.02, 10)
    viewer.numbers = (3, 8)
    assert not viewer.complete
    totals = viewer.totals(0.6, 10.0)
    assert totals == {'received': 3, 'hz': pytest.approx(5.0), 'gaps': 2, 'age_ms': [20.0, 20.0, 120.0],
                     'longest_ms': 400.0, 'bytes': 30}
    viewer.took(8, 0.8, 1.82, 10)
    assert viewer.complete
    # What came late took longer than the stream: 1.5 s and a frame's time.
    assert viewer.totals(0.6, 10.0)['hz'] == pytest.approx(4 / 1.6)


def test_a_stream_that_breaks_off_has_a_long_gap():
    viewer = frames.Viewer()
    for number in range(1, 11):
        viewer.took(number, 0.1 * number, 0.1 * number + 0.02, 10)
    viewer.numbers = (1, 50)
    assert viewer.totals(5.0, 10.0)['longest_ms'] == pytest.approx(4100.0)


def test_a_stream_without_any_frame_is_counted():
    viewer = frames.Viewer()
    viewer.numbers = (1, 30)
    assert viewer.totals(1.0, 30.0) == {'received': 0, 'hz': 0.0, 'gaps': 0, 'age_ms': [], 'longest_ms': 1000.0,
                                        'bytes': 0}
