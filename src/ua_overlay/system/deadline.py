"""Deadlines for calls that may hang (resolvers, unreachable masters) and cannot be interrupted."""
import threading
import time
from typing import Any, Callable, Dict, Hashable, Mapping, Optional, Tuple, TypeVar

Result = TypeVar('Result')
Key = TypeVar('Key', bound=Hashable)


class _Call:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.result: Any = None
        self.error: Optional[Exception] = None

    def run(self) -> None:
        try:
            self.result = self.function()
        except Exception as error:  # passed to the thread that waits for the call
            self.error = error
        finally:
            del self.function
            self.done.set()


class Calls:
    """Runs functions in daemon threads and waits for them with a deadline.

    getaddrinfo cannot be interrupted and may take half a minute when no name server answers. Each key has at most one
    thread: while the last call of a key still hangs, another call waits for the same thread. So a dead resolver costs a
    few idle threads, not one more with every check. The threads are daemons: they never delay the exit of a program.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Dict[Hashable, _Call] = {}

    def run(self, functions: Mapping[Key, Callable[[], Result]], seconds: float
            ) -> Dict[Key, Tuple[Optional[Result], Optional[Exception]]]:
        """Run all functions in parallel.

        :param functions: by key.
        :param seconds: deadline for all of them together.
        :returns: (result, error) by key; the error of a call that was too slow is a TimeoutError.
        """
        end = time.monotonic() + seconds
        calls = {key: self._start(key, function) for key, function in functions.items()}
        answers: Dict[Key, Tuple[Optional[Result], Optional[Exception]]] = {}
        for key, call in calls.items():
            if call.done.wait(max(0.0, end - time.monotonic())):
                answers[key] = (call.result, call.error)
                self._forget(key, call)
            else:
                answers[key] = (None, TimeoutError('no answer within {:g} s'.format(seconds)))
        return answers

    def _start(self, key: Hashable, function: Callable[[], Any]) -> _Call:
        with self._lock:
            call = self._running.get(key)
            if call is not None and not call.done.is_set():
                return call
            call = self._running[key] = _Call(function)
        threading.Thread(target=call.run, name='deadline', daemon=True).start()
        return call

    def _forget(self, key: Hashable, call: _Call) -> None:
        with self._lock:
            if self._running.get(key) is call:
                del self._running[key]


def call_within(seconds: float, function: Callable[[], Result]) -> Result:
    """Return the result of ``function``, or raise its exception.

    :raises TimeoutError: it takes longer than ``seconds``; its thread continues in the background.
    """
    call = _Call(function)
    threading.Thread(target=call.run, name='deadline', daemon=True).start()
    if not call.done.wait(max(0.0, seconds)):
        raise TimeoutError('no answer within {:g} s'.format(seconds))
    if call.error is not None:
        raise call.error
    result: Result = call.result
    return result
