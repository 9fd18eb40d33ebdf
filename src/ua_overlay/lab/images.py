"""Root file systems for the machines of a lab: Debian base systems made once by debootstrap and kept in the cache.

A base system is what a robot or a server has before anything of ours; a layer adds what commands do to one, once.
Packages come from the mirror that this machine is set up for.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Optional, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.toolchain.find import cache_dir

USER = 'robot'
#: An init, ssh for Ansible, and the Python modules of package.xml.
BASE = ('systemd', 'systemd-sysv', 'dbus', 'sudo', 'procps', 'iproute2', 'iputils-ping', 'ca-certificates', 'nftables',
        'openssh-server', 'python3', 'python3-apt', 'python3-yaml', 'python3-cryptography', 'python3-netifaces')
#: What overlay.launch needs of ROS, and what a person types with it.
ROS = ('python3-diagnostic-msgs', 'python3-rosmaster', 'python3-rospy', 'python3-roslaunch', 'python3-rosservice',
       'python3-rostopic', 'python3-std-msgs', 'ros-environment', 'rosout')
#: What a campaign of measurements needs at both of its ends.
MEASURE = ('iperf3', 'rosbash')
#: What builds the package in a catkin workspace, and its unit tests and rostests.
ROS_BUILD = ROS + ('build-essential', 'catkin', 'cmake', 'libdiagnostic-msgs-dev', 'librostest-dev', 'libstd-msgs-dev',
                   'python3-catkin-pkg', 'python3-message-filters', 'python3-pytest', 'python3-rostest',
                   'python3-roswtf', 'python3-setuptools', 'ros-diagnostic-msgs', 'ros-message-generation',
                   'ros-message-runtime', 'ros-std-msgs', 'rosbash')


class ImageFailed(OverlayError):
    """debootstrap or apt-get ended with an error."""

    code = 'LAB_IMAGE'


@dataclass(frozen=True)
class Image:
    """A base system: Debian ``suite`` with ``packages`` and all that they need."""

    suite: str
    packages: Tuple[str, ...] = BASE

    def directory(self, cache=None):
        """Where it is, or will be. Its name holds a hash of what went into it."""
        recipe = ' '.join((self.suite,) + tuple(sorted(self.packages)) + (USER, 'v3'))
        name = '{}-{}'.format(self.suite, hashlib.sha256(recipe.encode()).hexdigest()[:10])
        return os.path.join(cache or cache_dir(), 'machines', name)


@dataclass(frozen=True)
class Layer:
    """What a shell script changes on a base system, as root.

    :ivar script: runs with `sh -eu` in the base system.
    :ivar files: (name, path here) of what the script finds as /input/NAME.
    """

    image: Image
    script: str
    files: Tuple[Tuple[str, str], ...] = ()

    def directory(self, cache: Optional[str] = None) -> str:
        """Where it is, or will be. Its name holds a hash of base system, script and files."""
        digest = hashlib.sha256('{}\n{}'.format(os.path.basename(self.image.directory()), self.script).encode())
        for name, path in self.files:
            with open(path, 'rb') as stream:
                digest.update('\n{} {}'.format(name, hashlib.sha256(stream.read()).hexdigest()).encode())
        return os.path.join(cache or cache_dir(), 'machines', LAYER + digest.hexdigest()[:10])


#: How the names of layers begin, and after how many seconds without use one is removed.
LAYER, LAYER_LIFE = 'layer-', 86400
#: Runs in a mount namespace of its own: base system, directory with upper, work, root and input, and the script.
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

#: Debian of the server and the proxy, and what stands for Noetic's age on robots: Python 3.9, ROS 1.15.9, glibc 2.31.
SERVER = Image('bookworm')
ROBOT = Image('bullseye', BASE + ROS_BUILD)
#: The Debian of this lab's own workspace, so that a machine can see the one that is built already.
ROBOT_PREBUILT = Image('bookworm', BASE + ROS + MEASURE)
ALL = (SERVER, ROBOT, ROBOT_PREBUILT)


def parse_mirror(text):
    """The Debian mirror in lines of 'ORIGIN CODENAME URI' (see :func:`host_mirror`), or None when none is Debian's."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == 'Debian' and '-' not in words[1]:
            return words[2]
    return None


def host_mirror(run=subprocess.run):
    """The Debian mirror that this machine's apt takes packages from; None where debootstrap has to know one itself."""
    done = run(['apt-get', 'indextargets', '--format', '$(ORIGIN) $(CODENAME) $(REPO_URI)', 'Created-By: Packages'],
               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
    return parse_mirror(done.stdout) if done.returncode == 0 else None


def get(image, progress=lambda text: contextlib.nullcontext(), cache=None):
    """Directory of a base system: from the cache, or made (a minute or more, once).

    It appears by a rename: half a base system is never taken for one.

    :param progress: called with what takes long; returns a context manager (cli.progress.Progress).
    :raises ImageFailed: with the end of what debootstrap or apt-get said.
    """
    target = image.directory(cache)
    if os.path.isdir(target):
        return target
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    # One lock each: who wants another base system does not wait for this one.
    with open(target + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(target):
            with progress('Installing the base system {} of machines'.format(image.suite)):
                _make(image, target)
    return target


def get_layer(layer, progress=lambda text: contextlib.nullcontext(), cache=None):
    """The lower directories of a machine with a layer, for `lowerdir` of an overlay: from the cache, or made.

    Layers that nobody used for a day are removed: each version of this package makes new ones.

    :raises ImageFailed: with the end of what the script printed.
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


def unused_layers(directory, now):
    """Paths of layers in ``directory`` whose last use is too long ago at the time ``now``."""
    found = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if name.startswith(LAYER) and os.path.isdir(path) and now - os.stat(path).st_mtime > LAYER_LIFE:
            found.append(path)
    return found


def _make_layer(layer, base, target):
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


def _make(image, target):
    temporary = target + '.part'
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        mirror = host_mirror()
        _command(['debootstrap', '--variant=minbase', image.suite, temporary] + ([mirror] if mirror else []),
                 os.path.join(temporary, 'debootstrap', 'debootstrap.log'))
        # debootstrap knows no virtual packages and no alternatives: apt adds the rest.
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


def _make_ours(root):
    """The user, and nothing that tells of the machine on which it was made."""
    subprocess.run(['chroot', root, 'useradd', '--create-home', '--shell', '/bin/bash', USER], check=True)
    with open(os.path.join(root, 'etc/sudoers.d/' + USER), 'w') as stream:
        os.fchmod(stream.fileno(), 0o440)
        stream.write('{} ALL=(ALL) NOPASSWD: ALL\n'.format(USER))
    # Every machine makes its own at its first boot; and the name of the maker's machine is not theirs.
    with open(os.path.join(root, 'etc/machine-id'), 'w'):
        pass
    for name in ('etc/hostname', 'etc/resolv.conf', 'usr/sbin/policy-rc.d'):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(root, name))
    for name in os.listdir(os.path.join(root, 'etc/ssh')):
        if name.startswith('ssh_host_'):
            os.unlink(os.path.join(root, 'etc/ssh', name))
    # No timer of the distribution wakes up in the middle of a test, and none could reach its mirror.
    units = os.path.join(root, 'etc/systemd/system')
    for name in ('apt-daily.timer', 'apt-daily-upgrade.timer', 'e2scrub_all.timer', 'man-db.timer'):
        os.symlink('/dev/null', os.path.join(units, name))


def _command(argv, log=None):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, errors='replace')
    if done.returncode != 0:
        said = done.stdout[-2000:]
        if log is not None:
            with contextlib.suppress(FileNotFoundError), open(log, encoding='utf-8', errors='replace') as stream:
                said += stream.read()[-2000:]
        raise ImageFailed('A base system for machines could not be made: `{}` failed.\n{}'.format(
            ' '.join(argv[:4]), said), 'see what it said; then type the same command again')
