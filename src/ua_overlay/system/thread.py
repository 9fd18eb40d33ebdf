"""Run a thread that somebody watches: an exception that nobody expected is logged, reported, and ends in a restart.

This is the only way in which the package starts a thread; test/unit/project/test_foreign_input.py enforces that. A
thread that dies alone leaves a daemon that publishes for ever what was true once.
"""
import logging
import os
import threading
import time
from typing import Callable, Optional, Tuple

from ua_overlay.protocols import Clock
from ua_overlay.system.backoff import Backoff

_LOG = logging.getLogger(__name__)

#: Seconds before a restart: the first pause, which doubles each time, and the longest. After a run of STABLE_AFTER
#: seconds, the next pause is the first one again.
FIRST_PAUSE, LONGEST_PAUSE, STABLE_AFTER = 1.0, 30.0, 60.0
#: Exit status of a process that ends because a thread cannot go on (EX_SOFTWARE of sysexits.h).
BROKEN = 70

#: Called in the failed thread with a sentence, before the pause.
OnFailure = Callable[[str], None]


def end_process(sentence: str) -> None:
    """End this process at once, as the OnFailure of a thread whose work cannot be started again.

    Its service manager starts it again. Nothing is cleaned up: what the thread left behind may be half done.
    """
    _LOG.critical('%s This process ends.', sentence)
    os._exit(BROKEN)


class SupervisedThread:
    """A daemon thread that is never silently dead.

    ``run`` returns when its owner wants it to; that ends the thread. When it raises, whatever it is, the traceback is
    logged, ``on_failure`` is called, and ``run`` is called again after a pause.

    :param name: of the thread, and in the sentence: 'server probe'.
    :param run: the work.
    :param on_failure: turns what the thread feeds to "not known"; :func:`end_process` where a restart is no help.
    :param restart: False for work that is done once: its failure is logged and reported only.
    :param pauses: the first and the longest pause before a restart, in seconds.
    """

    def __init__(self, name: str, run: Callable[[], None], on_failure: Optional[OnFailure] = None, restart: bool = True,
                 pauses: Tuple[float, float] = (FIRST_PAUSE, LONGEST_PAUSE), clock: Clock = time.monotonic) -> None:
        self.name = name
        self._run = run
        self._on_failure = on_failure
        self._restart = restart
        self._stop = threading.Event()
        self._clock = clock
        self._backoff = Backoff(*pauses)
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)
        #: Number of failures.
        self.failures = 0
        #: The last failure, as a sentence; '' before the first.
        self.problem = ''

    def start(self) -> 'SupervisedThread':
        """Start it, once.

        :raises RuntimeError: the system has no thread left.
        """
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the pause before a restart; a running ``run`` must be ended by its owner."""
        self._stop.set()

    def join(self, timeout: Optional[float] = None) -> bool:
        """Wait for its end, at most ``timeout`` seconds; return whether it has ended. No wait in the thread itself."""
        if self._thread is not threading.current_thread() and self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def is_current(self) -> bool:
        """Return whether the caller runs in this thread."""
        return self._thread is threading.current_thread()

    def _supervise(self) -> None:
        while not self._stop.is_set():
            began = self._clock()
            try:
                self._run()
                return
            except BaseException as error:  # SystemExit, too, would end the thread silently
                self._failed(error)
            if not self._restart:
                return
            if self._clock() - began >= STABLE_AFTER:
                self._backoff.reset()
            self._stop.wait(self._backoff.next())

    def _failed(self, error: BaseException) -> None:
        self.failures += 1
        self.problem = 'The thread {} failed: {}: {}.'.format(
            self.name, type(error).__name__, str(error).rstrip('.')[:200])
        _LOG.error('%s', self.problem, exc_info=error)
        if self._on_failure is None:
            return
        try:
            self._on_failure(self.problem)
        except Exception as second:
            _LOG.error('The report of that failure failed, too.', exc_info=second)
