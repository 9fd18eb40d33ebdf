"""`ua-overlay robot list|move|remove|prune`: the robots of a site, on its server."""
import argparse
import json
from typing import Any, Dict, List

from ua_overlay import defaults
from ua_overlay.cli.shared.args import add_dir, days
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.site import load_site, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import ago, format_rfc3339, utc_now
from ua_overlay.tags import belonging, describe_belonging, team_of

#: Days after which `robot list --stale` names a robot.
STALE_DAYS = 30


def configure_list(parser: CommandParser) -> None:
    parser.describe(
        "List the robots that the control server knows. ONLINE means that the robot's tailscaled is connected to this "
        'server; its links to other robots may still fail.',
        'examples:\n  ua-overlay robot list\n  ua-overlay robot list --team iris --json')
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--team', metavar='TEAM', help='only the robots of this team')
    which.add_argument('--users', action='store_true', help='the laptops of users instead of robots')
    which.add_argument('--stale', nargs='?', type=days, const=STALE_DAYS, metavar='DAYS',
                       help='only robots that have been offline for DAYS (default: {})'.format(STALE_DAYS))
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_list)


def configure_remove(parser: CommandParser) -> None:
    parser.describe(
        "End a robot's membership and delete it from the site. Its name and address become free. It can return only "
        'with a new invitation.', 'example:\n  ua-overlay robot remove dev-2')
    parser.add_argument('robot', metavar='ROBOT', help='its overlay name, as in `ua-overlay robot list`')
    add_dir(parser)
    parser.set_defaults(run=run_remove)


def configure_prune(parser: CommandParser) -> None:
    parser.describe(
        'Remove every robot that has been offline for the given time. Each of them costs the server work at every '
        'change. A robot that returns later needs a new invitation.',
        'examples:\n  ua-overlay robot prune --older-than 90d --dry-run\n  ua-overlay robot prune --older-than 90d')
    parser.add_argument('--older-than', type=days, required=True, metavar='DAYS', help='30d, or 30')
    parser.add_argument('--dry-run', action='store_true', help='print the robots; change nothing')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_prune)


def configure_move(parser: CommandParser) -> None:
    parser.describe(
        'Move a robot to another team. It keeps its name, address and key. Within two seconds it leaves the old team '
        'and appears in the new one, and its overlay node takes the port and addressing of the new team. A master '
        'loses that role: see `ua-overlay team master`.', 'example:\n  ua-overlay robot move dev-2 blue')
    parser.add_argument('robot', metavar='ROBOT', help='its overlay name, as in `ua-overlay robot list`')
    parser.add_argument('team', metavar='TEAM', help='name of the new team')
    add_dir(parser)
    parser.set_defaults(run=run_move)


def run_prune(args: argparse.Namespace) -> int:
    site = load_site(args)
    admin = make_admin(site)
    now = utc_now()
    nodes = admin.stale_robots(args.older_than) if args.dry_run else list(admin.prune(args.older_than))
    if args.json:
        print(json.dumps([{'robot': node.name, 'team': team_of(node.tags),
                           'last_seen': format_rfc3339(node.last_seen, 6) if node.last_seen else None}
                          for node in nodes], indent=2))
        return 0
    for node in nodes:
        print('{} (team {}, last seen {} ago){}'.format(node.name, team_of(node.tags), ago(node.last_seen, now),
                                                       '' if args.dry_run else ': removed'))
    if not nodes:
        print('Every robot was online within the last {} days.'.format(args.older_than))
    return 0


def run_move(args: argparse.Namespace) -> int:
    site = load_site(args)
    node, before, was_master = make_admin(site).move_robot(args.robot, args.team)
    if before == args.team:
        print('{} is already in team {}.'.format(node.name, before))
        return 0
    print('Moved {} from team {} to team {}; it keeps its name and address.'.format(node.name, before, args.team))
    if was_master:
        print('Team {} has no master now: {} was its master. Next: {}'.format(
            before, node.name, site.command('team master {} ROBOT'.format(before))))
    return 0


def run_list(args: argparse.Namespace) -> int:
    site = load_site(args)
    admin = make_admin(site)
    nodes = (admin.laptops() if args.users else
             admin.robots(args.team) if args.stale is None else admin.stale_robots(args.stale))
    suffix = site.settings.base_domain
    sessions = admin.sessions()
    rows: List[Dict[str, Any]] = [{
        'robot': node.name, 'team': team_of(node.tags), 'user': node.user,
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
        print('Every robot was online within the last {} days.'.format(args.stale))
        return 0
    if not rows:
        print('No {} yet{}. Next: {}'.format(
            'laptops of users' if args.users else 'robots', ' in team ' + args.team if args.team else '',
            site.command('invite --user NAME MACHINE' if args.users else
                         'invite {} ROBOT'.format(args.team or 'TEAM'))))
        return 0
    now = utc_now()
    print(format_table(('ROBOT', 'USER' if args.users else 'TEAM', 'MASTER', 'ONLINE', 'LAST SEEN', 'ADDRESS',
                        'DNS NAME'), [
        (row['robot'], row['user'] or row['team'], 'yes' if row['master'] else '', 'yes' if row['online'] else 'no',
         'now' if row['online'] else ago(node.last_seen, now) + ' ago', (row['addresses'] or [None])[0],
         row['dns_name']) for row, node in zip(rows, nodes)]))
    for row in rows:
        if row['duplicate_identity']:
            print('{0} has had {1} connections for more than 20 minutes: several machines use its identity (a copied '
                  'SD card?). Next: ua-overlay leave --new-identity   # on each copy; then on {0}: '
                  'ua-overlay leave; ua-overlay join'.format(row['robot'], row['sessions']))
    return 0


def run_remove(args: argparse.Namespace) -> int:
    site = load_site(args)
    with Progress()('Removing {} and waiting until it is disconnected'.format(args.robot)):
        node = make_admin(site).remove_robot(args.robot)
    belongs = belonging(node.tags, node.user)
    print('Removed {} from the overlay; it was in {}.'.format(args.robot, describe_belonging(belongs)))
    print('On {} itself: ua-overlay leave --forget'.format(args.robot))
    print('To let it return: {}'.format(site.command('invite {} {}'.format(
        '--user ' + node.user if node.user else belongs, args.robot))))
    return 0
