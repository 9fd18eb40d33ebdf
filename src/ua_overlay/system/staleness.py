"""Notice that a thread of a daemon hangs: what it observed last is not known to be true any more."""
import time

from ua_overlay.protocols import Clock, JsonObject


class Staleness:
    """When something was observed last.

    :param limit: seconds without an observation after which the thread that makes them hangs.
    """

    def __init__(self, limit: float, clock: Clock = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._seen = clock()

    def seen(self) -> None:
        """Take note of an observation, whatever it was."""
        self._seen = self._clock()

    def sentence(self, what: str) -> str:
        """Return '' or why nothing is known: 'The thread relay keeper hangs: it did nothing for 310 s.'

        :param what: the subject of the sentence.
        """
        silent = self._clock() - self._seen
        return '' if silent <= self._limit else '{} hangs: it did nothing for {:.0f} s.'.format(what, silent)

    def judge(self, report: JsonObject, what: str) -> JsonObject:
        """Return a report with `state` and `ok` that the thread ``what`` made; both say so if it hangs."""
        hangs = self.sentence(what)
        return dict(report, state='unknown: ' + hangs, ok=False) if hangs else report
