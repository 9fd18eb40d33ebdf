"""Two programs of a measurement, one at each end, that wait for each other."""
import time
from typing import Callable

from ua_overlay.protocols import Clock

#: Seconds that one end waits for the other.
PATIENCE = 30.0
_POLL = 0.02


def wait(condition: Callable[[], bool], seconds: float, stopped: Callable[[], bool], clock: Clock = time.monotonic,
         sleep: Callable[[float], None] = time.sleep) -> bool:
    """Wait for at most ``seconds``, or until ``stopped()``; returns whether ``condition()`` became true."""
    deadline = clock() + seconds
    while not condition():
        if clock() > deadline or stopped():
            return False
        sleep(_POLL)
    return True
