"""Root file systems for the machines of a lab: Debian base systems made once by debootstrap and kept in the cache.

What a robot or a server has before anything of ours. Packages come from the mirror that this machine is set up for.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Tuple

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
