"""`ua-overlay env`: the ROS environment of this robot in its team."""
import argparse
import json
import sys

from ua_overlay.rosenv import envfile

DESCRIPTION = """\
Show the ROS environment of this robot in its team: ROS_MASTER_URI, ROS_HOSTNAME and the team. It exists while
the overlay is up and this robot's name resolves here. New shells get it by themselves from the env hook."""

EPILOG = """\
exit status: 0 shown; 1 there is one that must not be taken; 3 there is none now

examples:
  ua-overlay env
  eval "$(ua-overlay env --shell)"     # this shell, now
  ua-overlay env --json"""


def add_parser(subparsers):
    parser = subparsers.add_parser('env', help='the ROS environment of the team', description=DESCRIPTION,
                                   epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='for programs')
    form.add_argument('--shell', action='store_true', help='lines that a shell can eval')
    parser.set_defaults(run=run)


def shell_lines(variables):
    """What a POSIX shell has to run to be in the environment. Values need no quotes: envfile lets none through."""
    lines = ['unset {}'.format(key) for key in envfile.ROS_KEYS if key not in variables]
    return lines + ['export {}={}'.format(key, variables[key]) for key in envfile.KEYS if key in variables]


def run(args):
    variables = envfile.read(envfile.locate())
    if args.json:
        json.dump(variables, sys.stdout, indent=2, sort_keys=True)
        print()
    elif args.shell:
        print('\n'.join(shell_lines(variables)))
    else:
        print('\n'.join('{}={}'.format(key, variables[key]) for key in envfile.KEYS if key in variables))
    return 0
