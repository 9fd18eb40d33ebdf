"""Whether the ports of a site are free, before a process fails over one that is not."""
import errno
import socket

from ua_overlay.errors import OverlayError


class ServerError(OverlayError):
    """The control server cannot start."""

    code = 'SERVER'


def check_ports(settings, make_socket=socket.socket):
    """Say which of the site's ports is taken before a process fails over it.

    :raises ServerError: naming port and protocol.
    """
    for kind, protocol, port, option in ((socket.SOCK_STREAM, 'TCP', settings.port, '--port'),
                                         (socket.SOCK_DGRAM, 'UDP', settings.stun_port, '--stun-port'),
                                         (socket.SOCK_DGRAM, 'UDP', settings.relay_port, '--relay-port')):
        with make_socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As Go's listener does: connections of a predecessor in TIME_WAIT are no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('0.0.0.0', port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise ServerError('{} port {} is taken by another program on this machine.'.format(protocol, port),
                                      'ss -lnp | grep :{}    (or another {} at server init)'.format(port, option))
                raise ServerError('{} port {} cannot be opened: {}.'.format(protocol, port, error.strerror),
                                  'sudo ua-overlay server run, or another {} at server init'.format(option))
