"""The socket over which `ua-overlay` commands talk to the `server run` of the same site: one JSON line each way."""
import json
import os
import socket
import threading

from ua_overlay.errors import OverlayError


class NotRunning(OverlayError):
    """No `server run` holds this site."""

    code = 'SERVER_DOWN'


class ControlServer:
    """Answers requests in a thread.

    :param path: of the unix socket, in a directory that only the site's owner enters.
    :param handler: function(operation: str) -> dict that JSON can carry; an OverlayError becomes an error answer.
    """

    def __init__(self, path, handler):
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

    def _serve(self):
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
                    # A client that left early or spoke nonsense: its own loss, the next one is served.
                    continue

    def close(self):
        """Stop answering and remove the socket."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        finally:
            self._socket.close()
        if os.path.exists(self._path):
            os.unlink(self._path)


def ask(path, operation, timeout=60.0):
    """Send ``operation`` to the server of a site and return its answer.

    :param path: of the unix socket.
    :raises NotRunning: nobody listens there.
    :raises OverlayError: the server's own sentence, or no answer in time.
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
            raise OverlayError('The server of the site {} cannot be asked: {}.'.format(directory, error), run)
        try:
            with connection.makefile('rw', encoding='utf-8') as stream:
                stream.write(json.dumps({'op': operation}) + '\n')
                stream.flush()
                answer = json.loads(stream.readline())
        except (OSError, ValueError):
            raise OverlayError('The server of the site {} gave no answer to "{}" within {:.0f} s.'.format(
                directory, operation, timeout), 'ua-overlay server status --dir {}'.format(directory))
    if 'error' in answer:
        raise OverlayError(answer['error'], 'ua-overlay server status --dir {}'.format(directory))
    return answer
