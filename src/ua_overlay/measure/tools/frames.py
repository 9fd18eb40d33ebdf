"""The frames of a camera's stream, counted at both ends. Pure: clocks are passed in."""


class Camera:
    """Takes a frame in each slot of a clock that does not wait: where it was late by a whole slot, there is none.

    :param omit: so many first slots do not count. :param seconds: of those that do. :param rate: slots a second.
    :param clock: function -> seconds.
    """

    def __init__(self, omit, seconds, rate, clock):
        self.omit, self.rate, self.clock = omit, rate, clock
        self.count = omit + max(1, round(seconds * rate))
        self._published, self._before, self._skipped, self._bytes = 0, 0, 0, 0

    def slots(self, sleep):
        """The numbers of the slots (from 0) in which a frame can be taken, each when its time has come."""
        start = self.clock()
        for number in range(self.count):
            early = start + number / self.rate - self.clock()
            if early > 0:
                sleep(early)
            elif -early > 1 / self.rate:
                self._skipped += number >= self.omit
                continue
            yield number

    def took(self, number, size):
        """A frame of ``size`` bytes was taken in a slot."""
        self._published += 1
        if number < self.omit:
            self._before += 1
        else:
            self._bytes += size

    def numbers(self):
        """(first, last) sequence number of the frames that count, as rospy counts them: from 1."""
        return self._before + 1, self._published

    def totals(self):
        """sent: frames that count; skipped: slots without one; size_bytes: of a frame, mean."""
        sent = self._published - self._before
        return {'sent': sent, 'skipped': self._skipped, 'size_bytes': round(self._bytes / sent) if sent else 0}


class Viewer:
    """What arrives of a stream. ``numbers``: what :meth:`Camera.numbers` says at the end, None before."""

    def __init__(self):
        self.numbers = None
        self._frames = []

    @property
    def count(self):
        return len(self._frames)

    @property
    def complete(self):
        """Whether the last frame is there."""
        return bool(self.numbers and self._frames and self._frames[-1][0] >= self.numbers[1])

    def took(self, number, stamp, now, size):
        """A frame arrived: its sequence number, when it was taken and when it is there (s), its bytes."""
        self._frames.append((number, stamp, now, size))

    def totals(self, seconds, rate):
        """What the frames that count came to (dict).

        hz: frames a second over the stream, or over the time that they took where that was longer; age_ms: of each;
        received; gaps: frames that a later one overtook; longest_ms: the longest time without a new frame, also from
        the last to the end of a stream that broke off; bytes: of all of them.
        """
        # The numbers of a stream rise; one that comes again (a connection that was made anew) is no frame.
        first, last = self.numbers
        found, before = [], first - 1
        gaps = 0
        for number, stamp, now, size in list(self._frames):
            if before < number <= last:
                gaps += number - before - 1
                before = number
                found.append((stamp, now, size))
        times = [now for _, now, _ in found]
        span = max(seconds, times[-1] - times[0] + 1 / rate) if times else seconds
        waits = [after - one for one, after in zip(times, times[1:])]
        waits += [seconds - (times[-1] - times[0])] if times else [seconds]
        return {'received': len(found), 'hz': len(found) / span, 'gaps': gaps,
                'age_ms': [round(1000 * (now - stamp), 2) for stamp, now, _ in found],
                'longest_ms': round(1000 * max(waits), 1),
                'bytes': sum(size for _, _, size in found)}
