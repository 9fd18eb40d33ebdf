"""The `ua-overlay` command: the package's use cases without ROS."""
import os
import signal
import subprocess
import sys
from typing import Any, List, Optional, Sequence

from ua_overlay.cli.help import GROUPS
from ua_overlay.cli.shared.parser import PROGRAM, CommandParser, from_module
from ua_overlay.errors import OverlayError
from ua_overlay.system import file_system

#: Groups with a default command: `invite iris dev-1` means `invite create iris dev-1`.
DEFAULTS = {'invite': ('create', 'list', 'revoke', 'unpack')}

DESCRIPTION = """\
Connect teams of ROS 1 robots through a WireGuard overlay coordinated by your
own server.

on a robot:       status, links, doctor, join, leave, env, exec, service, guard,
                  robot prepare, robot mtu, robot agent
on the server:    server, team, user, policy, invite, relay, derp,
                  robot list, robot move, robot remove, robot prune
on a remote host: relay and derp: run, status, service
on any machine:   measure, tools, lab (to try things out)"""

EPILOG = """\
exit status:
  0  done
  1  failed: the message names the reason and the next command
  2  invalid command line or invalid file
  3  nothing to show
  4  works, but needs attention (doctor, server status, policy show,
     server relay status, relay status, derp status)
exec and lab exec return the exit status of their command.

examples:
  ua-overlay join dev-1.invitation.yaml
  ua-overlay exec rostopic list
  ua-overlay COMMAND --help"""


def make_parser() -> CommandParser:
    """The parser of the whole command line. It imports the module of a command only when that command is used."""
    return CommandParser(configure=_configure)


def _configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    for group in GROUPS:
        parser.add_command(group, from_module('ua_overlay.cli.' + group))


def complete(argv: Sequence[str]) -> List[str]:
    """``argv`` with the default command inserted, see DEFAULTS."""
    words = DEFAULTS.get(argv[0] if argv else '')
    if words is None or len(argv) < 2 or argv[1] in words + ('-h', '--help'):
        return list(argv)
    return [argv[0], words[0]] + list(argv[1:])


def _open_standard_streams() -> None:
    """Open those that the caller has closed (`>&-`, some daemons). Python has no sys.stdout then, and the next file
    that is opened would get the number of one, so that a child's output would go into it."""
    for number, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        if getattr(sys, name) is None:
            # The kernel gives the lowest free number (open(2)), and those below are open by now.
            handle = os.open(os.devnull, os.O_RDWR)
            if handle == number:
                os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, mode))


def _interrupt_again(lost: Any) -> None:
    """Raise a KeyboardInterrupt once more that Python cannot raise where it came up, and would print and forget: in a
    finalizer, or in importlib's callback at the end of an import. A sys.unraisablehook."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    # In a moment: raised here it would be lost as well.
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _flush() -> None:
    """Write what is still in memory, and raise what that raises. Otherwise the interpreter does it last, and reports a
    full disk behind `> FILE` with a traceback and an exit status of its own."""
    if sys.stdout is not None:  # `>&-`
        sys.stdout.flush()


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line ``argv`` (default: sys.argv[1:]) and return the exit status."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = _interrupt_again
        _open_standard_streams()
        try:
            args = make_parser().parse_args(complete(sys.argv[1:] if argv is None else argv))
            status: int = args.run(args)
        except SystemExit:  # --help
            _flush()
            raise
        except OverlayError as error:
            print('{}: {}'.format(PROGRAM, error), file=sys.stderr)
            status = error.exit_status
        _flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader closed the pipe (`ua-overlay … | head`). Without this, the interpreter reports stdout, too.
        sys.stdout = None
        return 141
    except (OSError, subprocess.SubprocessError) as error:
        # A command's own sentence is better where it has one; a traceback never is.
        unexpected = file_system.as_error(error, 'standard output')
        print('{}: {}'.format(PROGRAM, unexpected), file=sys.stderr)
        if isinstance(error, OSError) and error.filename is None:
            sys.stdout = None
        return unexpected.exit_status
    except RuntimeError as error:
        # Up to Python 3.11 the end of a class statement wraps whatever is raised in it (object.__set_name__).
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        return 130
