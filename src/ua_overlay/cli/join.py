"""`ua-overlay join`: the join service without ROS."""
import argparse
import json
import signal
import sys

from ua_overlay import defaults
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.membership.join import Join
from ua_overlay.system.netmon import InterfaceWatcher
from ua_overlay.tailscale.localapi import LocalApi


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'join', help='join the team of an invitation, or come back to it',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Join the team of an invitation. Without one: come back after `ua-overlay leave`.\n'
                    'The key in the invitation is sent only when everything else has been checked.',
        epilog='exit status: 0 joined (or was already); 1 refused, with the reason and the next command\n\n'
               'example:\n  ua-overlay join dev-1.invitation.yaml')
    parser.add_argument('invitation', nargs='?', default='', help='path of the invitation file')
    add_daemon_options(parser)
    parser.add_argument('--ca', default=defaults.CA_FILE, help='CA that tailscaled trusts (default: %(default)s)')
    parser.add_argument('--timeout', type=float, default=60.0, metavar='SECONDS', help='give up after (default: 60)')
    parser.set_defaults(run=run)


def add_daemon_options(parser):
    """Options of every command that changes this robot's membership."""
    parser.add_argument('--socket', default=defaults.DAEMON_SOCKET, help='of tailscaled (default: %(default)s)')
    parser.add_argument('--state-dir', default=defaults.STATE_DIR,
                        help='where the settings of the invitation are kept (default: %(default)s)')
    parser.add_argument('--json', action='store_true', help='answer for programs')


def show(outcome, as_json):
    """Print an Outcome; return the exit status."""
    if as_json:
        print(json.dumps({'code': outcome.code, 'message': outcome.message, 'dns_name': outcome.dns_name,
                          'addresses': list(outcome.addresses)}))
    else:
        print(outcome.message if outcome.ok else 'ua-overlay: {}: {}'.format(outcome.code, outcome.message),
              file=sys.stdout if outcome.ok else sys.stderr)
    return 0 if outcome.ok else 1


def interrupt(_number, _frame):
    """Signal handler: end as after Ctrl-C, so that what was begun is put back."""
    raise KeyboardInterrupt


def run(args):
    # An ssh connection that breaks (HUP) or an impatient `timeout` (TERM) must not leave tailscaled knocking.
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_DFL:  # not under nohup
            signal.signal(number, interrupt)
    with Progress()('Joining'):
        outcome = Join(LocalApi(args.socket), args.ca, args.state_dir, timeout=args.timeout,
                       unstable=InterfaceWatcher().wait_left)(args.invitation)
    return show(outcome, args.json)
