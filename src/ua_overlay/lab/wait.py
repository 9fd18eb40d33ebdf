"""Wait for a condition: the one way in which labs, their tests and benchmarks wait."""
import time

from ua_overlay.errors import OverlayError
from ua_overlay.lab import timeouts


class NotInTime(OverlayError):
    """What was waited for did not happen in time."""

    code = 'LAB_TIMEOUT'


def wait(what, condition, seconds=timeouts.START, poll=0.1, clock=time.monotonic, sleep=time.sleep):
    """Poll ``condition`` until it returns something true, and return that.

    :param what: what is waited for, as the beginning of a sentence: 'A link DIRECT'.
    :param seconds: limit, see :mod:`ua_overlay.lab.timeouts`.
    :param poll: seconds between two looks; a look that starts a program is dear, so give it a second.
    :raises NotInTime: naming ``what`` and the last value of the condition.
    """
    limit = timeouts.scaled(seconds)
    deadline = clock() + limit
    while True:
        value = condition()
        if value:
            return value
        if clock() > deadline:
            last = '' if value in (None, False) else ' The last answer was {!r}.'.format(value)
            raise NotInTime('{}: not within {:.0f} s.{}'.format(what, limit, last))
        sleep(poll)
