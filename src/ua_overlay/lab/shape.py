"""What a link does to packets: the words that people write, and plain numbers. No side effects."""
import re
from dataclasses import dataclass, fields

from ua_overlay.clock import SHORT_UNITS, format_milliseconds, format_rate, parse_duration, parse_rate
from ua_overlay.errors import UsageError

_SHARE = re.compile(r'(\d+(?:\.\d+)?)\s*%')
#: The longest delay, in seconds: more is a mistake in the unit.
LONGEST = 60.0
#: Seconds of packets that wait in front of a link with a rate, unless said otherwise: what a home router has.
QUEUE = 0.05


class ShapeError(UsageError):
    """A property of a link that makes no sense; the sentence names it."""

    code = 'LAB_LINK'


@dataclass(frozen=True)
class Shape:
    """One direction of a link; a link has the same in both.

    :ivar delay: seconds that each packet needs.
    :ivar jitter: each packet needs up to this many seconds more or less, equally likely; the order stays.
    :ivar loss: share of packets that get lost, 0 to 1, independent of each other.
    :ivar reorder: share of packets that overtake: they need no time at all.
    :ivar rate: bits per second on the wire, 0 for no limit. A packet counts with its Ethernet frame (header, checksum,
        preamble and gap: 38 bytes more than IP), so that 100 Mbit/s means what it means on a cable.
    :ivar queue: seconds of packets that may wait for their turn at that rate; what comes on top is dropped.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    rate: float = 0.0
    queue: float = QUEUE

    def __post_init__(self):
        if self.jitter > self.delay:
            raise ShapeError('A jitter of {} needs a delay of at least as much: no packet arrives before it was sent.'
                             .format(format_milliseconds(self.jitter)))

    @property
    def plain(self):
        """Whether it does nothing to packets."""
        return not (self.delay or self.loss or self.reorder or self.rate)


#: Keys of a `link` in a topology and options of `lab link set`, in the order in which they are shown.
KEYS = tuple(field.name for field in fields(Shape))


def parse(values, before=None):
    """A Shape from words.

    :param values: mapping of some of :data:`KEYS` to text: `10ms`, `1.5%`, `100mbit`; 0 or `0` for none.
    :param before: Shape that has the rest; default: the plain one.
    :raises ShapeError: naming the key.
    """
    if not isinstance(values, dict):
        raise ShapeError('link: a mapping is needed, such as {{delay: 10ms, rate: 100mbit}}, not {!r}.'.format(values))
    for key in values:
        if key not in KEYS:
            raise ShapeError('link.{} is unknown; known are {}.'.format(key, ', '.join(KEYS)))
    numbers = {key: getattr(before or Shape(), key) for key in KEYS}
    numbers.update((key, _READERS[key](key, value)) for key, value in values.items())
    return Shape(**numbers)


def _none(value):
    return not isinstance(value, bool) and value in (0, '0')


def _time(key, value):
    try:
        seconds = 0.0 if _none(value) else parse_duration(str(value), SHORT_UNITS)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= LONGEST:
        raise ShapeError('link.{}: {!r} is no time up to {:.0f} s with a unit, such as 10ms.'.format(
            key, value, LONGEST))
    return seconds


def _share(key, value):
    found = None if isinstance(value, bool) else _SHARE.fullmatch(str(value).strip())
    share = 0.0 if _none(value) else float(found.group(1)) / 100 if found else -1.0
    if not 0.0 <= share <= 1.0:
        raise ShapeError('link.{}: {!r} is no share of packets, such as 1%.'.format(key, value))
    return share


def _rate(key, value):
    try:
        return 0.0 if _none(value) else parse_rate(str(value))
    except ValueError:
        raise ShapeError('link.{}: {!r} is no rate, such as 100mbit.'.format(key, value))


_READERS = {'delay': _time, 'jitter': _time, 'loss': _share, 'reorder': _share, 'rate': _rate, 'queue': _time}


def to_words(shape):
    """What :func:`parse` reads: key -> text, without what does nothing. A plain link has no words."""
    words = {}
    for key in ('delay', 'jitter'):
        if getattr(shape, key):
            words[key] = format_milliseconds(getattr(shape, key))
    for key in ('loss', 'reorder'):
        if getattr(shape, key):
            words[key] = '{:g}%'.format(round(getattr(shape, key) * 100, 9))
    if shape.rate:
        words['rate'] = format_rate(shape.rate)
        words['queue'] = format_milliseconds(shape.queue)
    return words


def describe(shape):
    """`delay 10ms, rate 100mbit, queue 50ms`, or `plain`."""
    return ', '.join(' '.join(item) for item in to_words(shape).items()) or 'plain'
