"""A child process that is always there: it starts again when it ends, and when another thread asks for that."""
import threading
from typing import Callable, Optional

from ua_overlay.protocols import Clock, JsonObject, Say
from ua_overlay.system.child import Child
from ua_overlay.system.restart import Restarter


class DaemonChild:
    """Keeps one child running. Only the main thread may start, step and stop it (see Child).

    :param say: prints one line.
    :param stop_timeout: seconds within which the child must exit.
    :param on_start: called after each start.
    """

    def __init__(self, child: Child, say: Say, clock: Clock, stop_timeout: float,
                 on_start: Optional[Callable[[], None]] = None) -> None:
        self._child = child
        self._say = say
        self._clock = clock
        self._stop_timeout = stop_timeout
        self._restarter = Restarter(child, on_start)
        self._asked = threading.Event()

    @property
    def pid(self) -> Optional[int]:
        """Its process id while it runs, None otherwise. Any thread may ask."""
        return self._child.pid if self._child.running() else None

    @property
    def log_problem(self) -> str:
        """Why lines of its log are being dropped, as a sentence; '' while they are written."""
        return self._child.log_problem

    def report(self) -> JsonObject:
        """Return the values that a status shows: `pid` of its last process, `restarts` after it ended."""
        return {'pid': self._child.pid, 'restarts': self._restarter.restarts}

    def start(self) -> None:
        """Start the child.

        :raises OSError: the program cannot be started.
        """
        self._restarter.start(self._clock())

    def ask_restart(self) -> None:
        """Have the next :meth:`step` restart the child. Any thread may ask."""
        self._asked.set()

    def restart(self) -> None:
        """Restart the child now; if it cannot be started, :meth:`step` tries again."""
        self._asked.clear()
        self._child.stop(self._stop_timeout)
        try:
            self.start()
        except OSError as error:
            self._say('{} cannot be started: {}.'.format(self._child.name, error.strerror or error))

    def step(self) -> None:
        """Restart the child if it ended, after growing pauses, or if somebody asked for it."""
        if self._asked.is_set():
            self.restart()
        sentence = self._restarter.step(self._clock())
        if sentence:
            self._say(sentence)

    def stop(self) -> None:
        """Stop the child."""
        self._child.stop(self._stop_timeout)
