"""`ua-overlay env`: the ROS environment of this robot in its team."""
import argparse
import json
import sys
from typing import List, Mapping

from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.rosenv import envfile

DESCRIPTION = """\
Show the ROS environment of this robot in its team: ROS_MASTER_URI, ROS_HOSTNAME and the team. It exists while the
overlay is up and this robot's name resolves here. New shells get it from the env hook."""

EPILOG = """\
exit status:
  0  shown
  1  the file with the environment is not safe to use
  3  there is no environment now

examples:
  ua-overlay env
  eval "$(ua-overlay env --shell)"     # set it in this shell now
  ua-overlay env --json"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    form = parser.add_mutually_exclusive_group()
    form.add_argument('--json', action='store_true', help='print JSON')
    form.add_argument('--shell', action='store_true', help='print lines for eval in a shell')
    parser.set_defaults(run=run)


def shell_lines(variables: Mapping[str, str]) -> List[str]:
    """Lines that set ``variables`` in a POSIX shell. Values need no quotes: envfile rejects any that would."""
    lines = ['unset {}'.format(key) for key in envfile.ROS_KEYS if key not in variables]
    return lines + ['export {}={}'.format(key, variables[key]) for key in envfile.KEYS if key in variables]


def run(args: argparse.Namespace) -> int:
    variables = envfile.read(envfile.locate())
    if args.json:
        json.dump(variables, sys.stdout, indent=2, sort_keys=True)
        print()
    elif args.shell:
        print('\n'.join(shell_lines(variables)))
    else:
        print('\n'.join('{}={}'.format(key, variables[key]) for key in envfile.KEYS if key in variables))
    return 0
