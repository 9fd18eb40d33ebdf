"""`ua-overlay exec`: run a program in the team graph, or in the local graph."""
import argparse
import os
from typing import Any, Callable, List, Mapping, Optional

from ua_overlay.advice import command as command_line
from ua_overlay.cli.shared.args import seconds
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.protocols import Environ
from ua_overlay.rosenv import envfile, launch
from ua_overlay.rosenv.local_graph import local_master_uri

#: As os.execvpe: replaces this process, so it returns in tests only.
Execute = Callable[[str, List[str], Mapping[str, str]], int]

DESCRIPTION = """\
Run a command in the ROS environment of this robot's team, ignoring the shell's ROS variables; with --local, in the
graph of this robot alone. It also works as a launch-prefix and in systemd units."""

EPILOG = """\
exit status: that of the command, or
  3    there is no team environment now
  126  the command cannot be run
  127  there is no such command

examples:
  ua-overlay exec rostopic list
  ua-overlay exec --wait roslaunch my_robot drive.launch
  ua-overlay exec --wait --timeout 30 rosnode list
  ua-overlay exec --local roslaunch ua_overlay overlay.launch
  <node launch-prefix="ua-overlay exec" pkg="rospy_tutorials" type="talker.py"
        name="talker"/>"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.usage = '%(prog)s [--wait [--timeout SECONDS] | --local] COMMAND…'
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--wait', action='store_true', help='wait until the team master answers')
    which.add_argument('--local', action='store_true', help='use the local graph instead of the team graph')
    parser.add_argument('--timeout', type=seconds, metavar='SECONDS', help='with --wait: give up after SECONDS')
    parser.add_argument('command', nargs=argparse.REMAINDER, metavar='COMMAND…', help='the command and its arguments')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, environ: Optional[Environ] = None, execute: Execute = os.execvpe) -> int:
    environ = os.environ if environ is None else environ
    command = args.command[1:] if args.command[:1] == ['--'] else args.command
    if not command:
        raise UsageError('No command given.', 'ua-overlay exec --help')
    if args.timeout is not None and not args.wait:
        raise UsageError('--timeout needs --wait.', 'ua-overlay exec --help')
    if not args.local and launch.starts_overlay(command):
        raise UsageError('overlay.launch belongs in the local graph.',
                         'ua-overlay exec --local roslaunch ua_overlay overlay.launch')
    if args.local:
        new_environ = launch.local_environ(environ, local_master_uri(environ))
    elif args.wait:
        new_environ = launch.team_environ(environ, _wait(environ, args.timeout))
    else:
        new_environ = launch.team_environ(environ, _read(environ))
    try:
        return execute(command[0], command, new_environ)
    except OSError as error:
        failure = OverlayError('{} cannot be run: {}.'.format(command[0], error.strerror or error),
                               command_line('which {}', command[0]))
        failure.exit_status = 127 if isinstance(error, FileNotFoundError) else 126
        raise failure from error


def _read(environ: Environ) -> Any:
    return envfile.read(envfile.locate(environ))


def _wait(environ: Environ, timeout: Optional[float]) -> Any:
    # XML-RPC and TLS are half of the start time, and as a launch-prefix this runs before every program.
    from ua_overlay.rosenv.master import MasterProbe

    probe = MasterProbe()
    try:
        # Usually the master answers at once: then print nothing.
        return launch.wait_for_team(lambda: _read(environ), probe, 0)
    except launch.MasterAbsent:
        with Progress()('Waiting for the team graph'):
            return launch.wait_for_team(lambda: _read(environ), probe, timeout)
