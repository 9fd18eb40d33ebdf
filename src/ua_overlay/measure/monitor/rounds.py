"""Run the rounds of a monitor until a signal or an error ends it."""
import time
from typing import Callable, Optional

from ua_overlay.measure.campaign.run import Takes
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.campaign.store import Store
from ua_overlay.measure.monitor import monitor, status
from ua_overlay.measure.monitor.monitor import MonitorPlan
from ua_overlay.protocols import Clock, WallClock


class Rounds:
    """Takes the samples of a MonitorPlan.

    :param store: open.
    :param tell: function of (sample, why it could not be written or '').
    """

    def __init__(self, plan: MonitorPlan, measurement: Takes, store: Store, tell: Callable[[Sample, str], None],
                 clock: Clock = time.monotonic, wall: WallClock = time.time,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self.plan = plan
        self.measurement = measurement
        self.store = store
        self.tell = tell
        self.clock, self.wall, self.sleep = clock, wall, sleep
        self.status = status.first(plan, wall())

    def run(self, rounds: Optional[int] = None) -> None:
        """Take this many rounds, None for no limit. If an exception ends the run, the state is `stopped`."""
        begin = self.clock()
        try:
            while True:
                self._round()
                if self.status['rounds'] == rounds:
                    return
                self._write_status(status.WAITING)
                due = monitor.next_round(begin, self.plan.interval, self.clock())
                self.sleep(max(0.0, due - self.clock()))
        finally:
            self._write_status(status.STOPPED)
            self.store.flush()

    def _round(self) -> None:
        self._write_status(status.RUNNING)
        for step in self.plan.steps(self.wall()):
            taken = self.measurement.take(step)
            trouble = self.store.append(taken)
            self.status = status.after(self.status, taken, trouble)
            self.tell(taken, self._write_status(status.RUNNING) or trouble)
        self.status = dict(self.status, rounds=self.status['rounds'] + 1)

    def _write_status(self, state: str) -> str:
        self.status = dict(self.status, state=state)
        return status.write(self.store.directory, self.status, self.wall())
