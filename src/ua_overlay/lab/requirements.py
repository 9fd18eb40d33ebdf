"""Requirements of a lab on the machine: root, programs, pyroute2, TUN, overlayfs. Checked before anything is made."""
import importlib.util
import os
import shutil
import subprocess
import sys
from typing import Callable, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.lab import dns

INSTALL = 'apt-get install nftables conntrack dnsmasq-base python3-pyroute2'
TUN = '/dev/net/tun'


class LabUnavailable(OverlayError):
    """This machine or this user cannot run a lab."""

    code = 'LAB_UNAVAILABLE'


def check_root(euid: Optional[int] = None) -> None:
    """Require root. :param euid: None for this process's. :raises LabUnavailable: it is not root's."""
    if (os.geteuid() if euid is None else euid) != 0:
        raise LabUnavailable('A lab needs root: it makes network namespaces and mounts.', 'sudo ua-overlay lab up')


def check_netlink() -> None:
    """Require pyroute2, in each process: another Python may have made the lab. :raises LabUnavailable: not found."""
    if importlib.util.find_spec('pyroute2') is None:
        raise LabUnavailable('A lab needs the Python module pyroute2, which {} does not have.'.format(sys.executable),
                             INSTALL)


def check(euid: Optional[int] = None, which: Callable[[str], Optional[str]] = shutil.which, tun: str = TUN,
          filesystems: str = '/proc/filesystems', modprobe: str = 'modprobe') -> None:
    """Check every requirement of a lab.

    :param euid: effective user id, None for this process's. The other parameters exist for tests.
    :raises LabUnavailable: the first requirement that is missing, with the command that installs it.
    """
    check_root(euid)
    for program in ('nft', 'conntrack', dns.PROGRAM):
        if which(program) is None:
            raise LabUnavailable('A lab needs the program {}, which is not installed.'.format(program), INSTALL)
    check_netlink()
    try:
        os.close(os.open(tun, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise LabUnavailable('A lab needs the TUN device {}: {}.'.format(tun, error.strerror), 'modprobe tun')
    if not _knows_overlay(filesystems):
        # Most kernels load it on demand only for a mount in the initial namespace: load it here.
        if which(modprobe) is not None:
            subprocess.run([modprobe, 'overlay'], check=False, stderr=subprocess.DEVNULL)
        if not _knows_overlay(filesystems):
            raise LabUnavailable('A lab needs overlayfs, which this kernel does not have.', 'modprobe overlay')


def offer_congestion(name: str, directory: str = '/proc/sys/net/ipv4') -> None:
    """Allow the congestion control ``name`` for every host and user of this machine, until it reboots.

    A host of a lab can only use one that the machine allows for everyone (net.ipv4.tcp_allowed_congestion_control).

    :raises LabUnavailable: the kernel does not have it.
    """
    path = os.path.join(directory, 'tcp_{}_congestion_control')
    with open(path.format('available')) as stream:
        available = stream.read().split()
    if name not in available:
        raise LabUnavailable('The congestion control {} is not in this kernel, which has {}.'.format(
            name, ', '.join(available)), 'modprobe tcp_' + name)
    with open(path.format('allowed'), 'r+') as stream:
        allowed = stream.read().split()
        if name not in allowed:
            stream.seek(0)
            stream.write(' '.join(allowed + [name]))


def _knows_overlay(filesystems: str) -> bool:
    with open(filesystems) as stream:
        return any(line.split()[-1:] == ['overlay'] for line in stream)
