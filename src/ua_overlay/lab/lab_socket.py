"""Control a lab from inside one of its hosts: lines of JSON over a unix socket that every host sees.

A rostest runs on one robot and has to switch a NAT or act on the other robot. The process that holds the lab serves the
socket (:class:`ControlServer`), and :class:`LabControl` is the client. Every user of a host may use it.
"""
import json
import os
import signal
import socket
import socketserver
import subprocess
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Type

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.protocols import Argv, Environ, JsonObject
from ua_overlay.system.thread import SupervisedThread

if TYPE_CHECKING:
    # lab.py imports this module.
    from ua_overlay.lab.lab import Lab

SOCKET_NAME = 'control.sock'
#: Path of the socket inside a host.
SOCKET_PATH = '/run/ua_lab/' + SOCKET_NAME


class LabControl:
    """The client. Each call opens a connection. Every method raises OverlayError with the code of the lab's error.

    :param path: the socket.
    :param timeout: seconds that an answer may take, plus the timeout of the command.
    """

    def __init__(self, path: str = SOCKET_PATH, timeout: float = 30.0) -> None:
        self.path = path
        self.timeout = timeout

    def nat(self, nat: str, kind: str) -> None:
        """Change the kind of a router."""
        self._ask({'op': 'nat', 'nat': nat, 'kind': kind})

    def exec(self, host: str, argv: Argv, user: Optional[str] = None, env: Optional[Environ] = None,
             cwd: Optional[str] = None, input: Optional[str] = None, timeout: float = 60.0, check: bool = True
             ) -> 'subprocess.CompletedProcess[str]':
        """Run a command in any host.

        :raises OverlayError: LAB_TIMEOUT; with ``check``, LAB_COMMAND when the status is not 0.
        """
        answer = self._ask({'op': 'exec', 'host': host, 'argv': list(argv), 'user': user, 'env': env, 'cwd': cwd,
                            'input': input, 'timeout': timeout}, timeout)
        if check and answer['returncode'] != 0:
            raise OverlayError('{} on {} ended with status {}: {}'.format(
                argv[0], host, answer['returncode'], answer['stderr'].strip()), code='LAB_COMMAND')
        return subprocess.CompletedProcess(argv, answer['returncode'], answer['stdout'], answer['stderr'])

    def start_service(self, host: str, service: str, argv: Argv, user: Optional[str] = None,
                      env: Optional[Environ] = None, cwd: Optional[str] = None) -> None:
        """Start a command in the background of any host."""
        self._ask({'op': 'start_service', 'host': host, 'service': service, 'argv': list(argv), 'user': user,
                   'env': env, 'cwd': cwd})

    def stop_service(self, host: str, service: str, timeout: float = 10.0) -> bool:
        """End a service. :return: whether SIGTERM was enough."""
        request = {'op': 'stop_service', 'host': host, 'service': service, 'timeout': timeout}
        return bool(self._ask(request, timeout)['gentle'])

    def kill(self, host: str, service: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a service."""
        self._ask({'op': 'kill', 'host': host, 'service': service, 'signal': int(number)})

    def log(self, host: str, service: str) -> str:
        """Return the output of a service so far."""
        return str(self._ask({'op': 'log', 'host': host, 'service': service})['text'])

    def _ask(self, request: JsonObject, extra: float = 0.0) -> JsonObject:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(self.timeout + extra)
            try:
                link.connect(self.path)
            except (FileNotFoundError, ConnectionRefusedError):
                raise OverlayError('No process serves the lab\'s control socket {}.'.format(self.path),
                                   code='LAB_CONTROL')
            link.sendall(json.dumps(request).encode() + b'\n')
            with link.makefile('rb') as stream:
                line = stream.readline()
        if not line:
            raise OverlayError('The lab ended during the request {}.'.format(request['op']), code='LAB_CONTROL')
        answer: JsonObject = json.loads(line)
        if 'error' in answer:
            raise OverlayError(answer['error'], answer.get('next', ''), answer.get('code'))
        return answer


def perform(lab: 'Lab', request: Any) -> JsonObject:
    """Carry out a request on ``lab`` and return the answer.

    :raises UsageError: the request is invalid.
    :raises OverlayError: the lab's error; LAB_TIMEOUT.
    """
    try:
        operation = _OPERATIONS[request['op']]
    except (KeyError, TypeError):
        raise UsageError('The lab\'s control knows {}.'.format(', '.join(sorted(_OPERATIONS))))
    try:
        return operation(lab, request)
    except KeyError as error:
        raise UsageError('The request {} needs {}.'.format(request['op'], error.args[0]))
    except subprocess.TimeoutExpired as error:
        raise OverlayError('{} took longer than {} s.'.format(request['op'], error.timeout), code='LAB_TIMEOUT')


def _nat(lab: 'Lab', request: JsonObject) -> JsonObject:
    lab.nat(request['nat'], request['kind'])
    return {}


def _exec(lab: 'Lab', request: JsonObject) -> JsonObject:
    done = lab.host(request['host']).run(
        request['argv'], request.get('user'), request.get('env'), request.get('cwd'), request.get('input'),
        request.get('timeout', 60.0), check=False)
    return {'returncode': done.returncode, 'stdout': done.stdout, 'stderr': done.stderr}


def _start_service(lab: 'Lab', request: JsonObject) -> JsonObject:
    lab.start_service(request['host'], request['service'], request['argv'], request.get('env'), request.get('user'),
                      request.get('cwd'))
    return {}


def _stop_service(lab: 'Lab', request: JsonObject) -> JsonObject:
    return {'gentle': lab.stop_service(request['host'], request['service'], request.get('timeout', 10.0))}


def _kill(lab: 'Lab', request: JsonObject) -> JsonObject:
    lab.kill_service(request['host'], request['service'], request.get('signal', signal.SIGKILL))
    return {}


def _log(lab: 'Lab', request: JsonObject) -> JsonObject:
    return {'text': lab.log(request['host'], request['service'])}


_OPERATIONS: Dict[str, Callable[['Lab', JsonObject], JsonObject]] = {
    'nat': _nat, 'exec': _exec, 'start_service': _start_service, 'stop_service': _stop_service, 'kill': _kill,
    'log': _log}


class _Handler(socketserver.StreamRequestHandler):
    server: '_Server'

    def handle(self) -> None:
        for line in self.rfile:
            try:
                answer = perform(self.server.lab, json.loads(line))
            except OverlayError as error:
                answer = {'error': error.sentence, 'next': error.next_command, 'code': error.code}
            except (ValueError, TypeError, OSError) as error:
                answer = {'error': 'The request failed: {}.'.format(error), 'code': 'LAB_CONTROL'}
            self.wfile.write(json.dumps(answer).encode() + b'\n')


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    lab: 'Lab'
    daemon_threads = True
    # server_close() must not wait for a command that still runs.
    block_on_close = False


class ControlServer:
    """The server: one thread that listens, and one per connection. A context manager."""

    def __init__(self, lab: 'Lab') -> None:
        directory = os.open(lab.state.path('control'), os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The path of a unix socket has at most 107 bytes (unix(7)); a lab's directory can be longer.
            path = '/proc/self/fd/{}/{}'.format(directory, SOCKET_NAME)
            if os.path.lexists(path):
                os.unlink(path)
            self._server = _Server(path, _Handler)
            os.chmod(path, 0o666)
        finally:
            os.close(directory)
        self._server.lab = lab
        self._thread = SupervisedThread('lab-control', lambda: self._server.serve_forever(poll_interval=0.2)).start()
        self._path = lab.state.path('control', SOCKET_NAME)

    def close(self) -> None:
        """Stop serving and remove the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if os.path.lexists(self._path):
            os.unlink(self._path)

    def __enter__(self) -> 'ControlServer':
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()
