"""`ua-overlay exec`: run a program in the team graph, or in the local one."""
import argparse
import os

from ua_overlay.cli.shared.progress import Progress
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.rosenv import envfile, launch

DESCRIPTION = """\
Run a command in the ROS environment of this robot's team, whatever the shell's own says; or, with --local, in the
graph of this robot alone. Also as a launch-prefix and in systemd units."""

EPILOG = """\
exit status: the command's; 3 there is no team environment now; 127 there is no such command

examples:
  ua-overlay exec rostopic list
  ua-overlay exec --wait roslaunch my_robot drive.launch
  ua-overlay exec --wait --timeout 30 rosnode list
  ua-overlay exec --local roslaunch ua_overlay overlay.launch
  <node launch-prefix="ua-overlay exec" pkg="rospy_tutorials" type="talker.py" name="talker"/>"""


def add_parser(subparsers):
    parser = subparsers.add_parser('exec', help='run a command in the team graph, or in the local one',
                                   description=DESCRIPTION, epilog=EPILOG, usage='%(prog)s [--wait [--timeout SECONDS] '
                                   '| --local] COMMAND…', formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--wait', action='store_true', help="wait until the team's master answers")
    which.add_argument('--local', action='store_true', help='the local graph instead of the team graph')
    parser.add_argument('--timeout', type=float, metavar='SECONDS', help='with --wait: no longer than this')
    parser.add_argument('command', nargs=argparse.REMAINDER, metavar='COMMAND…', help='the command and its arguments')
    parser.set_defaults(run=run)


def run(args, environ=None, execute=os.execvpe):
    environ = os.environ if environ is None else environ
    command = args.command[1:] if args.command[:1] == ['--'] else args.command
    if not command:
        raise UsageError('There is no command to run.', 'ua-overlay exec --help')
    if args.timeout is not None and not args.wait:
        raise UsageError('--timeout goes with --wait.', 'ua-overlay exec --help')
    if not args.local and launch.starts_overlay(command):
        raise UsageError('overlay.launch belongs in the local graph.',
                         'ua-overlay exec --local roslaunch ua_overlay overlay.launch')
    if args.local:
        new_environ = launch.local_environ(environ)
    elif args.wait:
        new_environ = launch.team_environ(environ, _wait(environ, args.timeout))
    else:
        new_environ = launch.team_environ(environ, _read(environ))
    try:
        return execute(command[0], command, new_environ)
    except OSError as error:
        failure = OverlayError('{} cannot be run: {}.'.format(command[0], error.strerror or error),
                               'which ' + command[0])
        failure.exit_status = 127 if isinstance(error, FileNotFoundError) else 126
        raise failure from error


def _read(environ):
    return envfile.read(envfile.locate(environ))


def _wait(environ, timeout):
    # XML-RPC and TLS are half of the start time, and as a launch-prefix this starts before every program.
    from ua_overlay.rosenv.master import MasterProbe

    probe = MasterProbe()
    try:
        # The usual case is that it is there: not a word then.
        return launch.wait_for_team(lambda: _read(environ), probe, 0)
    except launch.MasterAbsent:
        with Progress()('Waiting for the team graph'):
            return launch.wait_for_team(lambda: _read(environ), probe, timeout)
