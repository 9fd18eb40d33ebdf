"""The socket over which `ua-overlay` commands talk to the `server run` of the same site: one JSON line each way."""
import contextlib
import functools
import json
import logging
import os
import socket
import stat
import time
from typing import Any, Callable, Dict

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.protocols import JsonObject
from ua_overlay.system import foreign_file, foreign_json, units
from ua_overlay.system.thread import SupervisedThread

_LOG = logging.getLogger(__name__)

#: The service of a site's server, see server.service.
SERVICE = 'ua-overlay-server'

#: Longest request and answer, in bytes; seconds that a client may take for its request.
LONGEST_REQUEST, LONGEST_ANSWER, REQUEST_TIMEOUT = 4096, 16 * 1024 * 1024, 5.0


class NotRunning(OverlayError):
    """No `server run` is running for this site."""

    code = 'SERVER_DOWN'


class NoAnswer(OverlayError):
    """A running server has not answered: whether it did what it was asked for is unknown."""

    code = 'SERVER_NO_ANSWER'


#: Seconds between two looks whether the socket is still there.
LOOK = 1.0


class ControlServer:
    """Answers requests, each in a thread of its own, so that a long one keeps nobody waiting.

    :param path: of the unix socket, in a directory that only the site's owner may enter.
    :param handler: operation -> answer; the client raises its OverlayErrors.
    :raises OSError: the socket cannot be made.
    """

    def __init__(self, path: str, handler: Callable[[str], JsonObject]) -> None:
        self._handler = handler
        self._path = path
        self._closed = False
        if os.path.lexists(path) and not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
        self._socket = _listen(path)
        self._thread = SupervisedThread('control socket', self._serve).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except socket.timeout:
                self._listen_again()
                continue
            except OSError:
                if self._closed:
                    return
                raise  # too many open files, for instance: the supervisor logs it and tries again
            connection.settimeout(None)
            SupervisedThread('control request', functools.partial(self._serve_one, connection), restart=False).start()

    def _listen_again(self) -> None:
        """Make the socket again if somebody has removed it: nobody else can, while this server holds the site."""
        folder = os.path.dirname(self._path)
        if self._closed or os.path.lexists(self._path) or not os.path.isdir(folder):
            return
        old, self._socket = self._socket, _listen(self._path)
        old.close()
        _LOG.warning('%s was removed; it is there again.', self._path)

    def _serve_one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client left early
            connection.settimeout(REQUEST_TIMEOUT)
            try:
                request = foreign_json.parse_object(_read_line(connection, LONGEST_REQUEST,
                                                               time.monotonic() + REQUEST_TIMEOUT))
            except ValueError:
                return  # not a request
            answer = self._answer(str(request.get('op', '')))
            connection.settimeout(REQUEST_TIMEOUT)
            connection.sendall(json.dumps(answer).encode('ascii') + b'\n')

    def _answer(self, operation: str) -> JsonObject:
        try:
            return self._handler(operation)
        except OverlayError as error:
            return {'error': error.sentence, 'next': error.next_command, 'code': error.code}
        except OSError as error:
            return {'error': 'The server cannot do "{}": {}.'.format(operation, error.strerror or error)}
        except Exception as error:  # the next request is answered, and the client learns why this one is not
            _LOG.error('The request %r failed.', operation, exc_info=error)
            return {'error': 'The server cannot do "{}": {}. Its log says more.'.format(
                operation, type(error).__name__)}

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self._closed = True
        self._thread.stop()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        finally:
            self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def _listen(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
        os.chmod(path, 0o600)
        listening.listen(8)
        listening.settimeout(LOOK)
    except OSError as error:
        listening.close()
        error.filename = path
        raise
    return listening


def _read_line(connection: socket.socket, longest: int, deadline: float) -> bytes:
    """Return what arrives up to the first line end, or to the end of the connection.

    :param deadline: monotonic seconds.
    :raises OSError: it does not arrive in time.
    :raises ValueError: it is longer than ``longest`` bytes.
    """
    received = b''
    while not received.endswith(b'\n'):
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        part = connection.recv(65536)
        if not part:
            break
        received += part
        if len(received) > longest:
            raise ValueError('too long')
    return received


class _Answer(Dict[str, Any]):
    """An answer of a server, or an object in it; a field that it lacks is an error on which the user can act."""

    def __init__(self, values: JsonObject, directory: str) -> None:
        super().__init__((name, _Answer(value, directory) if isinstance(value, dict) else value)
                         for name, value in values.items())
        self._directory = directory

    def __missing__(self, name: str) -> Any:
        raise OverlayError('The server of the site {} does not report "{}": it is of another release than this '
                           'command.'.format(self._directory, name),
                           'restart it: sudo systemctl restart ' + SERVICE)


def start_command(directory: str, unit: str = os.path.join(units.UNIT_DIR, SERVICE + '.service'),
                  words: str = 'server run') -> str:
    """Return the command that starts the server of the site in ``directory``: its service, if it is installed.

    :param unit: path of the service's unit.
    :param words: those after `ua-overlay` that run it in the foreground.
    """
    with contextlib.suppress(OSError):
        if any(line.startswith('ExecStart=') and ' {} '.format(words) in line
               and line.endswith(' --dir ' + units.quote(directory))
               for line in foreign_file.read_text(unit).splitlines()):
            return 'sudo systemctl start ' + os.path.basename(unit)[:-len('.service')]
    return command('ua-overlay {} --dir {{}}'.format(words), directory)


def ask(path: str, operation: str, timeout: float = 60.0) -> JsonObject:
    """Send ``operation`` to the server of a site and return its answer.

    :param path: of the unix socket.
    :param timeout: seconds.
    :raises NotRunning: no server listens on the socket.
    :raises NoAnswer: no valid answer in time, or the server ended meanwhile.
    :raises OverlayError: the server's error.
    """
    directory = os.path.dirname(os.path.dirname(path))
    status = 'ua-overlay server status --dir {}'.format(directory)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise NotRunning('The server of the site {} is not running.'.format(directory), start_command(directory))
        except OSError as error:
            raise OverlayError('The server of the site {} cannot be reached: {}.'.format(
                directory, error.strerror or error), start_command(directory))
        try:
            connection.sendall(json.dumps({'op': operation}).encode('ascii') + b'\n')
            line = _read_line(connection, LONGEST_ANSWER, time.monotonic() + timeout)
            if not line:
                raise NoAnswer('The server of the site {} did not answer "{}" and ended.'.format(
                    directory, operation), status)
            answer = foreign_json.parse_object(line)
        except (OSError, ValueError):
            raise NoAnswer('The server of the site {} did not answer "{}" within {:.0f} s.'.format(
                directory, operation, timeout), status)
    if 'error' in answer:
        code = answer.get('code')
        raise OverlayError(printable(answer['error'], 4000), printable(answer.get('next') or status, 1000),
                           code if isinstance(code, str) else None)
    return _Answer(answer, directory)
