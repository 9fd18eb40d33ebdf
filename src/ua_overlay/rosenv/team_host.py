"""The team host: runs the team's launch file for an overlay node that is a sandboxed service.

`python3 -m ua_overlay.rosenv.team_host SOCKET [NAME:=VALUE…]` is the program of ua-overlay-team.service. The robot's
own nodes run below it, with everything that its user can do in a shell, and the overlay node's sandbox holds only our
own code. The node says when and in which graph (rosenv.hosted); what is run is the host's to say, from the arguments of
overlay.launch that its unit has, so that a node that was taken over can start nothing else outside its sandbox.

A run lasts as long as the connection that asked for it, and there is one at a time: a node that ends, however that is,
ends its nodes, and they never run twice.
"""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional, Sequence

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.protocols import Environ
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.launch import team_environ
from ua_overlay.rosenv.runner import LINES, LOCAL_ONLY, Words, find_launch, roslaunch_command
from ua_overlay.system import foreign_json, process, subreaper
from ua_overlay.system.leftovers import OWNER, RUN, owner_of
from ua_overlay.system.supervised import ALONE

#: Longest request, in bytes; seconds within which it must come.
LONGEST, PATIENCE = 65536, 5.0
#: Seconds between SIGTERM and SIGKILL for what a killed minder left.
TERM_GRACE = 1.0


def parse_arguments(words: Sequence[str]) -> Words:
    """Return the words after `roslaunch`, from arguments of overlay.launch.

    :raises UsageError: they are invalid.
    """
    values = dict(word.split(':=', 1) for word in words if ':=' in word)
    return find_launch(values.get('team_launch', ''), values.get('config', defaults.ROBOT_FILE))


def parse_request(text: str) -> Dict[str, str]:
    """Return the variables of a request (see rosenv.hosted).

    :raises ValueError: it is invalid.
    """
    data = foreign_json.parse_object(text)
    variables, run = data.get('variables'), data.get('run')
    if set(data) != {'variables', 'run'} or not isinstance(variables, dict) or not isinstance(run, str) or \
            not all(isinstance(value, str) for value in variables.values()):
        raise ValueError('not a request')
    if not run.isalnum() or not run.isascii():
        raise ValueError('the id of the run is invalid')
    return dict(envfile.parse(envfile.dump({key: str(value) for key, value in variables.items()})), **{RUN: run})


def run_environ(variables: Environ, environ: Environ, owner: str) -> Dict[str, str]:
    """Return the process environment of the team's roslaunch: the host's own, in the team graph."""
    graph = {key: value for key, value in variables.items() if key != RUN}
    kept = {key: value for key, value in team_environ(environ, graph).items() if key not in LOCAL_ONLY}
    return dict(LINES, **kept, **{RUN: variables[RUN], OWNER: owner})


class TeamHost:
    """Serves one connection after the other.

    :param words: after `roslaunch`; asked for each run, because the robot's file may change.
    """

    def __init__(self, words: Any, environ: Environ = os.environ) -> None:
        self._words = words
        self._environ = environ

    def serve(self, connection: socket.socket) -> None:
        """Run the launch file for one connection, until it has ended and nothing of it is left."""
        with connection:
            answer: Dict[str, Any]
            try:
                pid = _peer(connection)
                variables = parse_request(_receive(connection))
                words = self._words()
                if not words:
                    raise UsageError('The service has no launch file for the team.',
                                     'sudo ua-overlay service install --arg team_launch:=PACKAGE/FILE.launch')
                answer = self._run(connection, roslaunch_command(words),
                                   run_environ(variables, self._environ, owner_of(pid)))
            except (OSError, ValueError, OverlayError) as error:
                answer = {'status': 1, 'last': str(error)}
            try:
                connection.sendall(json.dumps(answer).encode() + b'\n')
            except OSError as error:
                print('The overlay node has ended: {}.'.format(error.strerror), flush=True)

    def _run(self, connection: socket.socket, command: List[str], environ: Environ) -> Dict[str, Any]:
        read_end, write_end = os.pipe()
        try:
            minder = subprocess.Popen(
                [sys.executable, '-I', subreaper.__file__, '--grace', str(subreaper.GRACE), '--alone', str(ALONE),
                 '--last-lines', str(write_end)] + command, stdin=connection.fileno(), env=environ,
                pass_fds=(write_end,), start_new_session=True)
        finally:
            os.close(write_end)
        try:
            status = minder.wait()
            sweep(minder.pid)
            os.set_blocking(read_end, False)
            try:
                last = os.read(read_end, subreaper.LAST_BYTES)
            except BlockingIOError:
                last = b''
        finally:
            os.close(read_end)
        return {'status': status, 'last': last.decode('utf-8', 'replace')}


def sweep(ended: int, seconds: float = 10.0) -> None:
    """End all descendants of this process, which inherits those of a killed minder (PR_SET_CHILD_SUBREAPER).

    :param ended: process id of a minder that was reaped.
    """
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        left = [pid for pid in subreaper.descendants(os.getpid(), subreaper.parents(process.list_pids()))
                if pid != ended]
        if not left:
            return
        number = signal.SIGTERM if time.monotonic() - began < TERM_GRACE else signal.SIGKILL
        for pid in left:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue  # it ended meanwhile, or has changed its user
        reap()
        time.sleep(0.05)


def reap() -> None:
    """Collect inherited children that have ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _peer(connection: socket.socket) -> int:
    """Return the process id at the other end.

    :raises OverlayError: it is another user's.
    """
    pid, uid = process.peer_of(connection)
    if uid != os.geteuid():
        raise OverlayError('Another user may not start the nodes of this robot\'s team.')
    return pid


def _receive(connection: socket.socket) -> str:
    """Return one line.

    :raises OSError: it does not come in time, or is too long.
    """
    connection.settimeout(PATIENCE)
    text = b''
    while not text.endswith(b'\n'):
        part = connection.recv(4096)
        text += part
        if not part or len(text) > LONGEST:
            raise OSError('the request is incomplete or too long')
    connection.settimeout(None)
    return text.decode('utf-8', 'replace')


def listen(path: str) -> socket.socket:
    """Return the listening socket at ``path``, for this user alone.

    :raises OSError: its directory is missing or not ours.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Renamed when it answers: nobody finds one that refuses connections, or that of a host that was killed.
    early = path + '.new'
    with contextlib.suppress(FileNotFoundError):
        os.unlink(early)
    before = os.umask(0o177)
    try:
        server.bind(early)
        server.listen(4)
        os.rename(early, path)
    except OSError:
        server.close()
        raise
    finally:
        os.umask(before)
    return server


def main(argv: Optional[Sequence[str]] = None) -> int:
    path, *words = sys.argv[1:] if argv is None else argv
    process.become_subreaper()
    host = TeamHost(lambda: parse_arguments(words))
    with listen(path) as server:
        while True:
            host.serve(server.accept()[0])


if __name__ == '__main__':
    sys.exit(main())
