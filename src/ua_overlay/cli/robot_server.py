"""`ua-overlay robot list|remove|prune|move`: the robots of a site, on its server. Mounted by cli/robot.py."""
import argparse
import json

from ua_overlay import defaults
from ua_overlay.cli.shared.args import add_dir, load_site, make_admin
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import ago, format_rfc3339, utc_now
from ua_overlay.tags import belonging, describe_belonging, team_of

#: Days after which `robot list --stale` names a robot.
STALE_DAYS = 30


def add_list_parser(commands):
    """Add `robot list`."""
    parser = commands.add_parser(
        'list', help='the robots of the site (on the server)', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Lists the robots that the control server knows. ONLINE means that the robot\'s daemon is\n'
                    'connected to this server, whether or not its links to other robots work.',
        epilog='examples:\n  ua-overlay robot list\n  ua-overlay robot list --team iris --json')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--team', metavar='TEAM', help='only the robots of this team')
    which.add_argument('--users', action='store_true', help='the laptops of users instead of robots')
    which.add_argument('--stale', nargs='?', type=days, const=STALE_DAYS, metavar='DAYS',
                       help='only the robots that were not seen for so long (default: {} days)'.format(STALE_DAYS))
    parser.add_argument('--json', action='store_true', help='for programs')
    add_dir(parser)
    parser.set_defaults(run=run_list)


def add_remove_parser(commands):
    """Add `robot remove`."""
    parser = commands.add_parser(
        'remove', help='make the site forget a robot (on the server)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Ends the robot\'s membership and forgets it: its name and address become free. It can come back\n'
                    'only with a new invitation.',
        epilog='example:\n  ua-overlay robot remove dev-2')
    parser.add_argument('robot', metavar='ROBOT')
    add_dir(parser)
    parser.set_defaults(run=run_remove)


def add_prune_parser(commands):
    """Add `robot prune`."""
    parser = commands.add_parser(
        'prune', help='make the site forget robots that were not seen for long (on the server)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Forgets every robot that is offline and was not seen for the given time. Each of them costs the\n'
                    'server work at every change, also when it never comes back. One that does come back needs a new\n'
                    'invitation.',
        epilog='examples:\n  ua-overlay robot prune --older-than 90d --dry-run\n'
               '  ua-overlay robot prune --older-than 90d')
    parser.add_argument('--older-than', type=days, required=True, metavar='DAYS', help='30d, or 30')
    parser.add_argument('--dry-run', action='store_true', help='say which, and do nothing')
    parser.add_argument('--json', action='store_true', help='for programs')
    add_dir(parser)
    parser.set_defaults(run=run_prune)


def add_move_parser(commands):
    """Add `robot move`."""
    parser = commands.add_parser(
        'move', help='move a robot to another team (on the server)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Moves a robot to another team: it keeps its name, its address and its key. Its old team loses it\n'
                    'and the new one has it within two seconds; the overlay node on it follows by itself, with the\n'
                    'new team\'s port and addressing. A master does not stay master: see `ua-overlay team master`.',
        epilog='example:\n  ua-overlay robot move dev-2 blue')
    parser.add_argument('robot', metavar='ROBOT')
    parser.add_argument('team', metavar='TEAM')
    add_dir(parser)
    parser.set_defaults(run=run_move)


def days(text):
    """'30d' or '30' -> 30."""
    number = text[:-1] if text.endswith('d') else text
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 10000):
        raise argparse.ArgumentTypeError('{!r} is not a number of days such as 30d'.format(text))
    return int(number)


def run_prune(args):
    site = load_site(args)
    admin = make_admin(site)
    now = utc_now()
    gone = admin.stale_robots(args.older_than) if args.dry_run else list(admin.prune(args.older_than))
    if args.json:
        print(json.dumps([
            {'robot': node.name, 'team': team_of(node.tags),
             'last_seen': format_rfc3339(node.last_seen, 6) if node.last_seen else None} for node in gone], indent=2))
        return 0
    for node in gone:
        print('{} (team {}, seen {} ago){}'.format(node.name, team_of(node.tags), ago(node.last_seen, now),
                                                  '' if args.dry_run else ': forgotten'))
    if not gone:
        print('Every robot was seen within the last {} days.'.format(args.older_than))
    return 0


def run_move(args):
    site = load_site(args)
    node, before, was_master = make_admin(site).move_robot(args.robot, args.team)
    if before == args.team:
        print('{} is in team {} already.'.format(node.name, before))
        return 0
    print('{} is in team {} now (it was in team {}); its name and address stay.'.format(node.name, args.team, before))
    if was_master:
        print('It was the master of team {}, which has none now. Next: {}'.format(
            before, site.command('team master {} ROBOT'.format(before))))
    return 0


def run_list(args):
    site = load_site(args)
    admin = make_admin(site)
    nodes = (admin.laptops() if args.users else
             admin.robots(args.team) if args.stale is None else admin.stale_robots(args.stale))
    suffix = site.settings.base_domain
    sessions = admin.sessions()
    rows = [{'robot': node.name, 'team': team_of(node.tags), 'user': node.user,
             'dns_name': '{}.{}'.format(node.name, suffix),
             'addresses': list(node.addresses), 'master': defaults.MASTER_TAG in node.tags, 'online': node.online,
             'last_seen': format_rfc3339(node.last_seen, 6) if node.last_seen else None,
             'joined': format_rfc3339(node.created, 6) if node.created else None,
             'expiry': format_rfc3339(node.expiry, 6) if node.expiry else None,
             'sessions': sessions['several'].get(node.id, int(node.online)),
             'duplicate_identity': node.id in sessions['duplicate_identities']} for node in nodes]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows and args.stale is not None:
        print('Every robot was seen within the last {} days.'.format(args.stale))
        return 0
    if not rows:
        print('No {} yet{}. Next: {}'.format(
            'laptops of users' if args.users else 'robots', ' in team ' + args.team if args.team else '',
            site.command('invite --user NAME MACHINE' if args.users else
                         'invite {} ROBOT'.format(args.team or 'TEAM'))))
        return 0
    now = utc_now()
    whose = 'USER' if args.users else 'TEAM'
    print(format_table(('ROBOT', whose, 'MASTER', 'ONLINE', 'LAST SEEN', 'ADDRESS', 'DNS NAME'), [
        (row['robot'], row['user'] or row['team'], 'yes' if row['master'] else '', 'yes' if row['online'] else 'no',
         'now' if row['online'] else ago(node.last_seen, now) + ' ago', (row['addresses'] or [None])[0],
         row['dns_name']) for row, node in zip(rows, nodes)]))
    for row in rows:
        if row['duplicate_identity']:
            print('{0} has been connected {1} times for more than 20 minutes: several machines with one identity (a '
                  'copied SD card?). Next: on the copy ua-overlay leave --forget, here {2}, then an invitation for '
                  'each.'.format(row['robot'], row['sessions'], site.command('robot remove ' + row['robot'])))
    return 0


def run_remove(args):
    site = load_site(args)
    with Progress()('Ending the membership of {} and waiting until it has heard of it'.format(args.robot)):
        node = make_admin(site).remove_robot(args.robot)
    team = belonging(node.tags, node.user)
    print('{} is no longer in the overlay (it was in {}).'.format(args.robot, describe_belonging(team)))
    print('On {} itself: ua-overlay leave --forget'.format(args.robot))
    print('To have it back: {}'.format(site.command('invite {} {}'.format(
        '--user ' + node.user if node.user else team, args.robot))))
    return 0
