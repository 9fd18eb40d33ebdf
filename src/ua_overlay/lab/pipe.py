"""The program that connects stdin and stdout to a TCP port of a host, for `ssh -o ProxyCommand`.

Robots of a lab share one private address behind their NATs, so that no address names one of them from outside.
"""
import argparse
import os
import select
import socket
import sys
from typing import List, Union

from ua_overlay.lab import kernel


def copy(connection: socket.socket, read: int = 0, write: int = 1) -> None:
    """Copy bytes in both directions until the connection ends; the end of ``read`` closes one half of it."""
    sources: List[Union[socket.socket, int]] = [connection, read]
    while connection in sources:
        for ready in select.select(sources, [], [])[0]:
            data = connection.recv(65536) if ready is connection else os.read(read, 65536)
            if ready is connection:
                if not data:
                    return
                while data:
                    data = data[os.write(write, data):]
            elif data:
                connection.sendall(data)
            else:
                sources.remove(read)
                connection.shutdown(socket.SHUT_WR)


def main() -> None:
    parser = argparse.ArgumentParser(prog='pipe')
    parser.add_argument('--pid', type=int, required=True)
    parser.add_argument('--start', type=int, required=True)
    parser.add_argument('port', type=int)
    arguments = parser.parse_args()
    host = kernel.ProcessHandle(arguments.pid, arguments.start)
    try:
        handle = os.open('/proc/{}/ns/net'.format(host.pid), os.O_RDONLY | os.O_CLOEXEC)
        if not host.alive():
            raise ProcessLookupError(3, 'the host has ended')
        kernel.setns(handle, kernel.CLONE_NEWNET)
        connection = socket.create_connection(('127.0.0.1', arguments.port), timeout=10)
    except OSError as error:
        sys.exit('No connection to port {}: {}'.format(arguments.port, error.strerror or error))
    connection.settimeout(None)
    copy(connection)
