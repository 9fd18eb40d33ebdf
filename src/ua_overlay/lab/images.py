"""Root file systems for the machines of a lab: Debian base systems, made once by debootstrap and kept in the cache.

A base system is a robot or a server before this package is installed. A layer holds what a script changes on one.
Packages come from the mirror in this machine's apt configuration.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Callable, ContextManager, List, Optional, Sequence, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Progress
from ua_overlay.toolchain.find import cache_dir

USER = 'robot'
#: An init, ssh for Ansible, and the Python modules of package.xml.
BASE = ('systemd', 'systemd-sysv', 'dbus', 'sudo', 'procps', 'iproute2', 'iputils-ping', 'ca-certificates', 'nftables',
        'openssh-server', 'python3', 'python3-apt', 'python3-yaml', 'python3-cryptography', 'python3-netifaces')
#: The ROS packages of overlay.launch, and of the commands that a user types.
ROS = ('python3-diagnostic-msgs', 'python3-rosmaster', 'python3-rospy', 'python3-roslaunch', 'python3-rosservice',
       'python3-rostopic', 'python3-std-msgs', 'ros-environment', 'rosout')
#: Packages of a measurement campaign, at both ends.
MEASURE = ('iperf3', 'rosbash')
#: Packages that build this package in a catkin workspace and run its unit tests and rostests.
ROS_BUILD = ROS + ('build-essential', 'catkin', 'cmake', 'libdiagnostic-msgs-dev', 'librostest-dev', 'libstd-msgs-dev',
                   'python3-catkin-pkg', 'python3-message-filters', 'python3-pytest', 'python3-rostest',
                   'python3-roswtf', 'python3-setuptools', 'ros-diagnostic-msgs', 'ros-message-generation',
                   'ros-message-runtime', 'ros-std-msgs', 'rosbash')


class ImageFailed(OverlayError):
    """debootstrap or apt-get ended with an error."""

    code = 'LAB_IMAGE'


@dataclass(frozen=True)
class Image:
    """A base system: Debian ``suite`` with ``packages`` and their dependencies."""

    suite: str
    packages: Tuple[str, ...] = BASE

    def directory(self, cache: Optional[str] = None) -> str:
        """Return its path, whether made or not. The name holds a hash of suite and packages."""
        recipe = ' '.join((self.suite,) + tuple(sorted(self.packages)) + (USER, 'v3'))
        name = '{}-{}'.format(self.suite, hashlib.sha256(recipe.encode()).hexdigest()[:10])
        return os.path.join(cache or cache_dir(), 'machines', name)


@dataclass(frozen=True)
class Layer:
    """What a shell script changes on a base system, as root.

    :ivar script: runs with `sh -eu` in the base system.
    :ivar files: (name, path on this machine) of the files that the script finds as /input/NAME.
    """

    image: Image
    script: str
    files: Tuple[Tuple[str, str], ...] = ()

    def directory(self, cache: Optional[str] = None) -> str:
        """Return its path, whether made or not. The name holds a hash of base system, script and files."""
        digest = hashlib.sha256('{}\n{}'.format(os.path.basename(self.image.directory()), self.script).encode())
        for name, path in self.files:
            with open(path, 'rb') as stream:
                digest.update('\n{} {}'.format(name, hashlib.sha256(stream.read()).hexdigest()).encode())
        return os.path.join(cache or cache_dir(), 'machines', LAYER + digest.hexdigest()[:10])


#: Prefix of the names of layers, and the seconds without use after which one is removed.
LAYER, LAYER_LIFE = 'layer-', 86400
#: Runs in a new mount namespace. $1: base system, $2: directory with upper, work, root and input, $3: the script.
_LAYER = '''\
set -eu
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mkdir "$2/root/input"
mount --bind "$2/input" "$2/root/input"
mount -t proc proc "$2/root/proc"
chroot "$2/root" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    sh -euc "$3"
umount "$2/root/proc" "$2/root/input"
rmdir "$2/root/input"
'''

#: Debian of the server and the proxy; and of robots, as old as Noetic: Python 3.9, ROS 1.15.9, glibc 2.31.
SERVER = Image('bookworm')
ROBOT = Image('bullseye', BASE + ROS_BUILD)
#: For robots that use the workspace of this machine, which is built with this Debian.
ROBOT_PREBUILT = Image('bookworm', BASE + ROS + MEASURE)
#: For robots whose kernel has no nf_tables (a test plays that kernel).
ROBOT_IPTABLES = Image('bookworm', BASE + ('iptables',))
ALL = (SERVER, ROBOT, ROBOT_PREBUILT, ROBOT_IPTABLES)


def parse_mirror(text: str) -> Optional[str]:
    """Return the Debian mirror in lines of 'ORIGIN CODENAME URI' (see :func:`host_mirror`), None without one."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == 'Debian' and '-' not in words[1]:
            return words[2]
    return None


def host_mirror(run: Callable[..., Any] = subprocess.run) -> Optional[str]:
    """Return the Debian mirror of this machine's apt; None leaves the choice to debootstrap."""
    done = run(['apt-get', 'indextargets', '--format', '$(ORIGIN) $(CODENAME) $(REPO_URI)', 'Created-By: Packages'],
               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    return parse_mirror(done.stdout) if done.returncode == 0 else None


def no_progress(_text: str) -> ContextManager[object]:
    """Show nothing."""
    return contextlib.nullcontext()


def get(image: Image, progress: Progress = no_progress, cache: Optional[str] = None) -> str:
    """Return the directory of a base system from the cache; make it first if necessary, in a minute or more.

    It appears by a rename, so that it is always complete.

    :raises ImageFailed: with the end of the output of debootstrap or apt-get.
    """
    target = image.directory(cache)
    if os.path.isdir(target):
        return target
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    # A lock per base system: nobody waits for another one.
    with open(target + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(target):
            with progress('Installing the base system {} of machines'.format(image.suite)):
                _make(image, target)
    return target


def get_layer(layer: Layer, progress: Progress = no_progress, cache: Optional[str] = None) -> str:
    """Return the `lowerdir` (overlayfs) of a machine with a layer; make the layer first if necessary.

    Layers unused for a day are removed: each version of this package makes new ones.

    :raises ImageFailed: with the end of the output of the script.
    """
    base, target = get(layer.image, progress, cache), layer.directory(cache)
    with open(os.path.join(os.path.dirname(target), '.layers.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in unused_layers(os.path.dirname(target), time.time()):
            shutil.rmtree(path)
    with open(target + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(target):
            with progress('Preparing a layer on the base system {} of machines'.format(layer.image.suite)):
                _make_layer(layer, base, target)
        os.utime(target)
    return '{}:{}'.format(target, base)


def unused_layers(directory: str, now: float) -> List[str]:
    """Return the paths of the layers in ``directory`` that are unused for too long at ``now`` (seconds since 1970)."""
    unused = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if name.startswith(LAYER) and os.path.isdir(path) and now - os.stat(path).st_mtime > LAYER_LIFE:
            unused.append(path)
    return unused


def _make_layer(layer: Layer, base: str, target: str) -> None:
    temporary = target + '.part'
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for part in ('', 'upper', 'work', 'root', 'input'):
            os.mkdir(os.path.join(temporary, part), 0o755)
        for name, path in layer.files:
            shutil.copyfile(path, os.path.join(temporary, 'input', name))
        _command(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', _LAYER, 'layer', base, temporary,
                  layer.script])
        os.rename(os.path.join(temporary, 'upper'), target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make(image: Image, target: str) -> None:
    temporary = target + '.part'
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        mirror = host_mirror()
        _command(['debootstrap', '--variant=minbase', image.suite, temporary] + ([mirror] if mirror else []),
                 os.path.join(temporary, 'debootstrap', 'debootstrap.log'))
        # debootstrap cannot resolve virtual packages and alternatives: apt installs the rest.
        shutil.copyfile('/etc/resolv.conf', os.path.join(temporary, 'etc/resolv.conf'))
        with open(os.path.join(temporary, 'usr/sbin/policy-rc.d'), 'w') as stream:
            os.fchmod(stream.fileno(), 0o755)
            stream.write('#!/bin/sh\nexit 101\n')
        apt = ['chroot', temporary, 'env', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8', 'apt-get', '-q', '-y']
        _command(apt + ['install', '--no-install-recommends'] + sorted(image.packages))
        _command(apt + ['clean'])
        _make_ours(temporary)
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_ours(root: str) -> None:
    """Add the user, and remove what identifies the machine on which the base system is made."""
    subprocess.run(['chroot', root, 'useradd', '--create-home', '--shell', '/bin/bash', USER], check=True)
    with open(os.path.join(root, 'etc/sudoers.d/' + USER), 'w') as stream:
        os.fchmod(stream.fileno(), 0o440)
        stream.write('{} ALL=(ALL) NOPASSWD: ALL\n'.format(USER))
    # Every machine makes its own id at its first boot, and has its own host name.
    with open(os.path.join(root, 'etc/machine-id'), 'w'):
        pass
    for name in ('etc/hostname', 'etc/resolv.conf', 'usr/sbin/policy-rc.d'):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(root, name))
    for name in os.listdir(os.path.join(root, 'etc/ssh')):
        if name.startswith('ssh_host_'):
            os.unlink(os.path.join(root, 'etc/ssh', name))
    # Timers of the distribution would run in the middle of a test, and could not reach a mirror.
    units = os.path.join(root, 'etc/systemd/system')
    for name in ('apt-daily.timer', 'apt-daily-upgrade.timer', 'e2scrub_all.timer', 'man-db.timer'):
        os.symlink('/dev/null', os.path.join(units, name))


def _command(argv: Sequence[str], log: Optional[str] = None) -> None:
    """Run a command. :raises ImageFailed: it failed; with the end of its output and of the file ``log``."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, errors='replace')
    if done.returncode != 0:
        output = done.stdout[-2000:]
        if log is not None:
            with contextlib.suppress(FileNotFoundError), open(log, encoding='utf-8', errors='replace') as stream:
                output += stream.read()[-2000:]
        raise ImageFailed('A base system for machines could not be made: `{}` failed.\n{}'.format(
            ' '.join(argv[:4]), output), 'read the output above, then repeat the command')
