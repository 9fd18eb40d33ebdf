"""Calls that may hang (resolvers, masters behind a black hole), with a deadline that holds."""
import threading
import time


class _Call:
    def __init__(self, function):
        self.function = function
        self.done = threading.Event()
        self.result = None
        self.error = None

    def run(self):
        try:
            self.result = self.function()
        except Exception as error:  # handed to whoever waits for the call
            self.error = error
        finally:
            self.function = None
            self.done.set()


class Calls:
    """Runs functions in daemon threads and waits for them no longer than asked.

    getaddrinfo cannot be interrupted and may take half a minute when no name server answers. Each key has at most one
    thread: asking again while the last call of that key still hangs waits for that one, so a dead resolver costs a
    few idle threads and not one more with every check. The threads are daemons: they never delay the end of a program.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._running = {}

    def run(self, functions, seconds):
        """Run all of ``functions`` ({key: callable}) side by side.

        :param seconds: deadline for all of them together.
        :returns: {key: (result, error)}; the error of a call that was too slow is a TimeoutError.
        """
        end = time.monotonic() + seconds
        calls = {key: self._start(key, function) for key, function in functions.items()}
        answers = {}
        for key, call in calls.items():
            if call.done.wait(max(0.0, end - time.monotonic())):
                answers[key] = (call.result, call.error)
                self._forget(key, call)
            else:
                answers[key] = (None, TimeoutError('no answer within {:g} s'.format(seconds)))
        return answers

    def _start(self, key, function):
        with self._lock:
            call = self._running.get(key)
            if call is not None and not call.done.is_set():
                return call
            call = self._running[key] = _Call(function)
        threading.Thread(target=call.run, name='deadline', daemon=True).start()
        return call

    def _forget(self, key, call):
        with self._lock:
            if self._running.get(key) is call:
                del self._running[key]
