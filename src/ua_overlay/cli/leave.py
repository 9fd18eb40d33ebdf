"""`ua-overlay leave`: the leave service without ROS."""
import argparse

from ua_overlay.cli.join import show
from ua_overlay.cli.shared.args import add_socket, add_state_dir
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.membership.leave import leave
from ua_overlay.tailscale.localapi import LocalApi

DESCRIPTION = """\
Leave the team's network. The robot keeps its name and address, and returns with `ua-overlay join`; with --forget it
gives both up."""

EPILOG = """\
example:
  ua-overlay leave --forget
  ua-overlay robot remove dev-1     # then, on the server"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('--forget', action='store_true', help='log out, and give up name and address')
    add_socket(parser)
    add_state_dir(parser)
    parser.add_json()
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return show(leave(LocalApi(args.socket), args.forget, args.state_dir), args.json)
