"""Notice an observer that hangs: a thread that neither fails nor reports leaves its last observation in place. Pure."""
from typing import Dict, List, Mapping, NamedTuple

#: Seconds between two checks after which this process, not an observer, was held up: stopped, or without a processor.
HELD_UP = 10.0


class Silence(NamedTuple):
    """An observer that has been silent for too long: its name, and since how many seconds."""

    name: str
    seconds: float

    def sentence(self) -> str:
        return 'The thread {} has reported nothing for {:.0f} s.'.format(self.name, self.seconds)


class Watchdog:
    """Knows when each observer reported last.

    :param limits: {name of an observer: seconds without a report after which it hangs}. Each of them reports regularly,
        also when nothing changes.
    :param now: monotonic seconds.
    """

    def __init__(self, limits: Mapping[str, float], now: float) -> None:
        self._limits = limits
        self._heard: Dict[str, float] = dict.fromkeys(limits, now)
        self._reported: Dict[str, bool] = dict.fromkeys(limits, False)
        self._checked = now

    def hear(self, name: str, now: float) -> None:
        """Take note of a report."""
        self._heard[name] = now
        self._reported[name] = False

    def check(self, now: float) -> List[Silence]:
        """Return the observers that hang, each once until it reports again."""
        if now - self._checked >= HELD_UP:
            # The observers were held up as well; a process that goes on must not find all of them silent.
            for name in self._heard:
                self._heard[name] += now - self._checked
        self._checked = now
        silent = [Silence(name, now - self._heard[name]) for name, limit in self._limits.items()
                  if now - self._heard[name] > limit and not self._reported[name]]
        for each in silent:
            self._reported[each.name] = True
        return silent
