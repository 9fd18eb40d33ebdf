"""Round after round of a monitor, until somebody ends it."""
import time

from ua_overlay.measure.monitor import monitor, status


class Rounds:
    """Takes the samples of a monitor.MonitorPlan.

    :param measurement: has ``take(step)``; see measurement.Measurement.
    :param store: monitor_store.RotatingStore, open.
    :param tell: function of (sample, why it could not be written or '').
    """

    def __init__(self, plan, measurement, store, tell, clock=time.monotonic, wall=time.time, sleep=time.sleep):
        self.plan = plan
        self.measurement = measurement
        self.store = store
        self.tell = tell
        self.clock, self.wall, self.sleep = clock, wall, sleep
        self.status = status.first(plan, wall())

    def run(self, rounds=None):
        """So many rounds, None for no end; what ends it (an exception) leaves the status `stopped`."""
        begin = self.clock()
        try:
            while True:
                self._round()
                if self.status['rounds'] == rounds:
                    return
                self._say(status.WAITING)
                due = monitor.next_round(begin, self.plan.interval, self.clock())
                self.sleep(max(0.0, due - self.clock()))
        finally:
            self._say(status.STOPPED)
            self.store.flush()

    def _round(self):
        self._say(status.RUNNING)
        for step in self.plan.steps(self.wall()):
            found = self.measurement.take(step)
            trouble = self.store.append(found)
            self.status = status.after(self.status, found, trouble)
            self.tell(found, self._say(status.RUNNING) or trouble)
        self.status = dict(self.status, rounds=self.status['rounds'] + 1)

    def _say(self, state):
        self.status = dict(self.status, state=state)
        return status.write(self.store.directory, self.status, self.wall())
