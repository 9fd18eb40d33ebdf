"""Samples of a monitor that runs for months: appended like all samples, rotated, and no more kept than was agreed."""
import os
import time

from ua_overlay.measure.campaign import sample
from ua_overlay.system import files

#: Of what is kept, the file that is written now has this share at most, in size and in age.
PART = 8
#: Samples that wait in memory for a disk that is full, at most: then the oldest is given up.
WAITING = 1000
_DAY = 86400.0


class RotatingStore(sample.Store):
    """A sample.Store whose file becomes `samples-<time>.jsonl` when it is large or old; the oldest of those go.

    A rename is whole or not at all, so that a power cut at any moment leaves each sample in one file.

    :param keep_bytes, keep_seconds: how much is kept, of all files together, and for how long.
    """

    def __init__(self, directory, keep_bytes, keep_seconds, wall=time.time):
        super().__init__(directory)
        self.keep_bytes, self.keep_seconds = keep_bytes, keep_seconds
        self.wall = wall

    def open(self):
        """As sample.Store."""
        super().open()
        self._tidy()

    def keep_raw(self, identity, answer):
        """For months iperf3's own answers are left: what the samples have of them is enough."""

    def append(self, found):
        """As sample.Store."""
        trouble = super().append(found)
        del self.pending[:-WAITING]
        return trouble or self._tidy()

    def _tidy(self):
        """Rotate and forget what is due. Returns '' or why that does not work, as a sentence."""
        try:
            if self._due():
                os.rename(self.path, os.path.join(self.directory, sample.rotated_name(self.wall())))
                with open(self.path, 'ab'):
                    pass
                files.sync_directory(self.directory)
            self._forget()
        except OSError as error:
            return '{} cannot be rotated: {}.'.format(self.path, error.strerror)
        return ''

    def _due(self):
        if not os.path.getsize(self.path) or os.path.exists(
                os.path.join(self.directory, sample.rotated_name(self.wall()))):
            return False
        with open(self.path, 'rb') as stream:
            first = sample.seconds_of(stream.readline())
        return os.path.getsize(self.path) * PART >= self.keep_bytes \
            or (self.wall() - first) * PART >= self.keep_seconds

    def _forget(self):
        rotated = [os.path.join(self.directory, name) for name in sample.rotated(self.directory)]
        kept = sum(map(os.path.getsize, rotated)) + os.path.getsize(self.path)
        for path in rotated:
            if kept <= self.keep_bytes and self.wall() - os.path.getmtime(path) <= self.keep_seconds:
                break
            kept -= os.path.getsize(path)
            os.unlink(path)


def of(plan, directory, wall=time.time):
    """The store that a monitor.MonitorPlan asks for."""
    limits = plan.campaign.monitor
    return RotatingStore(directory, limits['keep_mb'] * 1e6, limits['keep_days'] * _DAY, wall)
