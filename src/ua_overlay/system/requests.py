"""What signal handlers and other threads ask the main thread of a program to do, in the order of asking."""
import contextlib
import queue
import signal
import threading
from types import FrameType
from typing import Iterator, Mapping, Optional


class Request:
    """One request; whoever made it can wait until it is done.

    :ivar name: what to do.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._done = threading.Event()
        self._worked = False

    def finish(self, worked: bool) -> None:
        """Tell whoever waits that the request is done, and whether it worked."""
        self._worked = worked
        self._done.set()

    def wait(self, timeout: float) -> bool:
        """Wait for at most ``timeout`` seconds; return whether the request is done and worked."""
        return self._done.wait(timeout) and self._worked


class Requests:
    """The requests that the main thread has not taken yet."""

    def __init__(self) -> None:
        # A SimpleQueue, because its put may interrupt its own get: a signal handler may call it.
        self._queue: 'queue.SimpleQueue[Request]' = queue.SimpleQueue()

    def add(self, name: str) -> Request:
        """Ask for ``name``; may be called from any thread, and from a signal handler."""
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
        """Inside, add a request whenever one of these signals comes. Only the main thread may enter.

        :param names: what to ask for, by signal.
        """
        def ask(number: int, _frame: Optional[FrameType]) -> None:
            self.add(names[signal.Signals(number)])

        before = {number: signal.signal(number, ask) for number in names}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
