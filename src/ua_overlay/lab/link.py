"""Emulated links: insert an emulator between a host's cable and its bridge, and remove it, in a running lab.

    host --- cable --- [private bridge --- TAP | emulator | TAP] --- the bridge where the cable was before

The host keeps its interface, addresses and connections. The emulator is a service of the host that has the bridge. When
the emulator dies the link is cut, until :func:`set_shape` or :func:`clear`.
"""
import json
import os
import signal
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Callable, ContextManager, Dict, Optional, Sequence, TypeVar

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab import nat
from ua_overlay.lab.host import program
from ua_overlay.lab.network import Cabling
from ua_overlay.lab.shape import Shape
from ua_overlay.lab.topology import INET, Topology
from ua_overlay.system import files

if TYPE_CHECKING:
    # lab.py imports this module.
    from ua_overlay.lab.lab import Lab

Value = TypeVar('Value')
#: Seconds within which the emulator makes its devices, on a busy machine.
PATIENCE = 30.0
#: Directory of the parameter files inside hosts: the lab's control directory (lab.init).
INSIDE = '/run/ua_lab'


class Attachment:
    """The bridge that the cable of ``host`` is attached to, and the names of the devices of its emulated link.

    The devices have a dot in their names, which no host has.

    :ivar owner: host that has the bridge.
    :raises UsageError: there is no such host, or it has no link.
    """

    def __init__(self, topology: Topology, host: str) -> None:
        names = topology.host_names()
        if host not in names or host == INET:
            raise UsageError('The lab has no host {} with a link; it has {}.'.format(host, ', '.join(names[1:])))
        number = names.index(host)
        behind = next((item.behind for item in topology.ends() if item.name == host), '')
        self.host = host
        self.owner = behind or INET
        self.bridge = nat.LAN if behind else INET
        self.private = 'link.{}'.format(number)
        self.inner = self.private + '.i'
        self.outer = self.private + '.o'
        self.service = 'link-{}'.format(number)
        self.file = 'link-{}.json'.format(number)


def shape_of(lab: 'Lab', host: str) -> Shape:
    """Return the shape of a host's link now; the plain one when it has no emulator.

    :raises OverlayError: LAB_LINK, its emulator has died.
    """
    attachment = Attachment(lab.topology, host)
    try:
        with open(lab.state.path('control', attachment.file)) as stream:
            shape = Shape(**{key: value for key, value in json.load(stream).items() if key != 'seed'})
    except FileNotFoundError:
        return Shape()
    if not lab.service_running(attachment.owner, attachment.service):
        raise OverlayError('The link of {} is cut: its emulator has ended.'.format(host),
                           command('ua-overlay lab link clear {} --name {}', host, lab.name), code='LAB_LINK')
    return shape


def set_shape(lab: 'Lab', host: str, shape: Shape, seed: Optional[int] = None) -> None:
    """Give a host's link a shape, now. Packets on the link keep their old delay.

    :param seed: makes losses the same in each run; None for random ones.
    :raises OverlayError: LAB_LINK when the emulator does not start, with its output; LAB_KERNEL without TUN.
    """
    attachment = Attachment(lab.topology, host)
    numbers = dict(asdict(shape), **({} if seed is None else {'seed': seed}))
    files.write_atomic(lab.state.path('control', attachment.file), json.dumps(numbers))
    if lab.service_running(attachment.owner, attachment.service):
        lab.kill_service(attachment.owner, attachment.service, signal.SIGHUP)
        return
    try:
        _insert(lab, attachment)
    except BaseException:
        os.unlink(lab.state.path('control', attachment.file))
        raise


def clear(lab: 'Lab', host: str) -> bool:
    """Remove the emulator, with the packets in it. Return whether there was one."""
    attachment = Attachment(lab.topology, host)
    path = lab.state.path('control', attachment.file)
    if not os.path.exists(path):
        return False
    with _cabling(lab, attachment) as cabling:
        cabling.attach(attachment.owner, attachment.host, attachment.bridge)
        if lab.service_running(attachment.owner, attachment.service):
            lab.stop_service(attachment.owner, attachment.service)
        cabling.remove(attachment.owner, attachment.private)
    os.unlink(path)
    return True


def counts(lab: 'Lab', host: str) -> Dict[str, Dict[str, int]]:
    """Return the packet counts of a host's emulator since it was inserted: {'out': Direction.counts, 'in': the same}.

    :raises OverlayError: LAB_LINK, there is no emulator.
    """
    attachment = Attachment(lab.topology, host)
    if not lab.service_running(attachment.owner, attachment.service):
        raise OverlayError('The link of {} has no emulator.'.format(host),
                           command('ua-overlay lab link set {} --delay 10ms', host), code='LAB_LINK')
    before = len(lab.log(attachment.owner, attachment.service).splitlines())
    lab.kill_service(attachment.owner, attachment.service, signal.SIGUSR1)
    lines: Sequence[str] = _wait(
        lab, attachment, lambda: lab.log(attachment.owner, attachment.service).splitlines()[before:])
    answer: Dict[str, Dict[str, int]] = json.loads(lines[-1])
    return answer


def shapes(lab: 'Lab') -> Dict[str, Shape]:
    """Return host -> shape of every host whose link has an emulator that runs."""
    result = {}
    for host in lab.topology.host_names()[1:]:
        attachment = Attachment(lab.topology, host)
        if os.path.exists(lab.state.path('control', attachment.file)) and lab.service_running(
                attachment.owner, attachment.service):
            result[host] = shape_of(lab, host)
    return result


def _cabling(lab: 'Lab', attachment: Attachment) -> ContextManager[Cabling]:
    return Cabling.open({attachment.owner: lab.host(attachment.owner).pid})


def _insert(lab: 'Lab', attachment: Attachment) -> None:
    lab.start_service(attachment.owner, attachment.service,
                      program('emulator', INSIDE + '/' + attachment.file, attachment.inner, attachment.outer))
    with _cabling(lab, attachment) as cabling:
        devices = (attachment.inner, attachment.outer)
        _wait(lab, attachment, lambda: all(cabling.has(attachment.owner, device) for device in devices))
        if not cabling.has(attachment.owner, attachment.private):
            cabling.bridge(attachment.owner, attachment.private, deaf=True)
        cabling.attach(attachment.owner, attachment.inner, attachment.private)
        cabling.attach(attachment.owner, attachment.outer, attachment.bridge)
        # The host's cable last: from here on packets pass through the emulator.
        cabling.attach(attachment.owner, attachment.host, attachment.private)


def _wait(lab: 'Lab', attachment: Attachment, condition: Callable[[], Value]) -> Value:
    """Poll ``condition`` until it is true. :raises OverlayError: LAB_LINK, the emulator ended or is too slow."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if not lab.service_running(attachment.owner, attachment.service) or time.monotonic() > deadline:
            output = lab.log(attachment.owner, attachment.service).strip().splitlines()
            raise OverlayError('The emulator of the link of {} does not work{}.'.format(
                attachment.host, ': ' + output[-1].rstrip('.') if output else ''),
                               'ua-overlay lab status', code='LAB_LINK')
        time.sleep(0.02)
