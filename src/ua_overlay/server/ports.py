"""Check that the ports of a site are free, before a process fails because of one."""
import errno
import socket
from typing import Callable

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_settings import SiteSettings


class StartError(OverlayError):
    """The control server cannot start."""

    code = 'SERVER'


def check_ports(settings: SiteSettings, make_socket: Callable[..., socket.socket] = socket.socket) -> None:
    """Check that this machine can open each of the site's ports.

    :raises StartError: a port is not available; the sentence names it and its protocol.
    """
    for kind, protocol, port, option in ((socket.SOCK_STREAM, 'TCP', settings.port, '--port'),
                                         (socket.SOCK_DGRAM, 'UDP', settings.stun_port, '--stun-port'),
                                         (socket.SOCK_DGRAM, 'UDP', settings.relay_port, '--relay-port')):
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
                                 command('sudo ua-overlay server run   # or another {} at server init', option))
