"""When an expiring certificate of a remote DERP causes a warning. Real ones: test/lab/test_relays_loopback.py."""
import pytest

from ua_overlay.relays import derp_certificate

DAY = 86400.0
NOW = 1.8e9


@pytest.mark.parametrize('days, words', [
    (31, ''), (30, ''), (29.9, 'ends in 29 days, on 2027-02-'), (1.5, 'ends in 1 day, on'), (0.5, 'ends in 0 days, on'),
    (-0.1, 'ended on 2027-01-1')])
def test_the_last_month_is_a_warning(days, words):
    warning = derp_certificate.warning('lab-b', NOW + days * DAY, NOW)
    assert (warning is not None) == bool(words)
    if words:
        assert 'DERP lab-b ' + words in warning.sentence and 'derp create lab-b --again' in warning.next_command


def test_expiry_as_text():
    assert derp_certificate.format_end(None) is None
    assert derp_certificate.format_end(NOW) == '2027-01-15 08:00:00 UTC'
