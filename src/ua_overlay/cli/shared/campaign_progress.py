"""How far a campaign is: a bar on a terminal, a line a sample in a log."""
import threading
import time

from ua_overlay.cli.shared.terminal import fitted, width
from ua_overlay.clock import format_duration


def count(number):
    return '{} sample{}'.format(number, '' if number == 1 else 's')


class Shown:
    """Tells people how far a campaign is; the listener of run.run. A context manager: the bar goes at its end.

    :param stream: a text stream, usually sys.stderr.
    """

    #: Letters of the bar at most; a narrow terminal gets a third of its width.
    WIDTH = 24

    def __init__(self, stream, clock=time.monotonic):
        self.stream = stream
        self.clock = clock
        self.left = 0
        self._heading = ''
        #: (number, total, seconds left then, when that was, what it is) of the sample that is taken now, or None.
        self._now = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._counter = threading.Thread(target=self._count, daemon=True)

    def __enter__(self):
        if self.stream.isatty():
            self._counter.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._counter.is_alive():
            self._counter.join()
        self._show(None)

    def starting(self, step, number, total, seconds_left):
        self.left = total - number + 1
        self._heading = '[{}/{}] {}'.format(number, total, step.id)
        if self.stream.isatty():
            self._show((number, total, seconds_left, self.clock(), step.id))
        elif number == 1:
            self.line('{}, about {}'.format(count(total), format_duration(seconds_left)))

    def ended(self, found, trouble):
        self.left -= 1
        # On a terminal only what is not as it should be stays to be read.
        if not self.stream.isatty() or found['status'] != 'ok':
            self.line('{}: {}{}'.format(self._heading, found['status'], found['problem'] and '. ' + found['problem']))
        if trouble:
            self.line(trouble)
        if not self.left:
            self._show(None)

    def line(self, text):
        """A line that stays."""
        with self._lock:
            self._write(('\r\033[K' if self.stream.isatty() else '') + text + '\n')

    def _count(self):
        while not self._stop.wait(1.0):
            if self._now:
                self._show(self._now)

    def _show(self, now):
        """The bar as it is now; None takes it away."""
        with self._lock:
            self._now = now
            if self.stream.isatty():
                self._write('\r\033[K' + (self._bar(*now) if now else ''))

    def _bar(self, number, total, seconds_left, then, name):
        letters = min(self.WIDTH, width(self.stream) // 3)
        filled = letters * (number - 1) // total
        left = max(0.0, seconds_left - (self.clock() - then))
        return fitted(self.stream, '{}{} {}/{}, {} left: {}'.format(
            '#' * filled, '.' * (letters - filled), number, total, format_duration(left), name))

    def _write(self, text):
        self.stream.write(text)
        self.stream.flush()
