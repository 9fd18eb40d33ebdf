"""The samples of a monitor that runs for months: appended as in a campaign, rotated, and limited in size and age."""
import os
import time

from ua_overlay.measure.campaign import store
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.monitor.monitor import MonitorPlan
from ua_overlay.protocols import WallClock
from ua_overlay.system import files, foreign_file

#: The current file is rotated at this fraction (1/PART) of the kept size and age.
PART = 8
#: Most samples that wait in memory while the disk is full; beyond that the oldest are dropped.
WAITING = 1000
_DAY = 86400.0


class RotatingStore(store.Store):
    """A store whose file becomes `samples-<time>.jsonl` when it is large or old. It deletes the oldest of those.

    A rename is atomic, so a power cut at any moment leaves each sample in one file.

    :param keep_bytes, keep_seconds: how much is kept, of all files together, and for how long.
    """

    def __init__(self, directory: str, keep_bytes: float, keep_seconds: float, wall: WallClock = time.time) -> None:
        super().__init__(directory)
        self.keep_bytes, self.keep_seconds = keep_bytes, keep_seconds
        self.wall = wall

    def open(self) -> None:
        """As store.Store."""
        super().open()
        self._tidy()

    def keep_raw(self, identity: str, answer: str) -> None:
        """Drop the tool's own answer: over months, its values in the samples are enough."""

    def append(self, taken: Sample) -> str:
        """As store.Store."""
        trouble = super().append(taken)
        del self.pending[:-WAITING]
        return trouble or self._tidy()

    def _tidy(self) -> str:
        """Rotate and delete what is due. Returns '' or a sentence why that failed."""
        try:
            if self._due():
                os.rename(self.path, self._rotated_path())
                with open(self.path, 'ab'):
                    pass
                files.sync_directory(self.directory)
            self._delete_oldest()
        except OSError as error:
            return '{} cannot be rotated: {}.'.format(self.path, error.strerror)
        return ''

    def _rotated_path(self) -> str:
        return os.path.join(self.directory, store.rotated_name(self.wall()))

    def _due(self) -> bool:
        size = os.path.getsize(self.path)
        if not size or os.path.exists(self._rotated_path()):
            return False
        with foreign_file.opened(self.path) as raw, os.fdopen(os.dup(raw.fileno()), 'rb') as stream:
            first = store.started_of(stream.readline(store.LONGEST_LINE))
        return size * PART >= self.keep_bytes or (self.wall() - first) * PART >= self.keep_seconds

    def _delete_oldest(self) -> None:
        rotated = [os.path.join(self.directory, name) for name in store.rotated(self.directory)]
        kept = sum(map(os.path.getsize, rotated)) + os.path.getsize(self.path)
        for path in rotated:
            if kept <= self.keep_bytes and self.wall() - os.path.getmtime(path) <= self.keep_seconds:
                break
            kept -= os.path.getsize(path)
            os.unlink(path)


def of_plan(plan: MonitorPlan, directory: str, wall: WallClock = time.time) -> RotatingStore:
    """The store for a MonitorPlan."""
    return RotatingStore(directory, plan.limits.keep_mb * 1e6, plan.limits.keep_days * _DAY, wall)
