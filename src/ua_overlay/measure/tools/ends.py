"""Two programs of a measurement, one at each end, that wait for one another."""
import time

#: Seconds that one end waits for the other.
PATIENCE = 30.0


def wait(condition, seconds, stopped, clock=time.monotonic, sleep=time.sleep):
    """Whether ``condition()`` became true within ``seconds``, and before ``stopped()`` did."""
    deadline = clock() + seconds
    while not condition():
        if clock() > deadline or stopped():
            return False
        sleep(0.02)
    return True
