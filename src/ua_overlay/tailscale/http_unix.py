"""The part of HTTP/1.1 over a unix socket that tailscaled's LocalAPI needs.

`http.client` costs 0.3 ms a call and this module a third of that; a robot makes five calls a second all the time.
`http.client` also cannot end a blocked read from another thread, which the bus needs.

Whatever the other side sends, an exchange ends within its time, and with at most three times LONGEST_BODY in memory.
"""
import re
import socket
import time
from typing import Dict, Optional

from ua_overlay.protocols import Clock

#: Longest head of an answer, in bytes: net/http of Go sends less than 1 kB here.
LONGEST_HEAD = 65536
#: Longest body, and longest chunk of a stream, in bytes: twice the status of 10,000 peers (1.2 kB for each).
LONGEST_BODY = 24 * 1024 * 1024
#: Longest line that announces a chunk, in bytes.
_LONGEST_LINE = 1024
#: RFC 9112, 4 and 6.2 to 7.1; Python's int() accepts more: '-5', '+5', '1_0', digits of other scripts.
_STATUS_LINE = re.compile(rb'HTTP/1\.[01] ([1-5][0-9]{2})(?: |\Z)')
_DECIMAL = re.compile('[0-9]{1,18}')
_HEXADECIMAL = re.compile(rb'[0-9A-Fa-f]{1,15}[ \t]*')


class ProtocolError(Exception):
    """The other side sent something other than an HTTP/1.1 answer, or closed the connection in the middle of one."""


class Answer:
    """Status code, header fields (lower-case names) and body (bytes; empty for a stream)."""

    __slots__ = ('code', 'headers', 'body')

    def __init__(self, code: int, headers: Dict[str, str], body: bytes = b'') -> None:
        self.code = code
        self.headers = headers
        self.body = body


class Connection:
    """One connection, for one thread at a time; only :meth:`interrupt` may be called from another.

    :param path: of the unix socket.
    :param timeout: seconds for each whole exchange, connecting included.
    :param host: value of the Host header.
    :raises OSError: FileNotFoundError, ConnectionRefusedError, PermissionError… when it cannot be opened.
    """

    def __init__(self, path: str, timeout: float, host: str, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._host = host.encode('ascii')
        self._buffer = bytearray()
        self._used = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
        except BaseException:
            self._socket.close()
            raise
        self.reusable = True

    def close(self) -> None:
        self._socket.close()

    def interrupt(self) -> None:
        """End a read that is blocked in another thread, as if the other side had closed the connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other side closed it first
            return

    def request(self, method: str, target: str, body: Optional[bytes], timeout: float, stream: bool = False) -> Answer:
        """Send a request and return its :class:`Answer`; with ``stream`` the body of a 200 is left for `read_chunk`.

        After an error the connection cannot be used again.

        :raises socket.timeout: no complete answer within ``timeout`` seconds.
        :raises ProtocolError, OSError: the answer is not HTTP/1.1, or the connection broke.
        """
        deadline = self._clock() + timeout
        self.reusable = False
        if self._used and (self._buffer or self._has_news()):
            raise ConnectionResetError('the other side closed the connection, or sent what nobody asked for')
        self._used = True
        head = b'%s %s HTTP/1.1\r\nHost: %s\r\n' % (method.encode('ascii'), target.encode('ascii'), self._host)
        if body is not None:
            head += b'Content-Type: application/json\r\nContent-Length: %d\r\n' % len(body)
        elif method != 'GET':
            head += b'Content-Length: 0\r\n'
        self._socket.settimeout(timeout)
        self._socket.sendall(head + b'\r\n' + (body or b''))
        answer = self._read_head(deadline)
        chunked = answer.headers.get('transfer-encoding', '').lower() == 'chunked'
        if stream and answer.code == 200:
            if not chunked:
                raise ProtocolError('the answer is no stream')
            return answer
        if answer.code == 204 or answer.code == 304:
            answer.body = b''
        elif chunked:
            answer.body = self._read_chunks(deadline)
        elif 'content-length' in answer.headers:
            answer.body = self._read_exactly(_length(answer.headers['content-length']), deadline)
        else:
            answer.body = self._read_to_end(deadline)
            return answer
        self.reusable = answer.headers.get('connection', '').lower() != 'close'
        return answer

    def read_chunk(self, timeout: Optional[float] = None) -> bytes:
        """Return the next chunk of a stream, b'' at the end of the stream.

        :param timeout: seconds to wait for it; None waits for ever (the bus has no keep-alive).
        :raises socket.timeout: the chunk is not complete; the received part is kept, so the call can be repeated.
        :raises ProtocolError, OSError: the stream is invalid or broke.
        """
        deadline = None if timeout is None else self._clock() + timeout
        end = self._fill_to(b'\r\n', deadline, _LONGEST_LINE)
        size = _chunk_size(bytes(self._buffer[:end]))
        while len(self._buffer) < end + 2 + size + 2:
            self._receive(deadline)
        data = bytes(self._buffer[end + 2:end + 2 + size])
        del self._buffer[:end + 2 + size + 2]
        return data

    def _has_news(self) -> bool:
        """Return whether the other side sent something, or closed the connection, without a request."""
        self._socket.settimeout(0.0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        return True

    def _read_head(self, deadline: float) -> Answer:
        end = self._fill_to(b'\r\n\r\n', deadline, LONGEST_HEAD)
        head = bytes(self._buffer[:end])
        del self._buffer[:end + 4]
        match = _STATUS_LINE.match(head.split(b'\r\n', 1)[0])
        if match is None:
            raise ProtocolError('not an HTTP answer')
        code = int(match.group(1))
        if code < 200:  # it answers Expect and Upgrade, which this module does not send
            raise ProtocolError('an interim answer')
        headers = {}
        for line in head.decode('latin-1').split('\r\n')[1:]:
            name, _, value = line.partition(':')
            headers[name.strip().lower()] = value.strip()
        return Answer(code, headers)

    def _read_chunks(self, deadline: float) -> bytes:
        body = bytearray()
        while True:
            end = self._fill_to(b'\r\n', deadline, _LONGEST_LINE)
            size = _chunk_size(bytes(self._buffer[:end]), LONGEST_BODY - len(body))
            del self._buffer[:end + 2]
            while len(self._buffer) < size + 2:
                self._receive(deadline)
            body += memoryview(self._buffer)[:size]
            if self._buffer[size:size + 2] != b'\r\n':  # Go sends no trailers here
                raise ProtocolError('invalid chunk')
            del self._buffer[:size + 2]
            if size == 0:
                return bytes(body)

    def _read_exactly(self, size: int, deadline: float) -> bytes:
        while len(self._buffer) < size:
            self._receive(deadline)
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    def _read_to_end(self, deadline: float) -> bytes:
        try:
            while len(self._buffer) <= LONGEST_BODY:
                self._receive(deadline)
        except ConnectionAbortedError:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        raise _too_long()

    def _fill_to(self, mark: bytes, deadline: Optional[float], longest: int) -> int:
        """Receive until ``mark`` is in the buffer, within ``longest`` bytes; return where it begins."""
        start = 0
        while True:
            position = self._buffer.find(mark, start, longest + len(mark))
            if position >= 0:
                return position
            if len(self._buffer) >= longest + len(mark):
                raise _too_long()
            start = max(0, len(self._buffer) - len(mark))
            self._receive(deadline)

    def _receive(self, deadline: Optional[float]) -> None:
        if deadline is None:
            self._socket.settimeout(None)
        else:
            left = deadline - self._clock()
            if left <= 0:
                raise socket.timeout('timed out')
            self._socket.settimeout(left)
        data = self._socket.recv(262144)
        if not data:
            raise ConnectionAbortedError('the other side closed the connection')
        self._buffer += data


def _length(text: str) -> int:
    """Return the number in a Content-Length."""
    if not _DECIMAL.fullmatch(text):
        raise ProtocolError('invalid length')
    if int(text) > LONGEST_BODY:
        raise _too_long()
    return int(text)


def _chunk_size(line: bytes, most: int = LONGEST_BODY) -> int:
    """Return the number in the line before a chunk, at most ``most``."""
    size = line.split(b';', 1)[0]
    if not _HEXADECIMAL.fullmatch(size):
        raise ProtocolError('invalid chunk size')
    if int(size, 16) > most:
        raise _too_long()
    return int(size, 16)


def _too_long() -> ProtocolError:
    return ProtocolError('an answer that is too long')
