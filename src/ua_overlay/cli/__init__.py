"""The `ua-overlay` command: the package's use cases without ROS."""
import argparse
import importlib
import sys

from ua_overlay.errors import OverlayError

#: Command groups, in the order of --help: what a robot's user needs first. Each is a module with add_parser().
GROUPS = ('status', 'doctor', 'join', 'leave', 'env', 'exec', 'robot', 'service', 'guard', 'server', 'team',
          'invite', 'tools', 'lab')

DESCRIPTION = """\
A WireGuard overlay for teams of ROS 1 robots, coordinated by the team's own server.

on a robot:    status, doctor, join, leave, env, exec, robot prepare, guard, service
on the server: server, team, invite, robot list|remove
to try it out: lab, tools"""

EPILOG = """\
exit status: 0 done; 1 it failed and the sentence says why; 2 the command line makes no sense; 3 nothing to show

examples:
  ua-overlay join dev-1.invitation.yaml
  ua-overlay exec rostopic list
  ua-overlay COMMAND --help"""


def make_parser(wanted=None):
    """Build the parser; only the group named ``wanted`` is imported when it is one (the command starts faster)."""
    parser = argparse.ArgumentParser(prog='ua-overlay', description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest='group', metavar='COMMAND', required=True)
    for group in ([wanted] if wanted in GROUPS else GROUPS):
        importlib.import_module('ua_overlay.cli.' + group).add_parser(subparsers)
    return parser


def main(argv=None):
    """Run the command line ``argv`` (default: sys.argv[1:]) and return the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    args = make_parser(argv[0] if argv else None).parse_args(argv)
    try:
        return args.run(args)
    except OverlayError as error:
        print('ua-overlay: {}'.format(error), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has seen enough (`ua-overlay … | head`); keep the interpreter from complaining too.
        sys.stdout = None
        return 141
