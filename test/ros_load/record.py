"""What a node of the load says of itself: one JSON object a line on standard output, `t` is the Unix time."""
import json
import signal
import sys
import threading
import time

_lock = threading.Lock()
#: Set by SIGUSR1: stop publishing, say what was sent, and stay, so that the queues can drain.
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
    """Until so many are connected: nothing that is published later can have come too early for one of them."""
    while publisher.get_num_connections() < number and not finished.wait(0.05):
        pass


def sent(publisher, wait=60.0):
    """Messages of ``publisher`` that its queues handed over to TCP, by subscriber: {caller id: number}.

    rospy drops the oldest message of a full queue without a word; what is missing here was dropped. Waits until the
    queues are empty.
    """
    deadline = time.monotonic() + wait
    connections = list(publisher.impl.connections)
    before = None
    while time.monotonic() < deadline:
        # The queue is private; what a queue still holds shows as a counter that moves.
        now = [connection.stat_num_msg for connection in connections]
        if now == before and not any(connection._queue for connection in connections):
            break
        before = now
        time.sleep(0.5)
    return {connection.endpoint_id: connection.stat_num_msg for connection in connections}
