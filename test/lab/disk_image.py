"""A disk that loses its power: an ext4 file system in a file, of which copies are taken while programs write to it.

What reached the disk is in the file; what the kernel still kept in memory is not. A copy is what a power cut at that
moment leaves: mounting it plays the journal back, as a boot does.
"""
import contextlib
import os
import subprocess
import time

from ua_overlay.lab import kernel

#: Metadata reach the disk every second (commit), and a file that replaces another gets no write of its contents that
#: the program did not ask for (noauto_da_alloc): ext4 as strict as POSIX allows, and as other file systems are.
OPTIONS = 'loop,noauto_da_alloc,commit=1'
#: A copy that the disk wrote into meanwhile mixes two moments: it is taken again, so often.
TRIES = 200


class DiskImage:
    """A mounted file system; :meth:`cut` copies it as a power cut would leave it.

    :param directory: an empty directory of the machine.
    :param megabytes: its size; the file holds only what was written.
    :ivar mounted: where it is mounted, for this process and those that it starts.
    """

    def __init__(self, directory, megabytes=96):
        self.directory = directory
        self.image = os.path.join(directory, 'disk')
        self.mounted = os.path.join(directory, 'm')
        self.cuts = 0
        os.mkdir(self.mounted)
        with open(self.image, 'wb') as stream:
            stream.truncate(megabytes * 2**20)
        run('mkfs.ext4', '-q', '-F', self.image)
        # No other process of the machine sees the mounts, and they end with this one.
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount('', '/', '', kernel.MS_REC | kernel.MS_SLAVE)
        self.mount(self.image)

    def mount(self, image):
        run('mount', '-o', OPTIONS, image, self.mounted)

    def unmount(self):
        # Lazily: after a failure something may still use it, and the failure is what has to be seen.
        run('umount', '--lazy', self.mounted)

    @contextlib.contextmanager
    def remounted(self, image):
        """For a block, the disk that a power cut left, in the place of the one that ran; nothing may use that one."""
        self.unmount()
        self.mount(image)
        try:
            yield
        finally:
            self.unmount()
            self.mount(self.image)

    @contextlib.contextmanager
    def beside(self, image):
        """For a block, the path at which the disk that a power cut left is mounted."""
        place = os.path.join(self.directory, 'c')
        os.makedirs(place, exist_ok=True)
        run('mount', '-o', 'loop', image, place)
        try:
            yield place
        finally:
            run('umount', place)

    def cut(self):
        """Copy the disk as it is at this moment; returns the path of the copy."""
        self.cuts += 1
        path = os.path.join(self.directory, 'cut{}'.format(self.cuts))
        for _ in range(TRIES):
            before = self.writes()
            if before is not None:
                copy_sparse(self.image, path)
                if self.writes() == before:
                    return path
            time.sleep(0.002)
        raise AssertionError('The disk was written to without a pause of {} copies.'.format(TRIES))

    def writes(self):
        """How many writes the disk has completed; None while one is under way.

        Documentation/block/stat.rst: fields 5 and 16, writes and flushes; field 9, in flight.
        """
        with open('/sys/block/{}/stat'.format(os.path.basename(self.device()))) as stream:
            fields = [int(word) for word in stream.read().split()]
        return (fields[4], fields[15]) if fields[8] == 0 else None

    def device(self):
        """The loop device, as /proc/self/mountinfo names it (proc(5): mount point is field 5, source follows ' - ')."""
        with open('/proc/self/mountinfo') as stream:
            return next(line.split(' - ')[1].split()[1] for line in stream if line.split()[4] == self.mounted)

    def close(self):
        self.unmount()


def run(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, '{}: {}'.format(' '.join(argv), done.stdout)


def copy_sparse(source, target):
    """Copy what a sparse file holds."""
    with open(source, 'rb') as reading, open(target, 'wb') as writing:
        size = os.fstat(reading.fileno()).st_size
        writing.truncate(size)
        end = 0
        while end < size:
            try:
                begin = os.lseek(reading.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole is left
                return
            end = os.lseek(reading.fileno(), begin, os.SEEK_HOLE)
            while begin < end:
                begin += os.copy_file_range(reading.fileno(), writing.fileno(), end - begin, begin, begin)
