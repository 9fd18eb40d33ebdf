"""Find a tailscaled that something else than tailscaled.service runs: a snap, a container, a vendor's own unit.

Two of them in one network namespace take the interface, the routes and the packet filter from each other.
"""
import os
from typing import Iterable, List, NamedTuple, Optional, Tuple

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.system import procnet
from ua_overlay.system.process import list_pids, read_stat
from ua_overlay.tailscale.daemon_unit import UNIT, parse_arguments

_NAME = 'tailscaled'


class DaemonProcess(NamedTuple):
    """A running tailscaled."""

    pid: int
    argv: Tuple[str, ...]
    #: Its cgroup, such as '/system.slice/tailscaled.service'.
    cgroup: str
    #: Whether it is in this process's network namespace; None if that cannot be seen.
    here: Optional[bool]


def running_daemons() -> List[DaemonProcess]:
    """Return every tailscaled of this machine. Only root sees the network namespaces of other users' processes."""
    found = []
    own = os.readlink('/proc/self/ns/net')
    for pid in list_pids():
        try:
            if read_stat(pid).name != _NAME:
                continue
            argv = procnet.command_of(pid)
            with open('/proc/{}/cgroup'.format(pid), errors='replace') as stream:
                cgroup = stream.read().strip().split('\n')[-1].rpartition(':')[2]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        found.append(DaemonProcess(pid, argv, cgroup, _is_here(pid, own)))
    return found


def _is_here(pid: int, own: str) -> Optional[bool]:
    try:
        return os.readlink('/proc/{}/ns/net'.format(pid)) == own
    except OSError:
        return None


def competing(daemons: Iterable[DaemonProcess], own: Optional[int]) -> List[DaemonProcess]:
    """Return those that would compete with tailscaled.service. Pure.

    One without a network interface (a site's relay) takes nothing, and one in another network namespace (a container
    with a network of its own, a lab) has its own.

    :param own: process id of the one that answers at the usual socket, None if none does.
    """
    return [each for each in daemons
            if each.pid != own and each.here is not False and not _is_helper(each.argv)
            and parse_arguments(each.argv[1:]).interface and not each.cgroup.endswith('/' + UNIT)]


def _is_helper(argv: Tuple[str, ...]) -> bool:
    """Return whether a tailscaled only cleans up, or serves one session of Tailscale SSH (cmd/tailscaled: be-child)."""
    return any(word.lstrip('-').startswith('cleanup') for word in argv[1:]) or argv[1:2] == ('be-child',)


def check_competing(daemons: Iterable[DaemonProcess], own: Optional[int]) -> None:
    """Check that no other tailscaled runs. Pure.

    :raises OverlayError: one does; the sentence says how it is run, and the next command stops it.
    """
    for each in competing(daemons, own):
        name = each.cgroup.rpartition('/')[2]
        if name.startswith('snap.'):
            how, stop = 'the snap {}'.format(name.split('.')[1]), command('sudo snap stop --disable {}',
                                                                          name.split('.')[1])
        elif name.startswith('docker-') or '/docker/' in each.cgroup:
            identity = name.replace('docker-', '').replace('.scope', '')[:12]
            how, stop = 'a container', command('sudo docker stop {}', identity)
        elif name.startswith('libpod-'):
            identity = name.replace('libpod-', '').partition('.')[0][:12]
            how, stop = 'a container', command('sudo podman stop {}', identity)
        elif name.endswith('.service'):
            how, stop = 'the unit {}'.format(printable(name)), command('sudo systemctl disable --now {}', name)
        else:
            how, stop = 'a process of its own', command('sudo kill {}', each.pid)
        raise OverlayError('Another tailscaled runs on this machine (process {}, {}), and two take the network '
                           'interface and the routes from each other.'.format(each.pid, how), stop)
