"""Starts a child process again when it ends."""

#: Pause before a crashed child is started again: doubled each time, up to the second number.
RESTART_PAUSES = (1.0, 30.0)
#: A child that ran this long starts with the short pause again.
STABLE_AFTER = 60.0


class Restarter:
    """Starts one child again when it ends, with growing pauses. Driven by :meth:`step`; no clock of its own."""

    def __init__(self, child, on_start=None):
        self.child = child
        self.restarts = 0
        self._on_start = on_start
        self._pause = RESTART_PAUSES[0]
        self._started = None
        self._due = None

    def start(self, now):
        self.child.start()
        self._started, self._due = now, None
        if self._on_start is not None:
            self._on_start()

    def step(self, now):
        """Look at the child at monotonic time ``now``; returns a sentence when something happened, else None."""
        if self._started is None or self.child.running():
            return None
        if self._due is None:
            if now - self._started > STABLE_AFTER:
                self._pause = RESTART_PAUSES[0]
            self._due = now + self._pause
            sentence = '{} ended (exit status {}); next start in {:.0f} s.'.format(
                self.child.name, self.child.exit_code(), self._pause)
            self._pause = min(self._pause * 2, RESTART_PAUSES[1])
            return sentence
        if now < self._due:
            return None
        self.restarts += 1
        self.start(now)
        return '{} started again.'.format(self.child.name)
