"""Restart a child process when it exits."""
from typing import Callable, Generic, Optional, Protocol, TypeVar

from ua_overlay.system.backoff import Backoff

#: Seconds before a crashed child is restarted: the first pause, which doubles each time, and the longest.
RESTART_PAUSES = (1.0, 30.0)
#: After a run of this many seconds, the next pause is the first one again.
STABLE_AFTER = 60.0


class Startable(Protocol):
    """The child of a :class:`Restarter`; system.child.Child implements it."""

    name: str

    def start(self) -> None:
        ...

    def running(self) -> bool:
        ...

    def exit_code(self) -> Optional[int]:
        ...


AnyChild = TypeVar('AnyChild', bound=Startable)


class Restarter(Generic[AnyChild]):
    """Restarts one child when it exits, after growing pauses. Driven by :meth:`step`; it reads no clock.

    :param on_start: called after each start.
    """

    def __init__(self, child: AnyChild, on_start: Optional[Callable[[], None]] = None) -> None:
        self.child = child
        #: Number of restarts.
        self.restarts = 0
        self._on_start = on_start
        self._backoff = Backoff(*RESTART_PAUSES)
        self._started: Optional[float] = None
        self._due: Optional[float] = None

    def start(self, now: float) -> None:
        """Start the child at monotonic time ``now``.

        :raises OSError: as Child.start.
        """
        self.child.start()
        self._started, self._due = now, None
        if self._on_start is not None:
            self._on_start()

    def step(self, now: float) -> Optional[str]:
        """Restart the child if that is due at monotonic time ``now``; return a sentence if something happened."""
        if self._started is None or self.child.running():
            return None
        if self._due is None:
            if now - self._started > STABLE_AFTER:
                self._backoff.reset()
            pause = self._backoff.next()
            self._due = now + pause
            return '{} ended (exit status {}); next start in {:.0f} s.'.format(
                self.child.name, self.child.exit_code(), pause)
        if now < self._due:
            return None
        self.restarts += 1
        try:
            self.start(now)
        except OSError as error:
            # The system has no process or no memory left, or the program is being replaced: try again.
            pause = self._backoff.next()
            self._due = now + pause
            return '{} cannot be started: {}; next start in {:.0f} s.'.format(
                self.child.name, error.strerror or error, pause)
        return '{} started again.'.format(self.child.name)
