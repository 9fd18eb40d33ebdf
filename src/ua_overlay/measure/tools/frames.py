"""Count the frames of a camera's stream at both ends. Pure: clocks are passed in."""
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from ua_overlay.protocols import Clock


class Camera:
    """Takes a frame in each slot of a fixed clock, and skips a slot when it is late by a whole one.

    :param omit: number of first slots to ignore. :param seconds: duration of the others. :param rate: slots per second.
    """

    def __init__(self, omit: int, seconds: float, rate: float, clock: Clock) -> None:
        self.omit, self.rate, self.clock = omit, rate, clock
        self.count = omit + max(1, round(seconds * rate))
        self._published, self._before, self._skipped, self._bytes = 0, 0, 0, 0

    def slots(self, sleep: Callable[[float], None]) -> Iterator[int]:
        """Yield the number (from 0) of each slot with a frame, at its time."""
        start = self.clock()
        for number in range(self.count):
            early = start + number / self.rate - self.clock()
            if early > 0:
                sleep(early)
            elif -early > 1 / self.rate:
                self._skipped += number >= self.omit
                continue
            yield number

    def took(self, number: int, size: int) -> None:
        """Count a frame of ``size`` bytes that was taken in a slot."""
        self._published += 1
        if number < self.omit:
            self._before += 1
        else:
            self._bytes += size

    def numbers(self) -> Tuple[int, int]:
        """(first, last) sequence number of the counted frames, as rospy numbers them: from 1."""
        return self._before + 1, self._published

    def totals(self) -> Dict[str, int]:
        """sent: counted frames; skipped: slots without a frame; size_bytes: mean size of a frame."""
        sent = self._published - self._before
        return {'sent': sent, 'skipped': self._skipped, 'size_bytes': round(self._bytes / sent) if sent else 0}


class Viewer:
    """Counts the arriving frames of a stream. ``numbers``: the result of :meth:`Camera.numbers`, None until the end."""

    def __init__(self) -> None:
        self.numbers: Optional[Tuple[int, int]] = None
        self._frames: List[Tuple[int, float, float, int]] = []

    @property
    def count(self) -> int:
        return len(self._frames)

    @property
    def complete(self) -> bool:
        """Whether the last frame arrived."""
        return bool(self.numbers and self._frames and self._frames[-1][0] >= self.numbers[1])

    def took(self, number: int, stamp: float, now: float, size: int) -> None:
        """Count a frame that arrived: its sequence number, when it was taken and when it arrived (s), its bytes."""
        self._frames.append((number, stamp, now, size))

    def totals(self, seconds: float, rate: float) -> Dict[str, Any]:
        """The totals, once ``numbers`` is set.

        hz: frames per second over the stream, or over their arrivals if those took longer; age_ms: of each frame;
        received; gaps: frames that a later one overtook; longest_ms: the longest time without a new frame, including
        the time from the last frame to the end of a stream that broke off; bytes: of all frames.
        """
        assert self.numbers is not None
        first, last = self.numbers
        before, gaps = first - 1, 0
        counted: List[Tuple[float, float, int]] = []
        for number, stamp, now, size in list(self._frames):
            # The numbers of a stream rise; a repeated number (over a new connection) is not a new frame.
            if before < number <= last:
                gaps += number - before - 1
                before = number
                counted.append((stamp, now, size))
        times = [now for _, now, _ in counted]
        span = max(seconds, times[-1] - times[0] + 1 / rate) if times else seconds
        waits = [after - earlier for earlier, after in zip(times, times[1:])]
        waits += [seconds - (times[-1] - times[0])] if times else [seconds]
        return {'received': len(counted), 'hz': len(counted) / span, 'gaps': gaps,
                'age_ms': [round(1000 * (now - stamp), 2) for stamp, now, _ in counted],
                'longest_ms': round(1000 * max(waits), 1),
                'bytes': sum(size for _, _, size in counted)}
