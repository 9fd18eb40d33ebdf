"""A host of a running lab: run commands in it as if logged in."""
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

import ua_overlay
from ua_overlay.errors import OverlayError
from ua_overlay.lab import kernel
from ua_overlay.protocols import Argv, Environ, JsonObject

_SOURCE = os.path.dirname(os.path.dirname(os.path.realpath(ua_overlay.__file__)))
# Isolated (-I) and without site packages (-S): it starts fast and ignores the caller's Python settings.
_BOOT = 'import sys; sys.path.insert(0, sys.argv.pop(1)); from ua_overlay.lab.{} import main; main()'
#: Marks process 1 of a host in /proc/PID/cmdline, followed by the lab's directory and the host's name.
MARKER = 'ua-lab-host'
#: Seconds that a command gets to end by SIGTERM after its time is over.
GRACE = 3.0


class LabCommandFailed(OverlayError):
    """A command in a host failed. ``returncode``, ``stdout`` and ``stderr`` are as in subprocess."""

    code = 'LAB_COMMAND'

    def __init__(self, host: str, argv: Argv, completed: 'subprocess.CompletedProcess[str]') -> None:
        reason = (completed.stderr or completed.stdout or '').strip().splitlines()
        super().__init__('{} on {} ended with status {}{}.'.format(
            argv[0], host, completed.returncode, ': ' + reason[-1].rstrip('.') if reason else ''))
        self.returncode = completed.returncode
        self.stdout = completed.stdout
        self.stderr = completed.stderr


def program(module: str, *arguments: str) -> List[str]:
    """Return the argv that runs ``ua_overlay.lab.<module>`` as a program."""
    return [sys.executable, '-I', '-S', '-c', _BOOT.format(module), _SOURCE] + list(arguments)


def environment(extra: Optional[Environ] = None) -> Dict[str, str]:
    """Return the environment of a command, with ``extra`` and nothing of the caller's; `enter` adds the user's."""
    # Without a UTF-8 locale the Python of `enter` would set LC_CTYPE for the command (PEP 538).
    merged = {'LANG': 'C.UTF-8'}
    merged.update(extra or {})
    return merged


class HostMaker:
    """A host that is being built: its process 1 lives as long as this object holds the life line.

    :param spec: name, hostname, users, resolver, share, control, sysctl (see :mod:`ua_overlay.lab.init`).
    :param directory: the lab's directory.
    """

    def __init__(self, spec: JsonObject, directory: str) -> None:
        self.name: str = spec['name']
        with open(os.path.join(directory, 'logs', '{}-init.log'.format(self.name)), 'ab') as log:
            self._maker = subprocess.Popen(
                program('init', MARKER, directory, self.name), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, start_new_session=True, cwd='/', env={'PATH': os.environ.get('PATH', os.defpath)})
        assert self._maker.stdin is not None and self._maker.stdout is not None
        self._life_line, self._answers = self._maker.stdin, self._maker.stdout
        self._life_line.write(json.dumps(spec).encode() + b'\n')
        self._life_line.flush()

    def wait_ready(self) -> 'Host':
        """Wait until the host is built, and return it. :raises OverlayError: LAB_HOST with what the kernel refused."""
        pid = 0
        with self._answers as answers:
            # Two lines from two processes, in any order: a process that failed may end before its id is read.
            for _ in range(2):
                answer = json.loads(answers.readline() or b'{"error": "it ended, see its log"}')
                if 'error' in answer:
                    raise self._failed(answer['error'])
                pid = answer.get('pid', pid)
        self._maker.wait()
        try:
            return Host(self.name, kernel.ProcessHandle(pid))
        except ProcessLookupError:
            raise self._failed('it ended, see its log')

    def _failed(self, why: str) -> OverlayError:
        return OverlayError('Host {} could not be made: {}.'.format(self.name, why), code='LAB_HOST')

    def keep(self) -> None:
        """Let the host outlive this process."""
        self._life_line.write(b'keep\n')
        self._life_line.close()

    def drop(self) -> None:
        """End the host unless it was kept."""
        if not self._life_line.closed:
            self._life_line.close()
        self._maker.wait()


class Host:
    """One host.

    :param name: its name in the topology.
    :param process: :class:`kernel.ProcessHandle` of its process 1, as the machine sees it.
    """

    def __init__(self, name: str, process: kernel.ProcessHandle) -> None:
        self.name = name
        self.process = process

    @property
    def pid(self) -> int:
        """The id of the host's process 1 on the machine."""
        return self.process.pid

    def alive(self) -> bool:
        """Return whether its process 1 runs."""
        return self.process.alive()

    def path(self, inside: str) -> str:
        """Return the path of a file of the host for a root process on the machine."""
        return '/proc/{}/root{}'.format(self.pid, inside)

    def processes(self) -> Dict[int, List[str]]:
        """Return {process id inside the host: its argv} of all its processes, without starting a program."""
        processes = {}
        for entry in os.listdir(self.path('/proc')):
            if entry.isdigit():
                # It may end meanwhile, and a zombie has no argv.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    with open(self.path('/proc/{}/cmdline'.format(entry)), encoding='utf-8',
                              errors='replace') as stream:
                        words = stream.read().split('\0')[:-1]
                    if words:
                        processes[int(entry)] = words
        return processes

    def enter_argv(self, argv: Argv, user: Optional[str] = None, cwd: Optional[str] = None, detach: bool = False,
                   log: Optional[str] = None) -> List[str]:
        """Return an argv that, run as root on the machine, runs ``argv`` in the host.

        :param detach: leave it running as a child of the host's process 1.
        :param log: file on the machine that the output of a detached command is appended to.
        """
        return program('enter', str(self.pid), str(self.process.start), user or 'root', cwd or '',
                       'detach' if detach else '', log or '', *map(os.fspath, argv))

    def popen(self, argv: Argv, user: Optional[str] = None, env: Optional[Environ] = None, cwd: Optional[str] = None,
              **options: Any) -> 'subprocess.Popen[Any]':
        """Start ``argv`` in the host. Signals to the returned process reach the command; its status is the command's.

        :param user: the environment is that of a login of this user, default root, and ``env``.
        :param cwd: default: the user's home.
        :param options: of subprocess.Popen.
        """
        return subprocess.Popen(self.enter_argv(argv, user, cwd), env=environment(env), **options)

    def run(self, argv: Argv, user: Optional[str] = None, env: Optional[Environ] = None, cwd: Optional[str] = None,
            input: Optional[str] = None, timeout: float = 60.0, check: bool = True
            ) -> 'subprocess.CompletedProcess[str]':
        """Run ``argv`` to its end and capture its output as text. Parameters as :meth:`popen`.

        :raises LabCommandFailed: ``check`` is true and the status is not 0.
        :raises subprocess.TimeoutExpired: after ``timeout`` seconds; the command has been ended then.
        """
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        process = self.popen(argv, user, env, cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             universal_newlines=True, errors='replace')
        with process:
            try:
                stdout, stderr = process.communicate(input, timeout)
            except subprocess.TimeoutExpired:
                # SIGTERM reaches the whole process group of the command; SIGKILL only the command itself.
                process.terminate()
                try:
                    process.wait(GRACE)
                finally:
                    process.kill()
                raise
            except BaseException:
                process.kill()
                raise
        completed: 'subprocess.CompletedProcess[str]' = subprocess.CompletedProcess(
            argv, process.returncode, stdout, stderr)
        if check and completed.returncode != 0:
            raise LabCommandFailed(self.name, argv, completed)
        return completed

    def spawn(self, argv: Argv, log: str, user: Optional[str] = None, env: Optional[Environ] = None,
              cwd: Optional[str] = None) -> kernel.ProcessHandle:
        """Start ``argv`` as a service of the host: it outlives the caller and ends with the host.

        :param log: file on the machine that its output is appended to.
        :return: the process; it leads a process group.
        :raises LabCommandFailed: it cannot be executed.
        """
        completed = subprocess.run(
            self.enter_argv(argv, user, cwd, detach=True, log=log), env=environment(env), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=30)
        if completed.returncode != 0:
            raise LabCommandFailed(self.name, argv, completed)
        pid = int(completed.stdout)
        try:
            return kernel.ProcessHandle(pid)
        except ProcessLookupError:
            # It ended at once: a start time that no process has makes a handle that is never alive.
            return kernel.ProcessHandle(pid, -1)


def find(directory: str) -> List[kernel.ProcessHandle]:
    """Return process 1 of every host of the lab in ``directory``, including hosts that were never completed."""
    processes = []
    for pid, where in _marked():
        if where == os.fsencode(directory):
            with contextlib.suppress(ProcessLookupError):
                processes.append(kernel.ProcessHandle(pid))
    return processes


def names_of_labs() -> Set[str]:
    """Return the names of all labs that have a host, wherever they keep their state."""
    return {os.path.basename(os.fsdecode(where)) for _pid, where in _marked()}


def _marked() -> Iterator[Tuple[int, bytes]]:
    """Yield (process id, directory of its lab) of process 1 of every host."""
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        try:
            with open('/proc/{}/cmdline'.format(entry), 'rb') as stream:
                words = stream.read().split(b'\0')
            if MARKER.encode() in words:
                yield int(entry), words[words.index(MARKER.encode()) + 1]
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue


def end(processes: Iterable[kernel.ProcessHandle], timeout: float = 10.0) -> None:
    """Kill hosts by their processes 1 and wait until the kernel has removed them.

    :param timeout: seconds for each.
    :raises OverlayError: LAB_STUCK naming the processes that survived.
    """
    processes = list(processes)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    stuck = [str(process.pid) for process in processes if not process.wait(timeout)]
    if stuck:
        raise OverlayError('Processes of the lab do not end: {}.'.format(', '.join(stuck)), 'ps -o pid,stat,wchan,args',
                           code='LAB_STUCK')
