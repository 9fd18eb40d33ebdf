"""What is left of labs with machines whose end nobody saw: their maker was killed, or the machine lost its power.

A lab that is taken down, or that another one of its name replaces, leaves nothing. One whose name never comes again, as
those of tests, would keep its files in the cache for ever.
"""
import os
import shutil

from ua_overlay.lab import host as hosts
from ua_overlay.lab import machine_files

#: Fails while a process is in the control group: rmdir(2) refuses.
_DROP = 'set -eu\n' + machine_files.CGROUP2 + (
    'test ! -d "$1" || find "$1" -depth -type d -exec rmdir {} + 2>/dev/null\n')


def is_left(name, living, seen_by, present, mounted):
    """Whether the directory of the lab ``name`` belongs to nobody. Pure.

    :param living: names of the labs of which a host is there.
    :param seen_by: what the lab wrote down of itself, '' for nothing (older versions wrote none).
    :param present: the same of this process: of a lab that was made elsewhere (in a container that shares the cache) it
        knows nothing, unless the machine was started anew since.
    :param mounted: whether something in the directory is mounted, in whatever namespace.
    """
    if name in living or mounted:
        return False
    return not seen_by or seen_by == present or seen_by.split()[0] != present.split()[0]


def is_mounted(directory, mounts):
    """Whether a line of ``mounts`` (texts of /proc/PID/mountinfo) has its mount point in ``directory``. Pure."""
    mount_point = directory.replace(' ', '\\040')
    return any(line.split()[4] == mount_point or line.split()[4].startswith(mount_point + '/')
               for text in mounts for line in text.splitlines())


def sweep():
    """Remove what belongs to no living lab.

    :returns: names of the labs whose files went.
    """
    run = machine_files.run_directory()
    if not os.path.isdir(run):
        return []
    with machine_files.locked():
        entries = [entry for entry in sorted(os.listdir(run)) if os.path.isdir(os.path.join(run, entry))]
        # Somebody who swept was killed before these were gone.
        aside = [os.path.join(run, entry) for entry in entries if entry.startswith('.')]
        swept = _left([entry for entry in entries if not entry.startswith('.')])
        for lab in swept:
            # Out of the way in one step: a new lab of this name begins with nothing.
            aside.append(os.path.join(run, '.{}.{}'.format(lab, os.getpid())))
            os.rename(machine_files.lab_directory(lab), aside[-1])
    for directory in aside:
        shutil.rmtree(directory, ignore_errors=True)
    return swept


def _left(names):
    """Which of these labs nobody has any more; their control groups are gone then."""
    living = hosts.names_of_labs()
    names = [name for name in names if name not in living]
    # Many files: only when there may be something to do.
    mounts = _mounts() if names else []
    present = machine_files.seen_by()
    return [name for name in names
            if is_left(name, living, _read(os.path.join(machine_files.lab_directory(name), 'seen-by')), present,
                       is_mounted(machine_files.lab_directory(name), mounts)) and _drop_groups(name)]


def _drop_groups(lab):
    """Remove the empty control groups of its machines; False while there is a process in one of them."""
    return all(machine_files.at_cgroups(_DROP, machine_files.cgroup(lab, name)).returncode == 0
               for name in machine_files.hosts_in(machine_files.lab_directory(lab)))


def _mounts():
    """The text of mountinfo of every mount namespace that a process is in."""
    found = {}
    for entry in os.listdir('/proc'):
        if entry.isdigit():
            try:
                namespace = os.readlink('/proc/{}/ns/mnt'.format(entry))
                if namespace not in found:
                    with open('/proc/{}/mountinfo'.format(entry)) as stream:
                        found[namespace] = stream.read()
            except OSError:
                continue  # It ended meanwhile, and what it had mounted with it.
    return list(found.values())


def _read(path):
    try:
        with open(path) as stream:
            return stream.read()
    except OSError:
        return ''
