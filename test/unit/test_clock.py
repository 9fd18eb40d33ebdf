import datetime

import pytest

from ua_overlay import clock

UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize('text, moment', [
    ('2026-11-22T19:04:01.438727123Z', datetime.datetime(2026, 11, 22, 19, 4, 1, 438727, UTC)),
    ('2026-11-22T19:04:01Z', datetime.datetime(2026, 11, 22, 19, 4, 1, 0, UTC)),
    ('2026-11-22 19:04:01z', datetime.datetime(2026, 11, 22, 19, 4, 1, 0, UTC)),
    ('2026-11-22T19:04:01.5+02:00', datetime.datetime(2026, 11, 22, 17, 4, 1, 500000, UTC)),
    ('1969-12-31T22:30:10.25-01:30', datetime.datetime(1970, 1, 1, 0, 0, 10, 250000, UTC)),
])
def test_parse_rfc3339(text, moment):
    assert clock.parse_rfc3339(text) == moment
    assert clock.parse_rfc3339(text).tzinfo == UTC


@pytest.mark.parametrize('text', ['', 'yesterday', '2026-11-22', '2026-11-22T19:04:01', '2026-13-22T19:04:01Z',
                                  '2026-11-22T19:04:61Z', '2026-11-22T19:04:01+x', '2026-11-22T19:04:01Z\n',
                                  '\u0662026-11-22T19:04:01Z', '2026-11-22T19:04:01.1234567890Z',
                                  '9999-12-31T23:59:59-23:59', '0001-01-01T00:00:00+00:01'])
def test_parse_rfc3339_refuses(text):
    with pytest.raises(ValueError):
        clock.parse_rfc3339(text)


@pytest.mark.parametrize('text', ['0001-01-01T00:00:00Z', '', None])
def test_zero_times_of_go(text):
    assert clock.parse_go_time(text) is None


def test_parse_go_time():
    assert clock.parse_go_time('2026-01-10T00:00:00Z') == NOW
    with pytest.raises(ValueError, match='yesterday'):
        clock.parse_go_time('yesterday')


@pytest.mark.parametrize('digits, text', [
    (0, '2025-12-31T23:00:00Z'), (3, '2025-12-31T23:00:00.050Z'), (6, '2025-12-31T23:00:00.050999Z')])
def test_format_rfc3339_is_utc(digits, text):
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert clock.format_rfc3339(datetime.datetime(2026, 1, 1, 1, 0, 0, 50999, zone), digits) == text


def test_times_as_text_and_in_file_names():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2026, 1, 1, 1, 0, tzinfo=zone)
    assert clock.format_utc(moment) == '2025-12-31 23:00:00 UTC'
    assert clock.file_stamp(moment) == '20251231T230000Z'


def test_from_unix():
    assert clock.from_unix(NOW.timestamp() + 0.25) == NOW + datetime.timedelta(milliseconds=250)
    assert clock.utc_now().tzinfo == UTC


@pytest.mark.parametrize('text, seconds', [
    ('90s', 90), ('30m', 1800), ('1h', 3600), ('2d', 172800), ('1.5 h', 5400), (' 1h ', 3600)])
def test_durations(text, seconds):
    assert clock.parse_duration(text) == seconds


@pytest.mark.parametrize('text, seconds', [('10ms', 0.01), ('500us', 0.0005), ('1.5 s', 1.5), ('0s', 0)])
def test_short_durations(text, seconds):
    assert clock.parse_duration(text, clock.SHORT_UNITS) == pytest.approx(seconds)
    assert clock.parse_duration(clock.format_milliseconds(seconds), clock.SHORT_UNITS) == pytest.approx(seconds)


@pytest.mark.parametrize('text', ['', 'h', '90', '1w', '-1h', '1h30m', 'one', '\u0661h', '\u00b2h', '10ms', '1H',
                                  '1.h'])
def test_parse_duration_refuses(text):
    with pytest.raises(ValueError):
        clock.parse_duration(text)


def test_a_minute_is_not_a_short_duration():
    with pytest.raises(ValueError, match='us, ms, s'):
        clock.parse_duration('1m', clock.SHORT_UNITS)


@pytest.mark.parametrize('seconds, text', [(40.4, '40 s'), (89, '89 s'), (600, '10 min'), (3600, '1 h'),
                                           (12000, '3 h 20 min')])
def test_durations_as_text(seconds, text):
    assert clock.format_duration(seconds) == text


@pytest.mark.parametrize('seconds, text', [(0, '0 s'), (119, '119 s'), (120, '2 min'), (7200, '2 h'), (200000, '2 d'),
                                           (-5, '0 s')])
def test_elapsed_time_as_text(seconds, text):
    assert clock.ago(NOW - datetime.timedelta(seconds=seconds), NOW) == text


def test_never():
    assert clock.ago(None, NOW) == '-'


@pytest.mark.parametrize('text, rate', [('100mbit', 100e6), ('1.5 Gbit', 1.5e9), ('30 Mbit/s', 30e6), ('64kbit', 64e3)])
def test_rates(text, rate):
    assert clock.parse_rate(text) == pytest.approx(rate)
    assert clock.parse_rate(clock.format_rate(rate)) == pytest.approx(rate)


@pytest.mark.parametrize('text', ['', '0', '0mbit', '100', 'mbit', '1 tbit', '-1mbit', '1mbit/m', 'mbit/s',
                                  '\u0661mbit'])
def test_parse_rate_refuses(text):
    with pytest.raises(ValueError):
        clock.parse_rate(text)
