"""What machines of a lab keep outside their lab: files in the cache, and control groups.

    <cache>/machines/run/<lab>/<host>/upper work root      what a machine changed, over its base system
    <cache>/machines/run/<lab>/ssh/                        see :mod:`ua_overlay.lab.machine_ssh`
    <cache>/machines/run/<lab>/seen-by                     which processes can tell whether the lab lives
    <cache>/machines/run/.lock                             held while a lab's directory appears or is swept away
"""
import contextlib
import fcntl
import os
import shutil
import subprocess

from ua_overlay.lab import kernel
from ua_overlay.toolchain.find import cache_dir

#: Seconds for the end of what was killed, on a busy machine.
PATIENCE = 120.0
#: Mounted over what is there: a systemd of today refuses the old hierarchies that some machines still have.
CGROUP2 = 'test -e /sys/fs/cgroup/cgroup.controllers || mount -t cgroup2 cgroup2 /sys/fs/cgroup\n'
#: Kills what is left in the cgroup of that path and removes it; cgroup.events changes when the last process is gone.
_REMOVE = 'set -eu\n' + CGROUP2 + '''\
test -d "$1" || exit 0
echo 1 >"$1/cgroup.kill"
while grep -q "populated 1" "$1/cgroup.events"; do sleep 0.05; done
find "$1" -depth -type d -exec rmdir {} +
'''
_GONE = CGROUP2 + 'test ! -e "$1"\n'


def run_directory():
    """Where every lab with machines has its directory."""
    return os.path.join(cache_dir(), 'machines', 'run')


def lab_directory(lab):
    """Where the machines of the lab called ``lab`` keep their files."""
    return os.path.join(run_directory(), lab)


def make_lab_directory(lab):
    """Make it for a lab whose hosts are there: from then on nobody sweeps it away."""
    with locked():
        os.makedirs(lab_directory(lab), mode=0o755, exist_ok=True)
        with open(os.path.join(lab_directory(lab), 'seen-by'), 'w') as stream:
            stream.write(seen_by())


def seen_by():
    """Boot and process namespace: who is in another one does not see this lab's processes."""
    return '{} {}\n'.format(kernel.boot_id(), os.readlink('/proc/self/ns/pid'))


@contextlib.contextmanager
def locked():
    """One process at a time decides over the directories in :func:`run_directory`."""
    os.makedirs(run_directory(), mode=0o755, exist_ok=True)
    with open(os.path.join(run_directory(), '.lock'), 'a') as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def machine_directory(lab, host):
    return os.path.join(lab_directory(lab), host)


def cgroup(lab, host):
    """Path of a machine's control group."""
    return '/sys/fs/cgroup/ua-{}-{}'.format(lab, host)


def remove_machine(lab, host):
    """The end of a machine's processes, control group and files, whatever state it is in."""
    at_cgroups(_REMOVE, cgroup(lab, host)).check_returncode()
    shutil.rmtree(machine_directory(lab, host), ignore_errors=True)


def remove_all(lab):
    """:func:`remove_machine` for every machine of a lab, and the rest of what they share."""
    directory = lab_directory(lab)
    if os.path.isdir(directory):
        for host in hosts_in(directory):
            remove_machine(lab, host)
        # Somebody who sweeps may take it away at this very moment.
        shutil.rmtree(directory, onerror=_but_not_there)


def hosts_in(directory):
    """Names of the hosts that have a machine's files in ``directory``."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(host for host in os.listdir(directory) if os.path.isdir(os.path.join(directory, host, 'upper')))
    return []


def _but_not_there(_function, _path, error):
    if not issubclass(error[0], FileNotFoundError):
        raise error[1]


def is_gone(lab, host):
    """Whether no process of a machine is left: its control group is not there."""
    return at_cgroups(_GONE, cgroup(lab, host)).returncode == 0


def at_cgroups(script, path):
    """Run a shell script in a mount namespace of its own with the path of a control group as $1."""
    return subprocess.run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', path],
                          timeout=PATIENCE)
