"""A real file system of some kilobytes, to fill and to free: what programs do when there is no room left."""
import contextlib
import os
import subprocess

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason='Only root can mount a small file system.')
_FILLER = '.filler'


class SmallFileSystem:
    """One that is mounted at ``path``."""

    def __init__(self, path):
        self.path = str(path)

    def fill(self):
        """Leave no byte free."""
        with open(os.path.join(self.path, _FILLER), 'ab', buffering=0) as stream:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        stream.write(b'x' * size)

    def free(self):
        """Make room again."""
        os.unlink(os.path.join(self.path, _FILLER))

    def names(self):
        """What is in it, without the filler."""
        return sorted(set(os.listdir(self.path)) - {_FILLER})


@contextlib.contextmanager
def small_file_system(path, size='64k'):
    """Mount a tmpfs of ``size`` at the directory ``path``, which is created; unmount it afterwards."""
    os.makedirs(str(path), exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size={},mode=755'.format(size), 'tmpfs', str(path)], check=True)
    try:
        yield SmallFileSystem(path)
    finally:
        # Lazily: a test that failed may have left a program that holds a file open.
        subprocess.run(['umount', '-l', str(path)], check=True)
