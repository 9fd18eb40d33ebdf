"""Pauses between tries: doubled each time up to the longest; after a success the first one again. Pure."""


class Backoff:
    """Counts the tries; whoever tries waits.

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
        """Begin with the first pause again: a try succeeded."""
        self._pause = self._first
