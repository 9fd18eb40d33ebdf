"""What machines of a lab have outside the lab's directory: files in the cache, and control groups.

    <cache>/machines/run/<lab>/<host>/upper work root      what a machine changed, over its base system
    <cache>/machines/run/<lab>/ssh/                        see :mod:`ua_overlay.lab.machine_ssh`
    <cache>/machines/run/<lab>/seen-by                     boot and pid namespace whose processes see the lab's
    <cache>/machines/run/.lock                             held while a lab's directory is made or swept
"""
import contextlib
import fcntl
import os
import shutil
import subprocess
from typing import Any, Iterator, List

from ua_overlay.lab import kernel
from ua_overlay.toolchain.find import cache_dir

#: Seconds for killed processes to end, on a busy machine.
PATIENCE = 120.0
#: Mounts cgroup2 over the old hierarchies that some machines still have: a current systemd refuses those.
CGROUP2 = 'test -e /sys/fs/cgroup/cgroup.controllers || mount -t cgroup2 cgroup2 /sys/fs/cgroup\n'
#: Kills every process in the control group $1 and removes it; cgroup.events changes when the last process is gone.
_REMOVE = 'set -eu\n' + CGROUP2 + '''\
test -d "$1" || exit 0
echo 1 >"$1/cgroup.kill"
while grep -q "populated 1" "$1/cgroup.events"; do sleep 0.05; done
find "$1" -depth -type d -exec rmdir {} +
'''
_GONE = CGROUP2 + 'test ! -e "$1"\n'


def run_directory() -> str:
    """Return the directory that has one directory per lab with machines."""
    return os.path.join(cache_dir(), 'machines', 'run')


def lab_directory(lab: str) -> str:
    """Return the directory of the machines of the lab called ``lab``."""
    return os.path.join(run_directory(), lab)


def make_lab_directory(lab: str) -> None:
    """Make the directory of a lab whose hosts run: no sweep (lab.leftovers) removes it while they do."""
    with locked():
        os.makedirs(lab_directory(lab), mode=0o755, exist_ok=True)
        with open(os.path.join(lab_directory(lab), 'seen-by'), 'w') as stream:
            stream.write(seen_by())


def seen_by() -> str:
    """Return this boot and pid namespace: a process in another one does not see the lab's processes."""
    return '{} {}\n'.format(kernel.boot_id(), os.readlink('/proc/self/ns/pid'))


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the lock on the directories in :func:`run_directory`."""
    os.makedirs(run_directory(), mode=0o755, exist_ok=True)
    with open(os.path.join(run_directory(), '.lock'), 'a') as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def machine_directory(lab: str, host: str) -> str:
    """Return the directory of a machine's files."""
    return os.path.join(lab_directory(lab), host)


def cgroup(lab: str, host: str) -> str:
    """Return the path of a machine's control group."""
    return '/sys/fs/cgroup/ua-{}-{}'.format(lab, host)


def remove_machine(lab: str, host: str) -> None:
    """Kill a machine's processes and remove its control group and files, whatever state it is in."""
    at_cgroups(_REMOVE, cgroup(lab, host)).check_returncode()
    shutil.rmtree(machine_directory(lab, host), ignore_errors=True)


def remove_all(lab: str) -> None:
    """Remove every machine of a lab, and the files that they share."""
    directory = lab_directory(lab)
    if os.path.isdir(directory):
        for host in hosts_in(directory):
            remove_machine(lab, host)
        # A sweep may remove it at the same time.
        shutil.rmtree(directory, onerror=_ignore_missing)


def hosts_in(directory: str) -> List[str]:
    """Return the names of the hosts that have a machine's files in ``directory``."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(host for host in os.listdir(directory) if os.path.isdir(os.path.join(directory, host, 'upper')))
    return []


def _ignore_missing(_function: Any, _path: str, error: Any) -> None:
    if not issubclass(error[0], FileNotFoundError):
        raise error[1]


def is_gone(lab: str, host: str) -> bool:
    """Return whether no process of a machine is left: its control group does not exist."""
    return at_cgroups(_GONE, cgroup(lab, host)).returncode == 0


def at_cgroups(script: str, path: str) -> 'subprocess.CompletedProcess[bytes]':
    """Run a shell script in a new mount namespace, with the path of a control group as $1."""
    return subprocess.run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', path],
                          timeout=PATIENCE)
