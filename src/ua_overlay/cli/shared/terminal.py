"""A status line on a terminal, overwritten in place. It fits the terminal's width: a wrapped line would remain."""
import os
import threading
from types import TracebackType
from typing import Callable, Optional, TextIO, Type

from ua_overlay.system.thread import SupervisedThread

#: Columns of a stream other than a terminal.
USUAL = 80
_LEAST = 10
#: Moves to the start of the line and erases it (ECMA-48: CR, EL).
_ERASE = '\r\033[K'


def width(stream: TextIO) -> int:
    """The current number of columns of a stream's terminal: users resize it."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL
    except (OSError, ValueError, AttributeError):
        return USUAL


def fitted(stream: TextIO, text: str, tail: str = '') -> str:
    """``text`` and ``tail`` on one line of the terminal; a ``text`` that is too long is cut."""
    room = max(width(stream), _LEAST) - 1 - len(tail)
    if len(text) > room:
        text = text[:max(0, room - 1)] + '…'
    return text + tail


class StatusLine:
    """A line that a terminal shows and renews every second; other streams show none.

    A context manager: the line disappears at its end.

    :param render: returns the current line, at most as long as the terminal is wide; '' for none.
    """

    #: Seconds.
    PERIOD = 1.0

    def __init__(self, stream: TextIO, render: Callable[[], str]) -> None:
        self.stream = stream
        self.is_terminal = stream.isatty()
        self._render = render
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = SupervisedThread('status line', self._run, restart=False)

    def __enter__(self) -> 'StatusLine':
        if self.is_terminal:
            self.renew()
            self._thread.start()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()

    def close(self, text: str = '') -> None:
        """Remove the line, and write ``text`` in its place as a permanent line."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self.is_terminal and self._thread.is_alive():
            self._thread.join()
        self._write((_ERASE if self.is_terminal else '') + (text + '\n' if text else ''))

    def renew(self) -> None:
        """Show the current line."""
        if self.is_terminal:
            with self._lock:
                self._write(_ERASE + self._render())

    def print(self, text: str) -> None:
        """Write a permanent line."""
        with self._lock:
            self._write((_ERASE if self.is_terminal else '') + text + '\n')

    def _run(self) -> None:
        while not self._stop.wait(self.PERIOD):
            try:
                self.renew()
            except OSError:
                return  # the terminal was closed; the command itself goes on

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
