"""Notify systemd that the server is up: sd_notify(3) without its library."""
import os
import socket

from ua_overlay.protocols import Environ


def notify(text: str, environ: Environ = os.environ) -> None:
    """Send ``text`` ('READY=1') to the systemd that started this process as a Type=notify unit; otherwise do
    nothing."""
    path = environ.get('NOTIFY_SOCKET', '')
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        # A leading @ means the abstract namespace.
        connection.connect('\0' + path[1:] if path.startswith('@') else path)
        connection.sendall(text.encode('ascii'))
