"""Wait for a condition. Labs, their tests and benchmarks all wait with this."""
import time
from typing import Callable, Optional, TypeVar

from ua_overlay.errors import OverlayError
from ua_overlay.lab import timeouts
from ua_overlay.protocols import Clock

Value = TypeVar('Value')


class NotInTime(OverlayError):
    """A condition did not hold in time."""

    code = 'LAB_TIMEOUT'


#: After a slow check, wait this many times as long, up to PAUSE seconds: a check that starts a program takes processor
#: time from the very thing it waits for.
SHARE, PAUSE = 2, 2.0


def pause(poll: float, took: float) -> float:
    """Return the seconds until the next check, after one that took ``took`` seconds. Pure."""
    return max(poll, min(SHARE * took, PAUSE))


def wait(what: str, condition: Callable[[], Optional[Value]], seconds: float = timeouts.START, poll: float = 0.1,
         clock: Clock = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> Value:
    """Poll ``condition`` until it returns something true, and return that.

    :param what: names the condition at the beginning of a sentence: 'A link DIRECT'.
    :param seconds: limit before scaling, see :mod:`ua_overlay.lab.timeouts`.
    :param poll: least seconds between two checks; after a slow check :func:`pause` returns more.
    :raises NotInTime: naming ``what`` and the last value of the condition.
    """
    limit = timeouts.scaled(seconds)
    deadline = clock() + limit
    while True:
        began = clock()
        value = condition()
        if value:
            return value
        ended = clock()
        if ended > deadline:
            last = '' if value in (None, False) else ' The last answer was {!r}.'.format(value)
            raise NotInTime('{}: not within {:.0f} s.{}'.format(what, limit, last))
        sleep(pause(poll, ended - began))
