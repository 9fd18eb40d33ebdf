"""`ua-overlay leave`: the leave service without ROS."""
import argparse

from ua_overlay.cli.join import show
from ua_overlay.cli.shared.args import add_socket, add_state_dir
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.membership.leave import leave
from ua_overlay.membership.new_identity import make_new_identity
from ua_overlay.system.units import systemd_runs
from ua_overlay.tailscale.localapi import LocalApi

DESCRIPTION = """\
Leave the team's network. The robot keeps its address and identity, and rejoins with `ua-overlay join`. With --forget it
gives up its address and identity and deletes its settings; free the name with `robot remove` on the server. On a
machine with a copy of another robot's disk, --new-identity separates the two: the other robot stays in its team."""

EPILOG = """\
example:
  ua-overlay leave --forget
  ua-overlay robot remove dev-1     # then, on the server
  ua-overlay leave --new-identity   # on a copy of a robot"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--forget', action='store_true', help='give up address and identity, and delete the settings')
    what.add_argument('--new-identity', action='store_true',
                      help='on a copy of another robot: replace the keys, delete the settings, do not tell the server')
    add_socket(parser)
    add_state_dir(parser)
    parser.add_json()
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.new_identity:
        return show(make_new_identity(LocalApi(args.socket), args.state_dir, restarts=systemd_runs()), args.json)
    return show(leave(LocalApi(args.socket), args.forget, args.state_dir, restarts=systemd_runs()), args.json)
