"""What a lab needs of the machine, checked before anything is made."""
import importlib.util
import os
import shutil
import subprocess
import sys

from ua_overlay.errors import OverlayError
from ua_overlay.lab import dns

INSTALL = 'apt-get install nftables conntrack dnsmasq-base python3-pyroute2'
TUN = '/dev/net/tun'


class LabUnavailable(OverlayError):
    """This machine or this user cannot run a lab."""

    code = 'LAB_UNAVAILABLE'


def check_root(euid=None):
    """:raises LabUnavailable: unless ``euid`` (None: ours) is root's."""
    if (os.geteuid() if euid is None else euid) != 0:
        raise LabUnavailable('A lab needs root: it makes network namespaces and mounts.', 'sudo ua-overlay lab up')


def check_netlink():
    """:raises LabUnavailable: this Python, which need not be the one that made the lab, has no pyroute2."""
    if importlib.util.find_spec('pyroute2') is None:
        raise LabUnavailable('A lab needs the Python module pyroute2, which {} does not have.'.format(sys.executable),
                             INSTALL)


def check(euid=None, which=shutil.which, tun=TUN, filesystems='/proc/filesystems', modprobe='modprobe'):
    """Raise unless a lab can be built here.

    :param euid: effective user id; None asks the system. The other parameters exist for tests.
    :raises LabUnavailable: the first thing that is missing, with what to type.
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
        # Loaded on demand by most kernels only when mounted from the initial namespace: try once by hand.
        if which(modprobe) is not None:
            subprocess.run([modprobe, 'overlay'], check=False, stderr=subprocess.DEVNULL)
        if not _knows_overlay(filesystems):
            raise LabUnavailable('A lab needs overlayfs, which this kernel does not have.', 'modprobe overlay')


def offer_congestion(name, directory='/proc/sys/net/ipv4'):
    """Let every host and user of this machine choose the congestion control ``name``, until the machine starts again:
    a host of a lab may only have one that the machine offers to everyone (net.ipv4.tcp_allowed_congestion_control).

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


def _knows_overlay(filesystems):
    with open(filesystems) as stream:
        return any(line.split()[-1:] == ['overlay'] for line in stream)
