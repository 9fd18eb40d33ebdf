"""A line for everything that takes longer than a person likes to wait without a word."""
import contextlib
import sys
import threading
import time

from ua_overlay.cli.shared.terminal import fitted


class Progress:
    """Shows what is being done and for how long.

    On a terminal the line counts the seconds; in a log there is one line at the start and one at the end.

    :param stream: a text stream, usually sys.stderr.
    """

    def __init__(self, stream=None, clock=time.monotonic):
        self.stream = sys.stderr if stream is None else stream
        self.clock = clock

    @contextlib.contextmanager
    def __call__(self, text):
        start = self.clock()
        terminal = self.stream.isatty()
        self._write(fitted(self.stream, text, ' …') if terminal else text + ' …\n')
        stop = threading.Event()

        def count():
            while not stop.wait(1.0):
                self._write('\r' + fitted(self.stream, text, ' … {:.0f} s'.format(self.clock() - start)))

        counter = threading.Thread(target=count, daemon=True)
        if terminal:
            counter.start()
        outcome = 'failed'
        try:
            yield
            outcome = 'done'
        finally:
            stop.set()
            if terminal:
                counter.join()
            self._write('{}{}: {} in {:.1f} s\n'.format('\r' if terminal else '', text, outcome, self.clock() - start))

    def _write(self, text):
        self.stream.write(text)
        self.stream.flush()
