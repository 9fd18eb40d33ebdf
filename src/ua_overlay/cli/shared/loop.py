"""What commands that run until they are stopped have in common."""
import signal
import threading


def until_sigterm() -> threading.Event:
    """Return an event that SIGTERM sets; the main thread gets KeyboardInterrupt then, as from Ctrl-C."""
    stop = threading.Event()

    def end(_number: int, _frame: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    return stop


def say(line: str) -> None:
    """Print a line that a journal shows at once."""
    print(line, flush=True)
