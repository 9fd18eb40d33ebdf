"""The program that runs a command inside a host: it joins the host's namespaces, changes to the user, and runs it.

It stands for the command: it forwards signals to it, ends with its exit status or fatal signal, and takes it along when
it is killed. Its environment is the command's, so that no value appears in arguments, which others could read.

It starts for each command in a lab, so it imports only what costs nothing: `signal`, `socket`, `argparse` and `typing`
take longer to import than the interpreter takes to start.
"""
from __future__ import annotations

import _signal as signal
import errno
import os
import pwd
import sys

from ua_overlay.lab import kernel
from ua_overlay.system import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, NoReturn, Optional, Tuple

NAMESPACES = (('pid', kernel.CLONE_NEWPID), ('net', kernel.CLONE_NEWNET), ('uts', kernel.CLONE_NEWUTS),
              ('mnt', kernel.CLONE_NEWNS))
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
#: Exit status when the host is gone, as `env`, `nice` and shells use 125 for a failure of their own.
FAILED = 125


class Arguments:
    """What :meth:`host.Host.enter_argv` asks for.

    :ivar pid: process 1 of the host; ``start``: its start time.
    :ivar cwd: working directory, '' for the user's home.
    :ivar detach: leave the command running as a child of process 1; ``log``: '' or the file that takes its output.
    """

    def __init__(self, words: List[str]) -> None:
        pid, start, self.user, self.cwd, detach, self.log = words[:6]
        self.pid, self.start, self.detach = int(pid), int(start), detach == 'detach'
        self.command = words[6:]


def join_namespaces(host: kernel.ProcessHandle) -> None:
    """Move this process into the namespaces of process 1 of a host. :raises OSError: the host has ended."""
    handles = [(os.open('/proc/{}/ns/{}'.format(host.pid, name), os.O_RDONLY | os.O_CLOEXEC), kind)
               for name, kind in NAMESPACES]
    # Check after opening: the open handles pin the namespaces, and now they are known to be this host's.
    if not host.alive():
        raise ProcessLookupError(errno.ESRCH, 'the host has ended')
    for handle, kind in handles:
        kernel.setns(handle, kind)
        os.close(handle)


def become(user: str, directory: str) -> None:
    """Change to the user, with the groups, home and environment of a login. Call it last: it drops privileges.

    :param directory: working directory; '' for the user's home.
    :raises KeyError: the host has no such user. :raises OSError: there is no such directory.
    """
    entry = pwd.getpwnam(user)
    defaults = {'HOME': entry.pw_dir, 'USER': user, 'LOGNAME': user, 'SHELL': entry.pw_shell or '/bin/sh', 'PATH': PATH,
                'LANG': 'C.UTF-8'}
    run_dir = '/run/user/{}'.format(entry.pw_uid)
    if os.path.isdir(run_dir):
        defaults['XDG_RUNTIME_DIR'] = run_dir
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    if entry.pw_uid != 0:
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    os.chdir(directory or entry.pw_dir)


def execute(arguments: Arguments) -> Tuple[str, int]:
    """Replace this process by the command.

    :return: only on failure: (why, exit status), with the statuses of a shell: 127 not found, 126 not executable.
    """
    try:
        become(arguments.user, arguments.cwd)
        # After the change of user, which clears it.
        if not arguments.detach:
            process.set_death_signal(signal.SIGKILL)
        for number in FORWARDED + (signal.SIGPIPE,):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(arguments.command[0], arguments.command)
    except KeyError:
        problem, status = 'no user {}'.format(arguments.user), FAILED
    except FileNotFoundError as error:
        problem, status = '{}: {}'.format(error.filename or arguments.command[0], error.strerror), 127
    except OSError as error:
        problem, status = '{}: {}'.format(error.filename or arguments.command[0], error.strerror), 126
    return problem, status


def run_attached(arguments: Arguments) -> int:
    """Run the command as a child and return its wait status."""
    # With a terminal the command stays in our session and process group, so that ^C and job control work as usual.
    terminal = os.isatty(0)
    child = os.fork()
    if child == 0:
        if not terminal:
            os.setsid()
        problem, status = execute(arguments)
        sys.stderr.write('{}\n'.format(problem))
        sys.stderr.flush()
        os._exit(status)
    for number in FORWARDED:
        if terminal and number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        else:
            signal.signal(number, lambda got, frame: forward(child, got, not terminal))
    return os.waitpid(child, 0)[1]


def forward(child: int, number: int, group: bool) -> None:
    """Send a signal to the command, with its process group if ``group``."""
    try:
        if group:
            os.killpg(child, number)
        else:
            os.kill(child, number)
    except ProcessLookupError:
        # Between fork and setsid there is no group yet: signal the process alone.
        os.kill(child, number)


def run_detached(arguments: Arguments, log: Optional[int]) -> int:
    """Leave the command behind as a child of the host's process 1; print its process id as this namespace sees it.

    When the maker of a process ends that was made right after setns(2), a process outside adopts it. Therefore an
    intermediate process inside makes it. The kernel translates the process id in the credentials of a unix socket
    between pid namespaces (unix(7)).

    :param log: descriptor that takes the output, None for none.
    :return: exit status: 0, or FAILED when the command cannot be executed.
    """
    import socket  # here, because few commands need it
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    if os.fork() == 0:
        here.close()
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing if log is None else log, 1)
        os.dup2(1, 2)
        there.sendmsg([b'started'], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS,
                                      kernel.CREDENTIALS.pack(os.getpid(), os.getuid(), os.getgid()))])
        problem, status = execute(arguments)
        there.send(problem.encode())
        os._exit(status)
    there.close()
    _data, ancillary, _flags, _address = here.recvmsg(64, socket.CMSG_SPACE(kernel.CREDENTIALS.size))
    pid = kernel.CREDENTIALS.unpack(ancillary[0][2])[0]
    os.wait()
    # The other end closes when the command's exec succeeds.
    refusal = here.recv(1024)
    if refusal:
        sys.stderr.write(refusal.decode() + '\n')
        return FAILED
    print(pid)
    return 0


def main() -> NoReturn:
    arguments = Arguments(sys.argv[1:])
    log = None
    if arguments.log:
        log = os.open(arguments.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        join_namespaces(kernel.ProcessHandle(arguments.pid, arguments.start))
    except OSError as error:
        sys.stderr.write('The host cannot be entered: {}\n'.format(error.strerror))
        sys.exit(FAILED)
    if arguments.detach:
        sys.exit(run_detached(arguments, log))
    status = run_attached(arguments)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.WEXITSTATUS(status))
