"""`ua-overlay leave`: the leave service without ROS."""
import argparse

from ua_overlay.cli.join import show
from ua_overlay.cli.shared.args import add_socket, add_state_dir
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.membership.leave import leave
from ua_overlay.tailscale.localapi import LocalApi

DESCRIPTION = """\
Leave the team's network. The robot keeps its address and identity, and rejoins with `ua-overlay join`. With --forget it
gives up its address and identity and deletes its settings; free the name with `robot remove` on the server."""

EPILOG = """\
example:
  ua-overlay leave --forget
  ua-overlay robot remove dev-1     # then, on the server"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('--forget', action='store_true', help='give up address and identity, and delete the settings')
    add_socket(parser)
    add_state_dir(parser)
    parser.add_json()
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return show(leave(LocalApi(args.socket), args.forget, args.state_dir), args.json)
