"""A program that was started on a host: wait for it, read from it, end it."""
import os
import select
import subprocess
import time
from typing import BinaryIO, Optional, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Argv, Clock

#: Seconds that a program gets to end after SIGTERM.
GRACE = 5.0


class HostLost(OverlayError):
    """A host does not answer, or a program there does not end."""

    code = 'MEASURE_HOST'


class RemoteProcess(subprocess.Popen):  # type: ignore[type-arg]  # Popen takes a parameter from Python 3.9 on
    """A program on another host. It ends when ``lifeline`` closes, which the end of this process does, too."""

    lifeline: Optional[BinaryIO] = None


def finish(process: 'subprocess.Popen[str]', host: str, argv: Argv, seconds: float) -> Tuple[int, str, str]:
    """Wait for a started program; returns (status, stdout, stderr).

    :param host: its name, for the sentence.
    :raises HostLost: the program still ran after ``seconds``; it has been killed.
    """
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        stop(process)
        raise HostLost('{} on {} did not end within {:.0f} s: the other end or the network is gone.'.format(
            program_of(argv), host, seconds))
    except BaseException:
        stop(process)
        raise
    return process.returncode, output, errors


def read_until(process: 'subprocess.Popen[str]', line: str, seconds: float, clock: Clock = time.monotonic) -> str:
    """Read the output of a started program up to ``line``, and return what was read.

    Returns early, without that line, when the program ends or ``seconds`` have passed. :func:`finish` reads the rest.
    """
    assert process.stdout is not None
    output, deadline, handle = b'', clock() + seconds, process.stdout.fileno()
    # One byte at a time: the rest is for finish(), which bypasses Python's buffer.
    while not ('\n' + output.decode('utf-8', 'replace')).endswith('\n' + line + '\n'):
        left = deadline - clock()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            break
        byte = os.read(handle, 1)
        if not byte:
            break
        output += byte
    return output.decode('utf-8', 'replace')


def stop(process: 'subprocess.Popen[str]') -> None:
    """End a started program and drop its output, without waiting for children of the program that live on."""
    if isinstance(process, RemoteProcess) and process.lifeline is not None:
        process.lifeline.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def last_line(text: str, nothing: str = 'it printed nothing') -> str:
    """The last non-empty line of a program's output, without its full stop; ``nothing`` for empty output."""
    lines = text.strip().splitlines()
    return lines[-1].strip().rstrip('.') if lines else nothing


def program_of(argv: Argv) -> str:
    """The name of the program that an argv runs, behind `env` and its variables."""
    return next(word for word in argv if word != 'env' and '=' not in word)
