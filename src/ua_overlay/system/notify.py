"""Tells systemd that the server is up: sd_notify(3) without its library."""
import os
import socket


def notify(text, environ=os.environ):
    """Send ``text`` ('READY=1') to who started this process as a Type=notify unit; without one nothing happens."""
    path = environ.get('NOTIFY_SOCKET', '')
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        # A leading @ is the abstract namespace.
        connection.connect('\0' + path[1:] if path.startswith('@') else path)
        connection.sendall(text.encode('ascii'))
