"""Work a lab from inside one of its hosts: a unix socket that every host sees, lines of JSON.

A rostest runs in one robot and has to switch a NAT or act on the other robot. The process that holds the lab serves
(:class:`ControlServer`); :class:`LabControl` asks. Anyone in a host may use it: a power of the lab, never of a robot.
"""
import json
import os
import signal
import socket
import socketserver
import subprocess
import threading

from ua_overlay.errors import OverlayError, UsageError

SOCKET_NAME = 'control.sock'
#: Where a host sees the socket.
SOCKET_PATH = '/run/ua_lab/' + SOCKET_NAME


class LabControl:
    """The asking side. Each call opens a connection of its own.

    :param path: the socket.
    :param timeout: seconds that an answer may take (a command's own timeout comes on top).
    """

    def __init__(self, path=SOCKET_PATH, timeout=30.0):
        self.path = path
        self.timeout = timeout

    def nat(self, nat, kind):
        """Make a router of another kind."""
        self._ask({'op': 'nat', 'nat': nat, 'kind': kind})

    def exec(self, host, argv, user=None, env=None, cwd=None, input=None, timeout=60.0, check=True):
        """Run a command in any host. :return: :class:`subprocess.CompletedProcess` with text.

        :raises OverlayError: LAB_TIMEOUT; with ``check``, LAB_COMMAND when the status is not 0.
        """
        answer = self._ask({'op': 'exec', 'host': host, 'argv': list(argv), 'user': user, 'env': env, 'cwd': cwd,
                            'input': input, 'timeout': timeout}, timeout)
        if check and answer['returncode'] != 0:
            raise OverlayError('{} on {} ended with status {}: {}'.format(
                argv[0], host, answer['returncode'], answer['stderr'].strip()), code='LAB_COMMAND')
        return subprocess.CompletedProcess(argv, answer['returncode'], answer['stdout'], answer['stderr'])

    def start_service(self, host, service, argv, user=None, env=None, cwd=None):
        self._ask({'op': 'start_service', 'host': host, 'service': service, 'argv': list(argv), 'user': user,
                   'env': env, 'cwd': cwd})

    def stop_service(self, host, service, timeout=10.0):
        """:return: whether SIGTERM was enough."""
        request = {'op': 'stop_service', 'host': host, 'service': service, 'timeout': timeout}
        return self._ask(request, timeout)['gentle']

    def kill(self, host, service, number=signal.SIGKILL):
        """Send a signal to a service."""
        self._ask({'op': 'kill', 'host': host, 'service': service, 'signal': int(number)})

    def log(self, host, service):
        """Output of a service so far."""
        return self._ask({'op': 'log', 'host': host, 'service': service})['text']

    def _ask(self, request, extra=0.0):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(self.timeout + extra)
            try:
                link.connect(self.path)
            except (FileNotFoundError, ConnectionRefusedError):
                raise OverlayError('Nobody serves the lab\'s control socket {}.'.format(self.path), code='LAB_CONTROL')
            link.sendall(json.dumps(request).encode() + b'\n')
            with link.makefile('rb') as stream:
                line = stream.readline()
        if not line:
            raise OverlayError('The lab went away while {} was under way.'.format(request['op']), code='LAB_CONTROL')
        answer = json.loads(line)
        if 'error' in answer:
            raise OverlayError(answer['error'], answer.get('next', ''), answer.get('code'))
        return answer


def perform(lab, request):
    """Do what one request asks of ``lab``.

    :return: the answer, a mapping.
    :raises OverlayError: also when the request makes no sense.
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


def _nat(lab, request):
    lab.nat(request['nat'], request['kind'])
    return {}


def _exec(lab, request):
    done = lab.host(request['host']).run(
        request['argv'], request.get('user'), request.get('env'), request.get('cwd'), request.get('input'),
        request.get('timeout', 60.0), check=False)
    return {'returncode': done.returncode, 'stdout': done.stdout, 'stderr': done.stderr}


def _start_service(lab, request):
    lab.start_service(request['host'], request['service'], request['argv'], request.get('env'), request.get('user'),
                      request.get('cwd'))
    return {}


def _stop_service(lab, request):
    return {'gentle': lab.stop_service(request['host'], request['service'], request.get('timeout', 10.0))}


def _kill(lab, request):
    lab.kill_service(request['host'], request['service'], request.get('signal', signal.SIGKILL))
    return {}


def _log(lab, request):
    return {'text': lab.log(request['host'], request['service'])}


_OPERATIONS = {'nat': _nat, 'exec': _exec, 'start_service': _start_service, 'stop_service': _stop_service,
               'kill': _kill, 'log': _log}


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            try:
                answer = perform(self.server.lab, json.loads(line))
            except OverlayError as error:
                answer = {'error': error.sentence, 'next': error.next_command, 'code': error.code}
            except (ValueError, TypeError, OSError) as error:
                answer = {'error': 'The request failed: {}.'.format(error), 'code': 'LAB_CONTROL'}
            self.wfile.write(json.dumps(answer).encode() + b'\n')


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    # server_close() must not wait for a command that still runs.
    block_on_close = False


class ControlServer:
    """The answering side: one thread that listens, one per connection. A context manager."""

    def __init__(self, lab):
        directory = os.open(lab.state.path('control'), os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The name of a unix socket has at most 107 bytes; a lab's directory can be longer.
            path = '/proc/self/fd/{}/{}'.format(directory, SOCKET_NAME)
            if os.path.lexists(path):
                os.unlink(path)
            self._server = _Server(path, _Handler)
            os.chmod(path, 0o666)
        finally:
            os.close(directory)
        self._server.lab = lab
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={'poll_interval': 0.2},
                                        name='lab-control', daemon=True)
        self._thread.start()
        self._path = lab.state.path('control', SOCKET_NAME)

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if os.path.lexists(self._path):
            os.unlink(self._path)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close()
