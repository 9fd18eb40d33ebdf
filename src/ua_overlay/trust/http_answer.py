"""Read the answer of a server to one HTTP request: bounded in size and in time, whatever the server sends.

http.client alone waits for each part anew, so a server that sends a byte per second keeps it busy for hours.
"""
import http.client
import io
import socket
import time
from typing import IO, NamedTuple, Optional

#: Longest answer, in bytes. Headscale's have less than 100, so a longer one comes from another server.
LONGEST = 16384


class HttpAnswer(NamedTuple):
    """The answer of a server."""

    status: int
    body: bytes
    #: The header `Date`, None without one.
    date: Optional[str]


def exchange(connection: socket.socket, request: bytes, deadline: float, longest: int = LONGEST) -> HttpAnswer:
    """Send a request with `Connection: close`, and return the answer.

    :param deadline: monotonic seconds.
    :raises OSError: it does not arrive in time (socket.timeout), or the connection breaks.
    :raises ValueError: it is not an HTTP answer, or is cut short.
    """
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    connection.sendall(request)
    received = b''
    while len(received) < longest:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise socket.timeout('timed out')
        connection.settimeout(remaining)
        part = connection.recv(4096)
        if not part:
            break
        received += part
    return parse(received)


def parse(data: bytes) -> HttpAnswer:
    """Return the answer in what a server has sent. Pure.

    :raises ValueError: it is not an HTTP answer, or is cut short.
    """
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]  # needs only makefile
    try:
        response.begin()
        return HttpAnswer(response.status, response.read(), response.getheader('Date'))
    except Exception:  # http.client and email raise HTTPException, ValueError, OSError, and others for odd headers
        raise ValueError('not an HTTP answer') from None


class _Received:
    """The bytes of an answer, in place of the socket that http.client.HTTPResponse reads."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, mode: str) -> IO[bytes]:
        return io.BytesIO(self.data)
