"""`ua-overlay join`: the join service without ROS."""
import argparse
import json
import signal
import sys
from types import FrameType
from typing import Optional

from ua_overlay.cli.shared.args import add_ca, add_socket, add_state_dir, seconds
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.membership.join import Join
from ua_overlay.membership.outcome import Outcome
from ua_overlay.system.netmon import InterfaceWatcher
from ua_overlay.tailscale.daemon_proxy import runs_elsewhere
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.state_file import lack_of_room

DESCRIPTION = """\
Join the team of an invitation. Without an invitation, rejoin with the identity that `ua-overlay leave` kept. The key of
the invitation is sent last, when every other check has passed."""

EPILOG = """\
exit status:
  0  joined, now or before
  1  refused: the message names the reason and the next command

example:
  ua-overlay join dev-1.invitation.yaml"""


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('invitation', nargs='?', default='', metavar='INVITATION', help='path of the invitation file')
    add_socket(parser)
    add_state_dir(parser)
    add_ca(parser)
    parser.add_argument('--timeout', type=seconds, default=60.0, metavar='SECONDS',
                        help='give up after SECONDS (default: 60)')
    parser.add_json()
    parser.set_defaults(run=run)


def show(outcome: Outcome, as_json: bool) -> int:
    """Print the outcome of join or leave; return the exit status."""
    if as_json:
        print(json.dumps({'code': outcome.code, 'message': outcome.message, 'dns_name': outcome.dns_name,
                          'addresses': list(outcome.addresses)}))
    else:
        print(outcome.message if outcome.ok else 'ua-overlay: {}: {}'.format(outcome.code, outcome.message),
              file=sys.stdout if outcome.ok else sys.stderr)
    return 0 if outcome.ok else FAILED


def interrupt(_number: int, _frame: Optional[FrameType]) -> None:
    """Signal handler: end as after Ctrl-C, which undoes a join in progress."""
    raise KeyboardInterrupt


def run(args: argparse.Namespace) -> int:
    # After a broken ssh connection (HUP) or `timeout` (TERM), tailscaled must stop trying to log in.
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, interrupt)
    with Progress()('Joining'):
        outcome = Join(LocalApi(args.socket), args.ca, args.state_dir, timeout=args.timeout,
                       unstable=InterfaceWatcher().wait_left,
                       lack_of_room=lambda: lack_of_room(args.socket),
                       elsewhere=lambda: runs_elsewhere(args.socket))(args.invitation)
    return show(outcome, args.json)
