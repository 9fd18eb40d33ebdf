"""`ua-overlay invite`: the file with which one robot joins one team."""
import argparse
import os
import sys

from ua_overlay.cli.site_args import add_dir, duration, load_site, make_admin
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.trust import invitation as invitations
from ua_overlay.trust.certificate import format_time


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'invite', help='make the file with which a robot joins a team (on the server)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Makes an invitation: a small file with the server\'s address, the site\'s CA and a key that lets\n'
                    'one machine join once, within the hour unless asked otherwise. Whoever has the file can join:\n'
                    'carry it as you would carry a password (scp, a USB stick), and delete it afterwards. The server\n'
                    'has to run.',
        epilog='examples:\n  ua-overlay invite iris dev-1 --master      # dev-1 runs the team\'s roscore\n'
               '  ua-overlay invite iris dev-2 --expires 1d --output /media/usb/dev-2.invitation.yaml\n'
               '  ua-overlay invite iris dev-2 --output - | ssh dev-2 \'umask 077; cat > dev-2.invitation.yaml\'')
    parser.add_argument('team', metavar='TEAM')
    parser.add_argument('robot', metavar='ROBOT', help='name of the robot in the overlay')
    parser.add_argument('--expires', type=_duration, default=3600, metavar='TIME',
                        help='how long it can be used: 30m, 1h, 2d (default: 1h)')
    parser.add_argument('--master', action='store_true', help='this robot runs the team\'s roscore')
    parser.add_argument('--output', metavar='FILE', help='where to write it (default: ROBOT.invitation.yaml); - for '
                                                         'standard output')
    parser.add_argument('--overwrite', action='store_true', help='replace FILE if it is there')
    parser.add_argument('--force', action='store_true',
                        help='also when the overlay has a robot of that name; this one is then called ROBOT-1')
    add_dir(parser)
    parser.set_defaults(run=run)


def _duration(text):
    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))


def run(args):
    site = load_site(args)
    admin = make_admin(site)
    path = None if args.output == '-' else os.path.abspath(args.output or args.robot + '.invitation.yaml')
    if path is None and sys.stdout.isatty():
        raise UsageError('An invitation holds a key, which is not for a terminal.',
                         'ua-overlay invite {} {} --output FILE'.format(args.team, args.robot))
    if path is not None and os.path.exists(path) and not args.overwrite:
        raise OverlayError('{} exists already; it may hold an invitation that was not used yet.'.format(path),
                           'the same command with --overwrite or another --output')
    made, key_id = admin.invite(args.team, args.robot, args.expires, args.master, args.force)
    try:
        if path is None:
            sys.stdout.write(invitations.dump(made))
            sys.stdout.flush()
        else:
            invitations.write(path, made)
    except (OSError, OverlayError):
        # Nobody has it, so nobody shall be able to use it.
        admin.revoke(key_id)
        raise
    if path is not None:
        print('{} written: {} joins team {} once, until {}.'.format(
            path, args.robot, args.team, format_time(made.expires)))
        print('Carry it to the robot like a password, for example: scp {} ROBOT:'.format(path))
        print('There, once:  sudo ua-overlay robot prepare --invitation {} --user USER'.format(os.path.basename(path)))
        print('and then:     ua-overlay join {}'.format(os.path.basename(path)))
    return 0
