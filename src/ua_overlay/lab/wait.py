"""Wait for a condition: the one way in which labs, their tests and benchmarks wait."""
import time

from ua_overlay.errors import OverlayError
from ua_overlay.lab import timeouts


class NotInTime(OverlayError):
    """What was waited for did not happen in time."""

    code = 'LAB_TIMEOUT'


#: After a look that took a while, wait this many times as long, up to PAUSE seconds: what is waited for needs the
#: processors, too, and a look that starts a program slows it down.
SHARE, PAUSE = 2, 2.0


def pause(poll, took):
    """Seconds until the next look, after one that took ``took`` seconds. Pure."""
    return max(poll, min(SHARE * took, PAUSE))


def wait(what, condition, seconds=timeouts.START, poll=0.1, clock=time.monotonic, sleep=time.sleep):
    """Poll ``condition`` until it returns something true, and return that.

    :param what: what is waited for, as the beginning of a sentence: 'A link DIRECT'.
    :param seconds: limit, see :mod:`ua_overlay.lab.timeouts`.
    :param poll: least seconds between two looks; after a slow look :func:`pause` makes it more.
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
