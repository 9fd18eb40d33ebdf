"""Parse and format moments, durations and rates. Pure, except for :func:`utc_now`.

Moments are aware datetimes in UTC, durations are seconds, rates are bits per second.
"""
import datetime
import re
from typing import Dict, Optional, Sequence

UTC = datetime.timezone.utc

_RFC3339 = re.compile(r'(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)', re.ASCII)
_NUMBER = re.compile(r'(\d+(?:\.\d+)?)\s*([a-z/]*)', re.ASCII)
#: Seconds in each unit that people write.
_SECONDS: Dict[str, float] = {'us': 1e-6, 'ms': 1e-3, 's': 1.0, 'm': 60.0, 'h': 3600.0, 'd': 86400.0}
#: Units of :func:`parse_duration`, for delays on a link and for lifetimes.
SHORT_UNITS = ('us', 'ms', 's')
LONG_UNITS = ('s', 'm', 'h', 'd')
#: Bits per second in each unit, as tc(8) and iperf3 write them.
_BITS: Dict[str, float] = {'kbit': 1e3, 'mbit': 1e6, 'gbit': 1e9}


def utc_now() -> datetime.datetime:
    """Return this machine's time."""
    return datetime.datetime.now(UTC)


def from_unix(seconds: float) -> datetime.datetime:
    """Return the moment that is ``seconds`` after 1970."""
    return datetime.datetime.fromtimestamp(seconds, UTC)


def parse_rfc3339(text: str) -> datetime.datetime:
    """Parse '2026-11-22T19:04:01.438727123Z' or '2026-11-22 20:04:01+01:00'; digits after the sixth are dropped.

    :raises ValueError: it is not an RFC 3339 time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError('{!r} is not an RFC 3339 time'.format(text))
    date, time, fraction, zone = match.groups()
    # Up to Python 3.10 fromisoformat accepts only 3 or 6 digits of a second, and no Z.
    moment = datetime.datetime.fromisoformat('{}T{}.{}{}'.format(
        date, time, ((fraction or '') + '000000')[:6], '+00:00' if zone in 'Zz' else zone))
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first and the last day of the calendar, in a zone
        raise ValueError('{!r} is outside the calendar'.format(text)) from None


def parse_go_time(text: Optional[str]) -> Optional[datetime.datetime]:
    """Parse a time in Go's JSON; return None for a missing one and for Go's zero time (the year 1).

    :raises ValueError: it is not an RFC 3339 time.
    """
    return None if not text or text.startswith('0001-01-01T') else parse_rfc3339(text)


def format_rfc3339(moment: datetime.datetime, digits: int = 0) -> str:
    """Format as '2026-11-22T19:04:01Z', in UTC.

    :param digits: of the fraction of a second, 0 to 6; further digits are truncated.
    """
    utc = moment.astimezone(UTC)
    fraction = '.{:06d}'.format(utc.microsecond)[:digits + 1] if digits else ''
    return utc.strftime('%Y-%m-%dT%H:%M:%S') + fraction + 'Z'


def format_utc(moment: datetime.datetime) -> str:
    """Format for people: '2026-11-22 19:04:01 UTC'."""
    return moment.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S UTC')


def file_stamp(moment: datetime.datetime) -> str:
    """Format as part of a file name that sorts by time: '20261122T190401Z'."""
    return moment.astimezone(UTC).strftime('%Y%m%dT%H%M%SZ')


def parse_duration(text: str, units: Sequence[str] = LONG_UNITS) -> float:
    """Parse '90s', '30m', '1.5 h' or '2d' to seconds; with SHORT_UNITS '10ms' or '500us'.

    :param units: allowed units; one is mandatory.
    :raises ValueError: it is not a number with such a unit.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match.group(2) not in units:
        raise ValueError('{!r} is not a duration in one of the units {}'.format(text, ', '.join(units)))
    return float(match.group(1)) * _SECONDS[match.group(2)]


def format_milliseconds(seconds: float) -> str:
    """Format a short duration as :func:`parse_duration` reads it: '10ms', '0.5ms'."""
    return '{:g}ms'.format(round(seconds * 1e3, 9))


def format_duration(seconds: float) -> str:
    """Format for people: '40 s', '12 min', '3 h 20 min'."""
    if seconds < 90:
        return '{:.0f} s'.format(seconds)
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return ' '.join('{} {}'.format(*item) for item in ((hours, 'h'), (minutes, 'min')) if item[0])


def ago(moment: Optional[datetime.datetime], now: datetime.datetime) -> str:
    """Format the time from ``moment`` to ``now`` in one unit: '12 s', '5 min', '3 h', '2 d'; '-' for None."""
    if moment is None:
        return '-'
    seconds = max(0, int((now - moment).total_seconds()))
    for limit, divisor, unit in ((120, 1, 's'), (7200, 60, 'min'), (172800, 3600, 'h')):
        if seconds < limit:
            return '{} {}'.format(seconds // divisor, unit)
    return '{} d'.format(seconds // 86400)


def parse_rate(text: str) -> float:
    """Parse '100mbit', '1.5 Gbit' or '30 Mbit/s' to bits per second, greater than 0.

    :raises ValueError: it is not such a rate.
    """
    match = _NUMBER.fullmatch(text.strip().lower())
    unit = '' if match is None else match.group(2)[:-2] if match.group(2).endswith('/s') else match.group(2)
    if match is None or unit not in _BITS or not float(match.group(1)):
        raise ValueError('{!r} is not a rate such as 100mbit'.format(text))
    return float(match.group(1)) * _BITS[unit]


def format_rate(rate: float) -> str:
    """Format a rate as :func:`parse_rate` reads it: '100mbit'."""
    return '{:g}mbit'.format(round(rate / 1e6, 9))
