"""A wall clock of one's own for programs of a test, which the test sets while they run.

Never the machine's clock: every lab and every other program of the machine has the same one. libfaketime shares its
state between processes by names that two users' programs on hosts of a lab cannot both have.
"""
import os
import struct
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'shifted_clock.c')
DAY = 86400


class ShiftedClock:
    """Programs with :attr:`environment` have a clock that is off by :meth:`set` seconds.

    Not those that ask the kernel themselves, such as Go's.

    :param directory: of the machine and of the hosts, readable for everybody.
    """

    def __init__(self, directory):
        self._library = os.path.join(directory, 'shifted_clock.so')
        self._file = os.path.join(directory, 'shifted_clock.seconds')
        subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-o', self._library, SOURCE, '-ldl'], check=True)
        self.set(0)
        os.chmod(self._file, 0o644)
        self.environment = {'LD_PRELOAD': self._library, 'SHIFTED_CLOCK': self._file}

    def set(self, seconds):
        """Have the clock jump."""
        # In place: the programs have mapped the file.
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT)
        os.pwrite(handle, struct.pack('=q', int(seconds)), 0)
        os.close(handle)
