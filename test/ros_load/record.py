"""The records of a node of the load: one JSON object a line on standard output; `t` is the Unix time."""
import json
import signal
import sys
import threading
import time

_lock = threading.Lock()
#: Set by SIGUSR1: stop publishing, record what was sent, and stay, so that the queues can drain.
finished = threading.Event()


def record(**fields):
    line = json.dumps(dict(fields, t=time.time()))
    with _lock:
        sys.stdout.write(line + '\n')
        sys.stdout.flush()


def finish_on_signal():
    """Call from the main thread, before the first message."""
    signal.signal(signal.SIGUSR1, lambda *_: finished.set())


def wait_for_subscribers(publisher, number):
    """Return when ``number`` subscribers are connected, so that no message comes too early for one of them."""
    while publisher.get_num_connections() < number and not finished.wait(0.05):
        pass


def sent(publisher):
    """How many messages the queues of a publisher have handed over to TCP so far: {subscriber: number}.

    rospy drops the oldest message of a full queue without a word: once the queues are empty, what is missing here was
    dropped.
    """
    return {connection.endpoint_id: connection.stat_num_msg for connection in list(publisher.impl.connections)}
