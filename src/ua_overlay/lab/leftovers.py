"""Remove the files of labs with machines that ended without `down`: their maker was killed, or the power failed.

A lab that is taken down, or replaced by another lab of its name, leaves nothing. The files of a lab whose name is never
used again, such as that of a test, would stay in the cache for ever.
"""
import os
import shutil
from typing import Iterable, List, Set

from ua_overlay.lab import host as hosts
from ua_overlay.lab import machine_files

#: Fails while a process is in the control group: rmdir(2) refuses.
_DROP = 'set -eu\n' + machine_files.CGROUP2 + (
    'test ! -d "$1" || find "$1" -depth -type d -exec rmdir {} + 2>/dev/null\n')


def is_left(name: str, living: Set[str], seen_by: str, present: str, mounted: bool) -> bool:
    """Return whether the directory of the lab ``name`` is left over. Pure.

    A lab of another pid namespace (a container that shares the cache) is out of sight: it counts as alive until the
    machine reboots.

    :param living: names of the labs that have a host.
    :param seen_by: the lab's machine_files.seen_by, '' for none.
    :param present: this process's machine_files.seen_by.
    :param mounted: whether anything in the directory is mounted, in any namespace.
    """
    if name in living or mounted:
        return False
    return not seen_by or seen_by == present or seen_by.split()[0] != present.split()[0]


def is_mounted(directory: str, mounts: Iterable[str]) -> bool:
    """Return whether ``mounts`` (texts of /proc/PID/mountinfo) have a mount point in ``directory``. Pure."""
    mount_point = directory.replace(' ', '\\040')
    return any(line.split()[4] == mount_point or line.split()[4].startswith(mount_point + '/')
               for text in mounts for line in text.splitlines())


def sweep() -> List[str]:
    """Remove the files that belong to no living lab.

    :returns: the names of these labs.
    """
    run = machine_files.run_directory()
    if not os.path.isdir(run):
        return []
    with machine_files.locked():
        entries = [entry for entry in sorted(os.listdir(run)) if os.path.isdir(os.path.join(run, entry))]
        # Left by a sweep that was killed.
        aside = [os.path.join(run, entry) for entry in entries if entry.startswith('.')]
        swept = []
        for lab in _left([entry for entry in entries if not entry.startswith('.')]):
            # A rename takes it out of the way in one step: a new lab of this name begins with nothing.
            moved = os.path.join(run, '.{}.{}'.format(lab, os.getpid()))
            try:
                os.rename(machine_files.lab_directory(lab), moved)
            except FileNotFoundError:
                continue  # `down` removes the files last, and has just done so
            aside.append(moved)
            swept.append(lab)
    for directory in aside:
        shutil.rmtree(directory, ignore_errors=True)
    return swept


def _left(names: List[str]) -> List[str]:
    """Return those of the labs that are left over, after removing their control groups."""
    living = hosts.names_of_labs()
    names = [name for name in names if name not in living]
    # This reads many files: only when there may be something to do.
    mounts = _mounts() if names else []
    present = machine_files.seen_by()
    return [name for name in names
            if is_left(name, living, _read(os.path.join(machine_files.lab_directory(name), 'seen-by')), present,
                       is_mounted(machine_files.lab_directory(name), mounts)) and _drop_groups(name)]


def _drop_groups(lab: str) -> bool:
    """Remove the empty control groups of a lab's machines; return False if one of them has a process."""
    return all(machine_files.at_cgroups(_DROP, machine_files.cgroup(lab, name)).returncode == 0
               for name in machine_files.hosts_in(machine_files.lab_directory(lab)))


def _mounts() -> List[str]:
    """Return the text of mountinfo of every mount namespace that has a process."""
    texts = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                namespace = os.readlink('/proc/{}/ns/mnt'.format(entry))
                if namespace not in texts:
                    with open('/proc/{}/mountinfo'.format(entry)) as stream:
                        texts[namespace] = stream.read()
            except OSError:
                continue  # The process has ended, and so have its mounts.
    return list(texts.values())


def _read(path: str) -> str:
    try:
        with open(path) as stream:
            return stream.read()
    except OSError:
        return ''
