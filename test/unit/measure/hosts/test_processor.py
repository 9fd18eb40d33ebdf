"""The load of a machine between two readings of /proc/stat."""
from ua_overlay.measure.hosts.processor import busy_percent, parse_ticks


def test_load_between_two_readings():
    before = parse_ticks('cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1\n')
    assert before == (200, 1000)
    assert busy_percent(before, (250, 1200)) == 25.0


def test_no_load_without_two_readings():
    assert busy_percent(None, (250, 1200)) is busy_percent((250, 1200), None) is busy_percent((2, 9), (2, 9)) is None
