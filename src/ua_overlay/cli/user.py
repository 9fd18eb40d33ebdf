"""`ua-overlay user`: the users of a site, whose laptops reach its robots."""
import argparse
import json
from typing import Any, Dict, List, Tuple

from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.site import load_site, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.headscale.rules import USER_DEFAULT, User, dump_ports, parse_ports
from ua_overlay.trust.names import check_user

DESCRIPTION = '''\
A user is a person with laptops. Laptops that join with an invitation of a user reach the robots of that user's teams.
Robots reach nothing on laptops except what ROS calls back.'''

EPILOG = '''\
examples:
  ua-overlay user set ana --teams iris,blue
  ua-overlay user set ben --teams iris --what ssh,ping
  ua-overlay invite --user ana laptop-1
  ua-overlay user list
  ua-overlay user remove ben'''


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('set', configure_set)
    parser.add_command('list', configure_list)
    parser.add_command('remove', configure_remove)


def configure_set(parser: CommandParser) -> None:
    parser.describe('Add a user, or change which teams their laptops reach. The change is in force when the command '
                    'returns; a stopped server reads it when it starts.', EPILOG)
    parser.add_argument('user', metavar='NAME', help='lower-case letters, digits and hyphens')
    parser.add_argument('--teams', metavar='LIST', required=True, help='teams whose robots they reach: iris,blue')
    parser.add_argument('--what', metavar='LIST',
                        help='what they may open there: everything, ros, ssh, ping and TCP ports (default: {})'.format(
                            ','.join(map(str, USER_DEFAULT))))
    add_dir(parser)
    parser.set_defaults(run=run_set)


def configure_list(parser: CommandParser) -> None:
    parser.describe('List the users of the site with their teams and laptops.', EPILOG)
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_list)


def configure_remove(parser: CommandParser) -> None:
    parser.describe('Remove a user from the site. Their laptops no longer reach any robot; remove them with '
                    '`ua-overlay robot remove`.', EPILOG)
    parser.add_argument('user', metavar='NAME', help='name of the user')
    add_dir(parser)
    parser.set_defaults(run=run_remove)


def run_set(args: argparse.Namespace) -> int:
    site = load_site(args)
    user = User(check_user(args.user), words(args.teams),
                USER_DEFAULT if args.what is None else parse_ports(args.what, '--what', 'user set'))
    changed = make_admin(site).set_user(user)
    print('Laptops of {} reach {} on robots of {}{}.'.format(
        user.name, dump_ports(user.what), ', '.join(user.teams) or 'no team', '' if changed else '; nothing changed'))
    print('Next: {}'.format(site.command('invite --user {} LAPTOP'.format(user.name))))
    return 0


def words(text: str) -> Tuple[str, ...]:
    """'iris, blue' -> ('blue', 'iris'): sorted, without duplicates."""
    return tuple(sorted({word.strip() for word in text.split(',') if word.strip()}))


def run_list(args: argparse.Namespace) -> int:
    site = load_site(args)
    admin = make_admin(site)
    laptops = admin.laptops() if admin.server_running() else None
    rows: List[Dict[str, Any]] = [
        {'user': name, 'teams': list(user.teams), 'what': list(user.what),
         'laptops': None if laptops is None else [node.name for node in laptops if node.user == name]}
        for name, user in sorted(site.rules.users.items())]
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print('No users yet. Next: {}'.format(site.command('user set NAME --teams TEAM')))
        return 0
    print(format_table(('USER', 'TEAMS', 'MAY OPEN', 'LAPTOPS'), [
        (row['user'], ', '.join(row['teams']), ', '.join(map(str, row['what'])),
         None if row['laptops'] is None else ', '.join(row['laptops'])) for row in rows]))
    return 0


def run_remove(args: argparse.Namespace) -> int:
    site = load_site(args)
    laptops = make_admin(site).remove_user(args.user)
    print('Removed the user {} from the site.'.format(args.user))
    for name in laptops:
        print('Next: {}   (this laptop no longer reaches any robot)'.format(site.command('robot remove ' + name)))
    return 0
