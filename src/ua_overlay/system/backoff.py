"""Compute the pauses between attempts: doubled each time up to a limit, and reset after a success. Pure."""


class Backoff:
    """Computes each pause; the caller waits.

    :param first: the first pause, in seconds.
    :param longest: the longest pause, in seconds.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._pause = first

    def next(self) -> float:
        """Return the seconds to wait now."""
        pause = self._pause
        self._pause = min(2 * pause, self._longest)
        return pause

    def reset(self) -> None:
        """Start with the first pause again, after a success."""
        self._pause = self._first
