"""The socket over which `ua-overlay` commands talk to the `server run` of the same site: one JSON line each way."""
import json
import os
import socket
import threading
from typing import Callable

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import JsonObject


class NotRunning(OverlayError):
    """No `server run` is running for this site."""

    code = 'SERVER_DOWN'


class ControlServer:
    """Answers requests in a thread.

    :param path: of the unix socket, in a directory that only the site's owner may enter.
    :param handler: operation -> answer; the client raises its OverlayErrors.
    """

    def __init__(self, path: str, handler: Callable[[str], JsonObject]) -> None:
        self._handler = handler
        self._path = path
        if os.path.exists(path):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        os.chmod(path, 0o600)
        self._socket.listen(8)
        self._thread = threading.Thread(target=self._serve, daemon=True, name='control socket')
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    with connection.makefile('rw', encoding='utf-8') as stream:
                        operation = json.loads(stream.readline(4096)).get('op', '')
                        try:
                            answer = self._handler(operation)
                        except OverlayError as error:
                            answer = {'error': error.sentence}
                        stream.write(json.dumps(answer) + '\n')
                except (OSError, ValueError, AttributeError):
                    # The client left early or sent something invalid; the next one is served.
                    continue

    def close(self) -> None:
        """Stop answering and remove the socket."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        finally:
            self._socket.close()
        if os.path.exists(self._path):
            os.unlink(self._path)


def ask(path: str, operation: str, timeout: float = 60.0) -> JsonObject:
    """Send ``operation`` to the server of a site and return its answer.

    :param path: of the unix socket.
    :param timeout: seconds.
    :raises NotRunning: no server listens on the socket.
    :raises OverlayError: the server's error, or no answer in time.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        directory = os.path.dirname(os.path.dirname(path))
        run = 'ua-overlay server run --dir {}'.format(directory)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunning('The server of the site {} is not running.'.format(directory), run)
        except OSError as error:
            raise OverlayError('The server of the site {} cannot be reached: {}.'.format(directory, error), run)
        try:
            with connection.makefile('rw', encoding='utf-8') as stream:
                stream.write(json.dumps({'op': operation}) + '\n')
                stream.flush()
                answer: JsonObject = json.loads(stream.readline())
        except (OSError, ValueError):
            raise OverlayError('The server of the site {} did not answer "{}" within {:.0f} s.'.format(
                directory, operation, timeout), 'ua-overlay server status --dir {}'.format(directory))
    if 'error' in answer:
        raise OverlayError(answer['error'], 'ua-overlay server status --dir {}'.format(directory))
    return answer
