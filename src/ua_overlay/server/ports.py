"""Check that the ports of a site are free, before a process fails because of one."""
import errno
import socket
from typing import Callable, Iterable, List, NamedTuple

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_settings import SiteSettings


class StartError(OverlayError):
    """The control server cannot start."""

    code = 'SERVER'


class Port(NamedTuple):
    """One port that a site opens."""

    #: 'TCP' or 'UDP'.
    protocol: str
    number: int
    #: The option of `server init` that sets it.
    option: str


def control_ports(settings: SiteSettings) -> List[Port]:
    """Return the ports of Headscale."""
    ports = [Port('TCP', settings.port, '--port')]
    return ports if settings.derp_port else ports + [Port('UDP', settings.stun_port, '--stun-port')]


def relay_ports(settings: SiteSettings) -> List[Port]:
    """Return the ports of the relay, and of derper if the site has one beside Headscale."""
    ports = [Port('UDP', settings.relay_port, '--relay-port')]
    if settings.derp_port:
        ports += [Port('TCP', settings.derp_port, '--derp-port'), Port('UDP', settings.stun_port, '--stun-port')]
    return ports


def check_ports(ports: Iterable[Port], apart: bool = False,
                make_socket: Callable[..., socket.socket] = socket.socket) -> None:
    """Check that this machine can open each of these ports.

    :param apart: whether `server relay run` opens them, not `server run`.
    :raises StartError: a port is not available; the sentence names it and its protocol.
    """
    for protocol, port, option in ports:
        kind = socket.SOCK_STREAM if protocol == 'TCP' else socket.SOCK_DGRAM
        with make_socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Like Go's listener, which can open the port while connections of a predecessor are in TIME_WAIT.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('0.0.0.0', port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise StartError('{} port {} is taken by another program on this machine.'.format(protocol, port),
                                     command('sudo ss -lnp | grep :{}   # or another {} at server init', port, option))
                raise StartError('{} port {} cannot be opened: {}.'.format(protocol, port, error.strerror),
                                 command('sudo ua-overlay server relay run   # or another {} at server init' if apart
                                         else 'sudo ua-overlay server run   # or another {} at server init', option))
