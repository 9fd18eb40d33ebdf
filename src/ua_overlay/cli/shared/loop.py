"""The common parts of commands that run until a signal."""
import signal
import threading


def until_sigterm() -> threading.Event:
    """Return an event that SIGTERM sets. SIGTERM also raises KeyboardInterrupt in the main thread, like Ctrl-C."""
    stop = threading.Event()

    def end(_number: int, _frame: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    return stop


def say(line: str) -> None:
    """Print a line and flush it, so that a journal shows it at once."""
    print(line, flush=True)
