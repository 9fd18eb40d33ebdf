"""A queue of requests from signal handlers and other threads to the main thread of a program."""
import contextlib
import queue
import signal
import threading
from types import FrameType
from typing import Iterator, Mapping, Optional


class Request:
    """One request; the sender can wait until it is done.

    :ivar name: the requested operation.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._done = threading.Event()
        self._worked = False

    def finish(self, worked: bool) -> None:
        """Notify the waiting sender that the request is done, and whether it succeeded."""
        self._worked = worked
        self._done.set()

    def wait(self, timeout: float) -> bool:
        """Wait for at most ``timeout`` seconds; return whether the request is done and succeeded."""
        return self._done.wait(timeout) and self._worked


class Requests:
    """The pending requests of the main thread."""

    def __init__(self) -> None:
        # A SimpleQueue, because its put may interrupt its own get: a signal handler may call it.
        self._queue: 'queue.SimpleQueue[Request]' = queue.SimpleQueue()

    def add(self, name: str) -> Request:
        """Request ``name``; callable from any thread and from a signal handler."""
        request = Request(name)
        self._queue.put(request)
        return request

    def take(self, timeout: float) -> Optional[Request]:
        """Return the next request; None when there is none within ``timeout`` seconds."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    @contextlib.contextmanager
    def from_signals(self, names: Mapping[signal.Signals, str]) -> Iterator[None]:
        """Within this context, add a request for each of these signals. Only the main thread may enter it.

        :param names: the operation to request, by signal.
        """
        def ask(number: int, _frame: Optional[FrameType]) -> None:
            self.add(names[signal.Signals(number)])

        before = {number: signal.signal(number, ask) for number in names}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
