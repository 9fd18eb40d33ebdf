"""The shape of a link (delay, loss, rate, ...): parsed from the words in a topology or command, as numbers. Pure."""
import re
from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, Optional

from ua_overlay.clock import SHORT_UNITS, format_milliseconds, format_rate, parse_duration, parse_rate
from ua_overlay.errors import UsageError

_SHARE = re.compile(r'(\d+(?:\.\d+)?)\s*%')
#: The longest delay, in seconds: more is a mistake in the unit.
LONGEST = 60.0
#: Default for the seconds of packets that wait in front of a link with a rate: the buffer of a home router.
QUEUE = 0.05


class ShapeError(UsageError):
    """A property of a link is invalid; the sentence names it."""

    code = 'LAB_LINK'


@dataclass(frozen=True)
class Shape:
    """One direction of a link; a link has the same in both.

    :ivar delay: seconds that each packet needs.
    :ivar jitter: each packet needs up to this many seconds more or less, uniformly distributed; the order stays.
    :ivar loss: share of packets that are lost, 0 to 1, each independently.
    :ivar reorder: share of packets, 0 to 1, that skip the delay and so overtake others.
    :ivar rate: bits per second on the wire, 0 for no limit. A packet counts with its Ethernet frame (header, checksum,
        preamble and gap: 38 bytes more than IP), as on a cable.
    :ivar queue: seconds of packets that may queue at that rate; further packets are dropped.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    reorder: float = 0.0
    rate: float = 0.0
    queue: float = QUEUE

    def __post_init__(self) -> None:
        if self.jitter > self.delay:
            raise ShapeError('A jitter of {} needs a delay of at least as much: no packet arrives before it was sent.'
                             .format(format_milliseconds(self.jitter)))

    @property
    def plain(self) -> bool:
        """Whether packets pass unchanged."""
        return not (self.delay or self.loss or self.reorder or self.rate)


#: Keys of a `link` in a topology and options of `lab link set`, in the order in which they are shown.
KEYS = tuple(field.name for field in fields(Shape))


def parse(values: Any, before: Optional[Shape] = None) -> Shape:
    """Return the Shape that words describe.

    :param values: mapping of some of :data:`KEYS` to text: `10ms`, `1.5%`, `100mbit`; 0 or `0` for none.
    :param before: has the values of the other keys; default: the plain Shape.
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


def _none(value: Any) -> bool:
    return not isinstance(value, bool) and value in (0, '0')


def _time(key: str, value: Any) -> float:
    try:
        seconds = 0.0 if _none(value) else parse_duration(str(value), SHORT_UNITS)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= LONGEST:
        raise ShapeError('link.{}: {!r} is no time up to {:.0f} s with a unit, such as 10ms.'.format(
            key, value, LONGEST))
    return seconds


def _share(key: str, value: Any) -> float:
    match = None if isinstance(value, bool) else _SHARE.fullmatch(str(value).strip())
    share = 0.0 if _none(value) else float(match.group(1)) / 100 if match else -1.0
    if not 0.0 <= share <= 1.0:
        raise ShapeError('link.{}: {!r} is no share of packets, such as 1%.'.format(key, value))
    return share


def _rate(key: str, value: Any) -> float:
    try:
        return 0.0 if _none(value) else parse_rate(str(value))
    except ValueError:
        raise ShapeError('link.{}: {!r} is no rate, such as 100mbit.'.format(key, value))


_READERS: Dict[str, Callable[[str, Any], float]] = {
    'delay': _time, 'jitter': _time, 'loss': _share, 'reorder': _share, 'rate': _rate, 'queue': _time}


def to_words(shape: Shape) -> Dict[str, str]:
    """Return key -> text as :func:`parse` reads it, only of keys with an effect: {} for a plain link."""
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


def describe(shape: Shape) -> str:
    """Return `delay 10ms, rate 100mbit, queue 50ms`, or `plain`."""
    return ', '.join(' '.join(item) for item in to_words(shape).items()) or 'plain'
