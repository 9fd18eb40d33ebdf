"""The progress of a command: a line with its seconds; for a campaign, a bar with the time left."""
import contextlib
import sys
import time
from types import TracebackType
from typing import Any, Iterator, NamedTuple, Optional, TextIO, Type

from ua_overlay.cli.shared.terminal import StatusLine, fitted, width
from ua_overlay.clock import format_duration
from ua_overlay.protocols import Clock


def count(number: int) -> str:
    """`1 sample`, `2 samples`."""
    return '{} sample{}'.format(number, '' if number == 1 else 's')


class Progress:
    """Shows the current step of a command and its duration.

    A terminal shows a line that counts the seconds; a log gets a line at the start and one at the end.

    :param stream: sys.stderr by default.
    """

    def __init__(self, stream: Optional[TextIO] = None, clock: Clock = time.monotonic) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.clock = clock

    @contextlib.contextmanager
    def __call__(self, text: str) -> Iterator[None]:
        start = self.clock()

        def render() -> str:
            seconds = self.clock() - start
            return fitted(self.stream, text, ' … {:.0f} s'.format(seconds) if seconds >= 1 else ' …')

        with StatusLine(self.stream, render) as line:
            if not line.is_terminal:
                line.print(text + ' …')
            outcome = 'failed'
            try:
                yield
                outcome = 'done'
            finally:
                line.close('{}: {} in {:.1f} s'.format(text, outcome, self.clock() - start))


class _Running(NamedTuple):
    """The sample that is being taken."""

    name: str
    number: int
    total: int
    #: Of the campaign, at ``since``.
    seconds_left: float
    since: float


class CampaignProgress:
    """Shows the progress of a campaign: a bar with the time left on a terminal, a line per sample in a log.

    The listener of measure.campaign.run.run, and a context manager: the bar disappears at its end.

    :param stream: usually sys.stderr.
    """

    #: Columns of the bar; a narrow terminal gets a third of its width.
    WIDTH = 24

    def __init__(self, stream: TextIO, clock: Clock = time.monotonic) -> None:
        self.stream = stream
        self.clock = clock
        #: Samples that are not taken yet.
        self.left = 0
        self._heading = ''
        self._running: Optional[_Running] = None
        self._line = StatusLine(stream, self._render)

    def __enter__(self) -> 'CampaignProgress':
        self._line.__enter__()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self._running = None
        self._line.__exit__(kind, error, traceback)

    def starting(self, step: Any, number: int, total: int, seconds_left: float) -> None:
        """A sample is being taken: ``step`` (measure.campaign.plan.Step) is the ``number``-th of ``total``."""
        self.left = total - number + 1
        self._heading = '[{}/{}] {}'.format(number, total, step.id)
        self._running = _Running(step.id, number, total, seconds_left, self.clock())
        self._line.renew()
        if not self._line.is_terminal and number == 1:
            self.line('{}, about {}'.format(count(total), format_duration(seconds_left)))

    def ended(self, taken: Any, trouble: str) -> None:
        """A sample (measure.campaign.sample.Sample) was taken. :param trouble: why it could not be stored, or ''."""
        self.left -= 1
        # On a terminal, only failures remain.
        if not self._line.is_terminal or not taken.ok:
            self.line('{}: {}{}'.format(self._heading, taken.status, '. ' + taken.problem if taken.problem else ''))
        if trouble:
            self.line(trouble)
        if not self.left:
            self._running = None
            self._line.renew()

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self._line.print(text)

    def _render(self) -> str:
        running = self._running
        if running is None:
            return ''
        letters = min(self.WIDTH, width(self.stream) // 3)
        filled = letters * (running.number - 1) // running.total
        left = max(0.0, running.seconds_left - (self.clock() - running.since))
        return fitted(self.stream, '{}{} {}/{}, {} left: {}'.format(
            '#' * filled, '.' * (letters - filled), running.number, running.total, format_duration(left), running.name))
