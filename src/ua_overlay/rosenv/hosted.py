"""Run the team's launch file in the team host, outside the sandbox of the overlay node's unit (rosenv.team_host).

A request is one line of JSON: {"variables": those of the env file, "run": id}. The answer comes when the run has ended
and nothing of it is left: {"status": number, "last": the last lines}. Closing the connection ends the run.
"""
import json
import os
import select
import socket
import subprocess
import time
from typing import Any, Optional, Sequence

from ua_overlay.protocols import Environ
from ua_overlay.rosenv import envfile
from ua_overlay.system import foreign_json
from ua_overlay.system.leftovers import RUN

#: Environment variable with the path of the team host's socket; the unit of the overlay node sets it.
SOCKET = 'UA_OVERLAY_TEAM_HOST'
#: Longest answer, in bytes.
_LONGEST = 65536
#: Exit status where the host ended without an answer.
LOST = 1


class _End:
    """Our end of the connection, as the standard input of the process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def close(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the host has ended, and its service manager ends what it ran


class HostedProcess:
    """A run in the team host, as far as Supervised uses a subprocess.Popen.

    :param path: of the host's socket.
    :param pass_fds: one descriptor for the last lines.
    :raises OSError: the host does not run.
    """

    def __init__(self, path: str, env: Environ, pass_fds: Sequence[int] = ()) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._connection.settimeout(5.0)
            self._connection.connect(path)
            variables = {key: env[key] for key in envfile.KEYS if key in env}
            self._connection.sendall(json.dumps({'variables': variables, 'run': env[RUN]}).encode() + b'\n')
        except OSError:
            self._connection.close()
            raise
        self._connection.setblocking(False)
        self._last_lines: Optional[int] = os.dup(pass_fds[0]) if pass_fds else None
        self._answer = b''
        #: There is no process of ours.
        self.pid = 0
        self.returncode: Optional[int] = None
        self.stdin = _End(self._connection)

    def poll(self) -> Optional[int]:
        """Return the exit status of the roslaunch, None while it runs."""
        while self.returncode is None:
            try:
                part = self._connection.recv(4096)
            except BlockingIOError:
                return None
            except OSError:
                part = b''
            self._answer += part
            if not part or self._answer.endswith(b'\n') or len(self._answer) > _LONGEST:
                self._end()
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Return the exit status.

        :raises subprocess.TimeoutExpired: it does not end within ``timeout`` seconds.
        """
        end = time.monotonic() + timeout
        while self.poll() is None:
            left = end - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired('team host', timeout)
            select.select([self._connection], [], [], left)
        assert self.returncode is not None
        return self.returncode

    def _end(self) -> None:
        status, last = LOST, 'The service ua-overlay-team ended.'
        try:
            answer = foreign_json.parse_object(self._answer)
            if type(answer.get('status')) is int and isinstance(answer.get('last'), str):
                status, last = answer['status'], answer['last']
        except ValueError:
            last = 'The service ua-overlay-team ended.'
        self.returncode = status
        self._connection.close()
        if self._last_lines is not None:
            try:
                os.write(self._last_lines, last.encode('utf-8', 'replace')[-4000:])
            finally:
                os.close(self._last_lines)
                self._last_lines = None


def popen_in(path: str) -> Any:
    """Return a function in place of subprocess.Popen that runs in the team host at ``path``."""
    def popen(command: Sequence[str], env: Environ, pass_fds: Sequence[int] = (), **_: object) -> HostedProcess:
        return HostedProcess(path, env, pass_fds)

    return popen
