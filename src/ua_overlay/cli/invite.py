"""`ua-overlay invite`: create, list and revoke invitations, the files with which robots join a team."""
import argparse
import contextlib
import json
import os
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ua_overlay.advice import command as command_line
from ua_overlay.cli import invite_unpack
from ua_overlay.cli.shared.args import add_dir, add_expires
from ua_overlay.cli.shared.parser import CommandParser, did_you_mean
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.site import caller_ids, load_site, make_admin, make_inviter
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import ago, format_rfc3339, format_utc, utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.site.invitation_list import ListedInvitation
from ua_overlay.site.inviter import Invitee
from ua_overlay.system import foreign_file
from ua_overlay.trust import invitation_file
from ua_overlay.trust.invitation import Invitation

USAGE = """\
ua-overlay invite TEAM ROBOT [ROBOT ...] [options]
       ua-overlay invite --user NAME MACHINE [MACHINE ...] [options]"""
DESCRIPTION = """\
Create an invitation: a small file with the server's address, the site's CA and a key that lets one machine join once,
within one hour unless --expires says otherwise. Anyone who has the file can join: carry it like a password (scp, a USB
stick) and delete it afterwards. The server must run."""
EPILOG = """\
examples:
  ua-overlay invite iris dev-1 --master      # dev-1 runs the team's roscore
  ua-overlay invite iris dev-2 --expires 1d --output /media/usb/dev-2.yaml
  ua-overlay invite iris dev-2 --output - | ssh dev-2 'umask 077; cat > it.yaml'
  ua-overlay invite iris dev-3 dev-4 dev-5 --output-dir invitations
  ua-overlay invite iris --batch robots.txt --output-dir invitations
  ua-overlay invite --user ana laptop-1      # see `ua-overlay user --help`
  ua-overlay invite list
  ua-overlay invite revoke dev-2"""
#: The commands of `invite` other than the default `create`.
OTHERS = ('list', 'revoke', 'unpack')
#: Show progress for more invitations than this.
FEW = 5


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.usage = USAGE + '\n       ua-overlay invite create|list|revoke|unpack --help'
    parser.add_command('create', configure_create)
    parser.add_command('list', configure_list)
    parser.add_command('revoke', configure_revoke)
    parser.add_command('unpack', invite_unpack.configure)


def configure_create(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.usage = USAGE
    parser.add_argument('names', nargs='*', metavar='TEAM ROBOT', help='the team, and the overlay names of its robots')
    parser.add_argument('--user', metavar='NAME', default='', help='invite machines of this user instead, into no team')
    parser.add_argument('--batch', metavar='FILE',
                        help='read more names from FILE (- for standard input), one per line; "NAME master" marks the '
                             "robot that runs the team's roscore; # starts a comment")
    add_expires(parser, 'invitation')
    parser.add_argument('--master', action='store_true', help="this robot runs the team's roscore")
    parser.add_argument('--ca-sha256', action='store_true',
                        help="put the SHA-256 of the site's CA into the file instead of the CA; the file is shorter, "
                             'and the robot fetches the CA from the server and compares')
    output = parser.add_mutually_exclusive_group()
    output.add_argument('--output', metavar='FILE',
                        help='write to FILE (default: ROBOT.invitation.yaml; - for standard output)')
    output.add_argument('--output-dir', metavar='DIR',
                        help='write each ROBOT.invitation.yaml into DIR; create DIR if necessary')
    parser.add_argument('--overwrite', action='store_true', help='replace existing files')
    parser.add_argument('--replace', action='store_true',
                        help='give the name (but not the address) of a lost robot to new hardware; the lost robot is '
                             'removed')
    parser.add_argument('--force', action='store_true',
                        help='invite even if the overlay has a robot of this name; the new one is then called ROBOT-1')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_create)


def configure_list(parser: CommandParser) -> None:
    parser.describe('List every invitation of the site: for whom, until when, and its state: open, used (by which node '
                    'and when), revoked, or expired.')
    parser.add_argument('--open', action='store_true', help='only invitations that are still valid')
    parser.add_argument('--team', metavar='TEAM', help='only invitations into this team')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_list)


def configure_revoke(parser: CommandParser) -> None:
    parser.describe('Revoke the open invitations of a machine, or one invitation by its number. A robot that has '
                    'joined stays: use `ua-overlay robot remove`.')
    parser.add_argument('invitation', metavar='MACHINE|NUMBER', nargs='+',
                        help='a name, or a number from `ua-overlay invite list`')
    add_dir(parser)
    parser.set_defaults(run=run_revoke)


def run_create(args: argparse.Namespace) -> int:
    team, invitees = parse_invitees(args, _batch_lines(args.batch))
    paths = _paths(args, invitees)
    site = load_site(args)
    inviter = make_inviter(site)
    with contextlib.ExitStack() as stack:
        if len(invitees) > FEW:
            stack.enter_context(Progress()('Creating {} invitations'.format(len(invitees))))
        made = inviter.invite(invitees, args.expires, team, args.user, args.force, args.ca_sha256, args.replace)
    written = []
    owner = caller_ids(os.environ, os.geteuid(), os.getegid())
    try:
        if args.output_dir and not os.path.isdir(args.output_dir):
            # The directory will hold secrets.
            os.mkdir(args.output_dir, 0o700)
            os.chown(args.output_dir, *owner)
        for (invitation, _), path in zip(made, paths):
            if path is None:
                sys.stdout.write(invitation_file.dump(invitation))
                sys.stdout.flush()
            else:
                written.append(path)
                invitation_file.write(path, invitation, owner)
    except (OSError, OverlayError):
        # First the files, so that no secret of a key stays that might still be open.
        for path in written:
            if os.path.exists(path):
                os.unlink(path)
        inviter.take_back([key_id for _, key_id in made])
        raise
    if args.replace:
        # Last: if a file cannot be written, the existing robot must remain.
        make_admin(site).remove_absent([invitation.robot for invitation, _ in made])
    if args.json:
        print(json.dumps([{'robot': invitation.robot, 'team': invitation.team, 'user': invitation.user,
                           'master': invitation.master, 'number': key_id, 'file': path,
                           'expires': format_rfc3339(invitation.expires, 6)}
                          for (invitation, key_id), path in zip(made, paths)], indent=2))
    elif args.output != '-':
        _print_next_steps([invitation for invitation, _ in made], [path for path in paths if path is not None])
    return 0


def _batch_lines(path: Optional[str]) -> List[str]:
    if path is None:
        return []
    try:
        if path == '-':
            return sys.stdin.read(foreign_file.LONGEST).splitlines()
        return foreign_file.read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError('The list of robots {} cannot be read: {}.'.format(
            path, getattr(error, 'strerror', None) or 'it is not text'), command_line('ls -l {}', path))


def parse_invitees(args: Any, lines: Sequence[str]) -> Tuple[str, List[Invitee]]:
    """(team or '', the machines to invite) from the command line and the lines of --batch.

    :param args: from the parser: names, user, batch, master.
    :raises UsageError: there is no team, no machine, or an invalid line.
    """
    listed = []
    for number, line in enumerate(lines, 1):
        words = line.split('#', 1)[0].split()
        if not words:
            continue
        if len(words) > 2 or words[1:] not in ([], ['master']):
            raise UsageError('Line {} of {} is neither a name nor "NAME master".'.format(number, args.batch),
                             'ua-overlay invite create --help')
        listed.append(Invitee(words[0], len(words) == 2))
    named = list(args.names)
    if args.user:
        team = ''
    elif named:
        team = named.pop(0)
    else:
        raise UsageError('No team given: which team is the invitation for?', 'ua-overlay invite TEAM ROBOT')
    if not named and not listed:
        if args.user:
            raise UsageError('No machine given.', command_line('ua-overlay invite --user {} MACHINE', args.user))
        # `invite lits` has the form of `invite TEAM`.
        raise UsageError('No robot given.{}'.format(did_you_mean(team, OTHERS)),
                         command_line('ua-overlay invite {} ROBOT', team))
    if args.master and len(named) != 1:
        raise UsageError('--master is for one robot; in a list write "NAME master".', 'ua-overlay invite create --help')
    if args.user and (args.master or any(each.master for each in listed)):
        raise UsageError("A user's machine is in no team, so it cannot be a team master.",
                         'ua-overlay invite TEAM ROBOT --master')
    return team, [Invitee(name, args.master) for name in named] + listed


def _paths(args: argparse.Namespace, invitees: Sequence[Invitee]) -> List[Optional[str]]:
    """The path of each invitation, or None for standard output.

    :raises UsageError, OverlayError: it cannot be written there.
    """
    if args.output is not None and len(invitees) > 1:
        raise UsageError('--output is for one robot.', 'the same command with --output-dir DIR')
    if args.output == '-':
        if args.json:
            raise UsageError('--output - cannot be combined with --json.', 'the same command without one of them')
        if sys.stdout.isatty():
            raise UsageError('An invitation holds a secret key, which must not be shown on a terminal.',
                             'the same command with --output FILE')
        return [None]
    parent = os.path.dirname(os.path.abspath(args.output_dir or '.'))
    if not os.path.isdir(parent):
        raise OverlayError('There is no directory {}.'.format(parent), command_line('mkdir -p -m 700 {}', parent))
    paths = [os.path.abspath(args.output or os.path.join(args.output_dir or '', each.name + '.invitation.yaml'))
             for each in invitees]
    for path in paths:
        if os.path.exists(path) and not args.overwrite:
            raise OverlayError('{} exists already; it may hold an unused invitation.'.format(path),
                               'the same command with --overwrite or another --output')
    return list(paths)


def _print_next_steps(made: Sequence[Invitation], paths: Sequence[str]) -> None:
    for invitation, path in zip(made, paths):
        print('{} written: {} joins {} once, until {}.'.format(
            path, invitation.robot, invitation.destination, format_utc(invitation.expires)))
    single = len(paths) == 1
    name = os.path.basename(paths[0]) if single else 'ROBOT.invitation.yaml'
    print('Carry {} like a password, for example: scp {} ROBOT:'.format(
        'it to the robot' if single else 'each to its robot', paths[0] if single else name))
    print('On the robot, once:  sudo ua-overlay robot prepare --invitation {} --user USER'.format(name))
    print('then:                ua-overlay join {}'.format(name))


def run_list(args: argparse.Namespace) -> int:
    site = load_site(args)
    entries = [entry for entry in make_inviter(site).list()
               if (not args.open or entry.state == 'open') and args.team in (None, entry.team)]
    if args.json:
        print(json.dumps([_as_json(entry) for entry in entries], indent=2))
        return 0
    if not entries:
        print('No {}invitations. Next: {}'.format('open ' if args.open else '', site.command('invite TEAM ROBOT')))
        return 0
    now = utc_now()
    print(format_table(('NUMBER', 'MACHINE', 'INTO', 'STATE', 'MADE', 'BY', 'EXPIRES', 'USED BY', 'USED'), [
        (entry.key, entry.machine, entry.team or entry.user + '@', entry.state,
         None if entry.made is None else ago(entry.made, now) + ' ago', entry.made_by,
         None if entry.expires is None else format_utc(entry.expires), entry.used_by,
         None if entry.used_at is None else ago(entry.used_at, now) + ' ago') for entry in entries]))
    return 0


def _as_json(entry: ListedInvitation) -> Dict[str, Any]:
    values = dict(entry._asdict(), number=entry.key)
    del values['key']
    return {name: format_rfc3339(value, 6) if hasattr(value, 'isoformat') else value for name, value in values.items()}


def run_revoke(args: argparse.Namespace) -> int:
    inviter = make_inviter(load_site(args))
    for invitation in args.invitation:
        for entry in inviter.revoke(invitation):
            print('Revoked invitation {} of {}.'.format(entry.key, entry.machine or 'an unknown machine'))
    return 0
