"""Bad links in a lab: an emulator between a host's cable and the bridge that it hangs on, put in and taken out live.

    host --- cable --- [private bridge --- TAP | emulator | TAP] --- the bridge where the cable was before

The host keeps its interface, addresses and connections. The emulator is a service of the host on whose bridge the cable
hangs; when it dies the cable is cut, until :func:`set_shape` or :func:`clear`.
"""
import json
import os
import signal
import time
from dataclasses import asdict

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab import nat
from ua_overlay.lab.host import program
from ua_overlay.lab.network import Cabling
from ua_overlay.lab.shape import Shape
from ua_overlay.lab.topology import INET
from ua_overlay.system import files

#: Seconds within which the emulator has made its devices, on a busy machine.
PATIENCE = 30.0
#: Where hosts see the parameter files: below the lab's control directory (lab.init).
INSIDE = '/run/ua_lab'


class Attachment:
    """Where the cable of ``host`` hangs, and the names of what belongs to its link. A dot is in no host's name."""

    def __init__(self, topology, host):
        names = topology.host_names()
        if host not in names or host == INET:
            raise UsageError('The lab has no host {} with a link; it has {}.'.format(host, ', '.join(names[1:])))
        number = names.index(host)
        behind = next((item.behind for item in topology.robots + topology.hosts if item.name == host), '')
        self.host = host
        self.owner = behind or INET
        self.bridge = nat.LAN if behind else INET
        self.private = 'link.{}'.format(number)
        self.inner = self.private + '.i'
        self.outer = self.private + '.o'
        self.service = 'link-{}'.format(number)
        self.file = 'link-{}.json'.format(number)


def shape_of(lab, host):
    """The Shape of a host's link now; the plain one when nothing was put in.

    :raises OverlayError: LAB_LINK when its emulator has died.
    """
    attachment = Attachment(lab.topology, host)
    try:
        with open(lab.state.path('control', attachment.file)) as stream:
            shape = Shape(**{key: value for key, value in json.load(stream).items() if key != 'seed'})
    except FileNotFoundError:
        return Shape()
    if not lab.service_running(attachment.owner, attachment.service):
        raise OverlayError('The link of {} is cut: its emulator has ended.'.format(host),
                           'ua-overlay lab link clear {} --name {}'.format(host, lab.name), code='LAB_LINK')
    return shape


def set_shape(lab, host, shape, seed=None):
    """Give a host's link a shape, now. Packets that are under way stay under way.

    :param seed: for the same losses in each run; None for others each time.
    :raises OverlayError: LAB_LINK when the emulator does not start, with what it says; LAB_KERNEL without TUN.
    """
    attachment = Attachment(lab.topology, host)
    numbers = dict(asdict(shape), **({} if seed is None else {'seed': seed}))
    files.write_atomic(lab.state.path('control', attachment.file), json.dumps(numbers))
    if lab.service_running(attachment.owner, attachment.service):
        lab.kill_service(attachment.owner, attachment.service, signal.SIGHUP)
        return
    try:
        _put_in(lab, attachment)
    except BaseException:
        os.unlink(lab.state.path('control', attachment.file))
        raise


def clear(lab, host):
    """Take the emulator out; what was waiting in it is lost. Returns whether there was one."""
    attachment = Attachment(lab.topology, host)
    path = lab.state.path('control', attachment.file)
    if not os.path.exists(path):
        return False
    with _cabling(lab, attachment) as cabling:
        _hang(cabling, attachment, attachment.host, attachment.bridge)
        if lab.service_running(attachment.owner, attachment.service):
            lab.stop_service(attachment.owner, attachment.service)
        cabling.remove(attachment.owner, attachment.private)
    os.unlink(path)
    return True


def counts(lab, host):
    """What the emulator of a host has done since it was put in, as it says itself: {'out': {...}, 'in': {...}}.

    :raises OverlayError: LAB_LINK when there is none.
    """
    attachment = Attachment(lab.topology, host)
    if not lab.service_running(attachment.owner, attachment.service):
        raise OverlayError('The link of {} has no emulator.'.format(host),
                           'ua-overlay lab link set {} --delay 10ms'.format(host), code='LAB_LINK')
    before = len(lab.log(attachment.owner, attachment.service).splitlines())
    lab.kill_service(attachment.owner, attachment.service, signal.SIGUSR1)
    return json.loads(_wait(
        lab, attachment, lambda: lab.log(attachment.owner, attachment.service).splitlines()[before:])[-1])


def shapes(lab):
    """host -> Shape of every host whose link has an emulator, dead ones left out."""
    found = {}
    for host in lab.topology.host_names()[1:]:
        attachment = Attachment(lab.topology, host)
        if os.path.exists(lab.state.path('control', attachment.file)) and lab.service_running(
                attachment.owner, attachment.service):
            found[host] = shape_of(lab, host)
    return found


def _cabling(lab, attachment):
    return Cabling.open({attachment.owner: lab.host(attachment.owner).pid})


def _put_in(lab, attachment):
    lab.start_service(attachment.owner, attachment.service,
                      program('emulator', INSIDE + '/' + attachment.file, attachment.inner, attachment.outer))
    with _cabling(lab, attachment) as cabling:
        devices = (attachment.inner, attachment.outer)
        _wait(lab, attachment, lambda: all(cabling.has(attachment.owner, device) for device in devices))
        if not cabling.has(attachment.owner, attachment.private):
            cabling.bridge(attachment.owner, attachment.private, deaf=True)
        _hang(cabling, attachment, attachment.inner, attachment.private)
        _hang(cabling, attachment, attachment.outer, attachment.bridge)
        # Last: from here on packets go through it.
        _hang(cabling, attachment, attachment.host, attachment.private)


def _hang(cabling, attachment, port, bridge):
    cabling.hang(attachment.owner, port, bridge)


def _wait(lab, attachment, condition):
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        if not lab.service_running(attachment.owner, attachment.service) or time.monotonic() > deadline:
            said = lab.log(attachment.owner, attachment.service).strip().splitlines()
            raise OverlayError('The emulator of the link of {} does not work{}.'.format(
                attachment.host, ': ' + said[-1].rstrip('.') if said else ''), 'ua-overlay lab status', code='LAB_LINK')
        time.sleep(0.02)
