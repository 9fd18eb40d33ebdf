"""`ua-overlay leave`: the leave service without ROS."""
import argparse

from ua_overlay.cli.join import add_daemon_options, show
from ua_overlay.membership.leave import leave
from ua_overlay.tailscale.localapi import LocalApi


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'leave', help="leave the team's network",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Leave the team's network. The robot keeps its name and address and comes back with\n"
                    '`ua-overlay join`, unless it is told to forget them.',
        epilog='example:\n  ua-overlay leave --forget     # then, on the server: ua-overlay robot remove dev-1')
    parser.add_argument('--forget', action='store_true', help='log out and give up name and address')
    add_daemon_options(parser)
    parser.set_defaults(run=run)


def run(args):
    return show(leave(LocalApi(args.socket), args.forget, args.state_dir), args.json)
