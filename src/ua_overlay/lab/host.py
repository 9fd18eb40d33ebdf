"""A host of a running lab: run something in it as if logged in."""
import contextlib
import json
import os
import signal
import subprocess
import sys

import ua_overlay
from ua_overlay.errors import OverlayError
from ua_overlay.lab import kernel

_SOURCE = os.path.dirname(os.path.dirname(os.path.realpath(ua_overlay.__file__)))
# Isolated (-I), without site packages (-S): starts in 20 ms and takes nothing from the caller's Python settings.
_BOOT = 'import sys; sys.path.insert(0, sys.argv.pop(1)); from ua_overlay.lab.{} import main; main()'
#: Marks process 1 of a host in /proc/PID/cmdline, followed by the lab's directory and the host's name.
MARKER = 'ua-lab-host'
#: Seconds that a command gets to end by SIGTERM after its time is over.
GRACE = 3.0


class LabCommandFailed(OverlayError):
    """A command in a host failed: ``returncode``, ``stdout``, ``stderr`` as subprocess has them."""

    code = 'LAB_COMMAND'

    def __init__(self, host, argv, completed):
        reason = (completed.stderr or completed.stdout or '').strip().splitlines()
        super().__init__('{} on {} ended with status {}{}.'.format(
            argv[0], host, completed.returncode, ': ' + reason[-1].rstrip('.') if reason else ''))
        self.returncode = completed.returncode
        self.stdout = completed.stdout
        self.stderr = completed.stderr


def program(module, *arguments):
    """Argv that runs ``ua_overlay.lab.<module>`` as a program."""
    return [sys.executable, '-I', '-S', '-c', _BOOT.format(module), _SOURCE] + list(arguments)


def environment(extra=None):
    """What a command's environment is made from, never the caller's; `enter` adds what depends on the user."""
    # Without a UTF-8 locale the Python of `enter` would set LC_CTYPE for the command (PEP 538).
    merged = {'LANG': 'C.UTF-8'}
    merged.update(extra or {})
    return merged


class HostMaker:
    """A host that is being built: its process 1 lives as long as this object holds the life line.

    :param spec: name, hostname, users, resolver, share, control, sysctl (see :mod:`ua_overlay.lab.init`).
    :param directory: the lab's directory.
    """

    def __init__(self, spec, directory):
        self.name = spec['name']
        with open(os.path.join(directory, 'logs', '{}-init.log'.format(self.name)), 'ab') as log:
            self._maker = subprocess.Popen(
                program('init', MARKER, directory, self.name), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, start_new_session=True, cwd='/', env={'PATH': os.environ.get('PATH', os.defpath)})
        self._maker.stdin.write(json.dumps(spec).encode() + b'\n')
        self._maker.stdin.flush()

    def wait_ready(self):
        """:return: :class:`Host`. :raises OverlayError: LAB_HOST with what the kernel refused."""
        pid = None
        with self._maker.stdout as answers:
            # Two lines from two processes, in any order: one that failed may be gone before its number is read.
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

    def _failed(self, why):
        return OverlayError('Host {} could not be made: {}.'.format(self.name, why), code='LAB_HOST')

    def keep(self):
        """Let the host outlive this process."""
        self._maker.stdin.write(b'keep\n')
        self._maker.stdin.close()

    def drop(self):
        """End the host unless it was kept."""
        if not self._maker.stdin.closed:
            self._maker.stdin.close()
        self._maker.wait()


class Host:
    """One host.

    :param name: its name in the topology.
    :param process: :class:`kernel.ProcessHandle` of its process 1, as the machine sees it.
    """

    def __init__(self, name, process):
        self.name = name
        self.process = process

    @property
    def pid(self):
        """Process 1 of the host as the machine sees it."""
        return self.process.pid

    def alive(self):
        return self.process.alive()

    def path(self, inside):
        """Where a file of the host is for a root process outside: for tests that look or carry files in and out."""
        return '/proc/{}/root{}'.format(self.pid, inside)

    def processes(self):
        """Return {process id as the host numbers it: its argv} of all its processes. Costs no program."""
        found = {}
        for entry in os.listdir(self.path('/proc')):
            if entry.isdigit():
                # It may end meanwhile, and a zombie has no argv.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    with open(self.path('/proc/{}/cmdline'.format(entry)), encoding='utf-8',
                              errors='replace') as stream:
                        words = stream.read().split('\0')[:-1]
                    if words:
                        found[int(entry)] = words
        return found

    def enter_argv(self, argv, user=None, cwd=None, detach=False, log=None):
        """Argv that, run as root on the machine, runs ``argv`` in the host."""
        options = ['--pid', str(self.pid), '--start', str(self.process.start), '--user', user or 'root']
        if cwd:
            options += ['--cwd', cwd]
        if detach:
            options += ['--detach']
        if log:
            options += ['--log', log]
        return program('enter', *(options + ['--'] + [os.fspath(word) for word in argv]))

    def popen(self, argv, user=None, env=None, cwd=None, **options):
        """Start ``argv`` in the host; a :class:`subprocess.Popen` whose signals, status and death are the command's.

        The environment is that of a login of ``user`` (default root), plus ``env``; nothing of the caller's. The
        working directory is the user's home unless ``cwd`` says otherwise.
        """
        return subprocess.Popen(self.enter_argv(argv, user, cwd), env=environment(env), **options)

    def run(self, argv, user=None, env=None, cwd=None, input=None, timeout=60.0, check=True):
        """Run ``argv`` to its end with its output captured as text.

        :return: :class:`subprocess.CompletedProcess`.
        :raises LabCommandFailed: when ``check`` and the status is not 0.
        :raises subprocess.TimeoutExpired: after ``timeout`` seconds; the command was ended then.
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
        completed = subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
        if check and completed.returncode != 0:
            raise LabCommandFailed(self.name, argv, completed)
        return completed

    def spawn(self, argv, log, user=None, env=None, cwd=None):
        """Start ``argv`` as a service of the host: it outlives the caller and ends with the host.

        :param log: file on the machine that its output is appended to.
        :return: :class:`kernel.ProcessHandle`; the process leads its own process group.
        :raises LabCommandFailed: when it cannot be executed.
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
            # It ended at once; a start time that no process has stands for that.
            return kernel.ProcessHandle(pid, -1)


def find(directory):
    """Processes 1 of every host of the lab in ``directory``, also of one whose making was interrupted."""
    found = []
    for pid, where in _marked():
        if where == os.fsencode(directory):
            with contextlib.suppress(ProcessLookupError):
                found.append(kernel.ProcessHandle(pid))
    return found


def names_of_labs():
    """The names (str) of all labs, wherever they keep their state, of which a host is there."""
    return {os.path.basename(os.fsdecode(where)) for _pid, where in _marked()}


def _marked():
    """(process id, directory of its lab as bytes) of every process 1 of a host."""
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


def end(processes, timeout=10.0):
    """Kill hosts and wait until all they held is gone.

    :raises OverlayError: LAB_STUCK naming the processes that survived.
    """
    for process in processes:
        process.send_signal(signal.SIGKILL)
    stuck = [str(process.pid) for process in processes if not process.wait(timeout)]
    if stuck:
        raise OverlayError('Processes of the lab do not end: {}.'.format(', '.join(stuck)), 'ps -o pid,stat,wchan,args',
                           code='LAB_STUCK')
