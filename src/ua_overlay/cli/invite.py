"""`ua-overlay invite`: the files with which robots join a team; which there are, and an end to them."""
import argparse
import json
import os
import sys

from ua_overlay.cli.shared.args import add_dir, add_expires, asker, load_site, make_admin, make_inviter
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import ago, format_rfc3339, format_utc, utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.site.inviter import Invitee
from ua_overlay.trust import invitation as invitations

DESCRIPTION = """\
Makes an invitation: a small file with the server's address, the site's CA and a key that lets one machine join
once, within the hour unless asked otherwise. Whoever has the file can join: carry it as you would carry a password
(scp, a USB stick), and delete it afterwards. The server has to run."""
EXAMPLES = """\
examples:
  ua-overlay invite iris dev-1 --master      # dev-1 runs the team's roscore
  ua-overlay invite iris dev-2 --expires 1d --output /media/usb/dev-2.invitation.yaml
  ua-overlay invite iris dev-2 --output - | ssh dev-2 'umask 077; cat > dev-2.invitation.yaml'
  ua-overlay invite iris dev-3 dev-4 dev-5 --output-dir invitations
  ua-overlay invite iris --batch robots.txt --output-dir invitations
  ua-overlay invite --user ana laptop-1  # a person's machine, in no team: see `ua-overlay policy --help`
  ua-overlay invite list
  ua-overlay invite revoke dev-2"""


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'invite', help='make, list and revoke the files with which robots join (on the server)',
        usage='ua-overlay invite TEAM ROBOT [ROBOT ...] [options]\n       ua-overlay invite --user NAME MACHINE '
              '[options]\n       ua-overlay invite create|list|revoke --help',
        formatter_class=argparse.RawDescriptionHelpFormatter, description=DESCRIPTION, epilog=EXAMPLES)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    _add_create(commands)

    listing = commands.add_parser(
        'list', help='who was invited, and what became of it',
        description='Every invitation of the site: for whom, until when, and whether it is open, was used (when, by '
                    'which node), was revoked, or has expired.')
    listing.add_argument('--open', action='store_true', help='only those that can still be used')
    listing.add_argument('--team', metavar='TEAM', help='only those into this team')
    listing.add_argument('--json', action='store_true', help='for programs')
    add_dir(listing)
    listing.set_defaults(run=run_list)

    revoking = commands.add_parser(
        'revoke', help='make an invitation worthless',
        description='Takes back the open invitations of a machine, or one by its number. A robot that has joined '
                    'already stays: `ua-overlay robot remove` is for that.')
    revoking.add_argument('invitation', metavar='MACHINE|NUMBER', nargs='+',
                          help='a name, or the number that `invite list` shows')
    add_dir(revoking)
    revoking.set_defaults(run=run_revoke)


def _add_create(commands):
    parser = commands.add_parser(
        'create', help='make invitations (the word may be left out)',
        usage='ua-overlay invite TEAM ROBOT [ROBOT ...] [options]\n       ua-overlay invite --user NAME MACHINE '
              '[MACHINE ...] [options]',
        formatter_class=argparse.RawDescriptionHelpFormatter, description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument('names', nargs='*', metavar='TEAM ROBOT',
                        help='the team, and the names of the robots in the overlay')
    parser.add_argument('--user', metavar='NAME', default='',
                        help='for machines of this user of the site, in no team')
    parser.add_argument('--batch', metavar='FILE',
                        help='names of more robots, one a line, - for standard input; "NAME master" marks the one that '
                             'runs the team\'s roscore; # begins a comment')
    add_expires(parser, 'invitation')
    parser.add_argument('--master', action='store_true', help='this robot runs the team\'s roscore')
    parser.add_argument('--ca-sha256', action='store_true',
                        help='carry the SHA-256 of the site\'s CA instead of the CA: a shorter file; the robot fetches '
                             'the CA from the server and compares')
    output = parser.add_mutually_exclusive_group()
    output.add_argument('--output', metavar='FILE', help='where to write it (default: ROBOT.invitation.yaml); - for '
                                                         'standard output')
    output.add_argument('--output-dir', metavar='DIR',
                        help='write ROBOT.invitation.yaml of each robot there; it is made if need be')
    parser.add_argument('--overwrite', action='store_true', help='replace a file that is there')
    parser.add_argument('--replace', action='store_true',
                        help='the hardware of the robot of that name is gone: it is removed, and this one takes over '
                             'its name (not its address)')
    parser.add_argument('--force', action='store_true',
                        help='also when the overlay has a robot of that name; this one is then called ROBOT-1')
    parser.add_argument('--json', action='store_true', help='say for programs which files were written')
    add_dir(parser)
    parser.set_defaults(run=run_create)


def run_create(args):
    site = load_site(args)
    inviter = make_inviter(site)
    team, invitees = parse_invitees(args, _batch_lines(args.batch))
    paths = _paths(args, invitees)
    with Progress()('Making {} invitations'.format(len(invitees))) if len(invitees) > 5 else _Silent():
        made = inviter.invite(invitees, args.expires, team, args.user, args.force, args.ca_sha256,
                              args.replace)
    written = []
    owner = asker(os.environ, os.geteuid(), os.getegid())
    try:
        if args.output_dir and not os.path.isdir(args.output_dir):
            # What goes into it is for nobody else.
            os.mkdir(args.output_dir, 0o700)
            os.chown(args.output_dir, *owner)
        for (invitation, _), path in zip(made, paths):
            if path is None:
                sys.stdout.write(invitations.dump(invitation))
                sys.stdout.flush()
            else:
                written.append(path)
                invitations.write(path, invitation, owner)
    except (OSError, OverlayError):
        inviter.take_back([key_id for _, key_id in made])
        for path in written:
            if os.path.exists(path):
                os.unlink(path)
        raise
    if args.replace:
        # Only now: an invitation that could not be written must not cost the robot that is there.
        make_admin(site).remove_absent([invitation.robot for invitation, _ in made])
    if args.json:
        print(json.dumps([{'robot': invitation.robot, 'team': invitation.team, 'user': invitation.user,
                           'master': invitation.master, 'number': key_id, 'file': path,
                           'expires': format_rfc3339(invitation.expires, 6)}
                          for (invitation, key_id), path in zip(made, paths)], indent=2))
    elif paths != [None]:
        _tell([invitation for invitation, _ in made], paths)
    return 0


class _Silent:
    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        return None


def _batch_lines(path):
    if path is None:
        return []
    try:
        if path == '-':
            return sys.stdin.read().splitlines()
        with open(path, encoding='utf-8') as stream:
            return stream.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError('The list of robots {} cannot be read: {}.'.format(
            path, getattr(error, 'strerror', None) or 'it is not text'), 'ls -l {}'.format(path))


def parse_invitees(args, lines):
    """(team or '', list of Invitee) of the command line and the lines of --batch.

    :raises UsageError: it does not say for whom, or in which team; a line makes no sense.
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
        raise UsageError('It is not said into which team the invitation is.', 'ua-overlay invite TEAM ROBOT')
    if not named and not listed:
        raise UsageError('It is not said for whom the invitation is.', 'ua-overlay invite {} ROBOT'.format(
            '--user ' + args.user if args.user else team))
    if args.master and len(named) != 1:
        raise UsageError('--master is for one robot; in a list write "NAME master".', 'ua-overlay invite create --help')
    if args.user and (args.master or any(each.master for each in listed)):
        raise UsageError('A machine of a user is in no team, so it cannot be a team\'s master.',
                         'ua-overlay invite TEAM ROBOT --master')
    return team, [Invitee(name, args.master) for name in named] + listed


def _paths(args, invitees):
    """Where each invitation goes: a path, or None for standard output.

    :raises UsageError, OverlayError: that place is none.
    """
    if args.output is not None and len(invitees) > 1:
        raise UsageError('One file is for one robot.', 'the same command with --output-dir DIR')
    if args.output == '-':
        if args.json:
            raise UsageError('An invitation on standard output leaves no room for --json.', 'one of the two')
        if sys.stdout.isatty():
            raise UsageError('An invitation holds a key, which is not for a terminal.', 'the same with --output FILE')
        return [None]
    parent = os.path.dirname(os.path.abspath(args.output_dir or '.'))
    if not os.path.isdir(parent):
        raise OverlayError('There is no directory {}.'.format(parent), 'mkdir -p -m 700 {}'.format(parent))
    paths = [os.path.abspath(args.output or os.path.join(args.output_dir or '', each.name + '.invitation.yaml'))
             for each in invitees]
    for path in paths:
        if os.path.exists(path) and not args.overwrite:
            raise OverlayError('{} exists already; it may hold an invitation that was not used yet.'.format(path),
                               'the same command with --overwrite or another --output')
    return paths


def _tell(made, paths):
    for invitation, path in zip(made, paths):
        print('{} written: {} joins {} once, until {}.'.format(
            path, invitation.robot, invitation.destination, format_utc(invitation.expires)))
    name = os.path.basename(paths[0]) if len(paths) == 1 else 'ROBOT.invitation.yaml'
    print('Carry {} like a password, for example: scp {} ROBOT:'.format(
        'it to the robot' if len(paths) == 1 else 'each to its robot', paths[0] if len(paths) == 1 else name))
    print('There, once:  sudo ua-overlay robot prepare --invitation {} --user USER'.format(name))
    print('and then:     ua-overlay join {}'.format(name))


def run_list(args):
    site = load_site(args)
    found = [entry for entry in make_inviter(site).list()
             if (not args.open or entry.state == 'open') and args.team in (None, entry.team)]
    if args.json:
        print(json.dumps([_as_json(entry) for entry in found], indent=2))
        return 0
    if not found:
        print('No {}invitations. Next: {}'.format('open ' if args.open else '', site.command('invite TEAM ROBOT')))
        return 0
    now = utc_now()
    print(format_table(('NUMBER', 'MACHINE', 'INTO', 'STATE', 'MADE', 'BY', 'EXPIRES', 'USED BY', 'USED'), [
        (entry.key, entry.machine, entry.team or entry.user + '@', entry.state,
         None if entry.made is None else ago(entry.made, now) + ' ago', entry.made_by,
         None if entry.expires is None else format_utc(entry.expires), entry.used_by,
         None if entry.used_at is None else ago(entry.used_at, now) + ' ago') for entry in found]))
    return 0


def _as_json(entry):
    values = dict(entry._asdict(), number=entry.key)
    del values['key']
    return {name: format_rfc3339(value, 6) if hasattr(value, 'isoformat') else value for name, value in values.items()}


def run_revoke(args):
    site = load_site(args)
    inviter = make_inviter(site)
    for what in args.invitation:
        for entry in inviter.revoke(what):
            print('Invitation {} of {} is worthless now.'.format(entry.key, entry.machine or 'an unknown machine'))
    return 0
