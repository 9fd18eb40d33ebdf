"""`ua-overlay team`: the teams of a site."""
import argparse
import json
from typing import Any, Dict, List

from ua_overlay import defaults
from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.site import load_site, load_site_file, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rules import INSIDE_DEFAULT, Team, parse_ports
from ua_overlay.tags import team_of

DESCRIPTION = '''\
A team is a set of robots that may talk to each other. Robots of different teams cannot reach each other unless a `talk`
rule in site.yaml allows it. In the overlay a team is the tag tag:NAME and a rule of the policy.'''

EPILOG = '''\
examples:
  ua-overlay team create iris
  ua-overlay invite iris dev-1 --master
  ua-overlay team list
  ua-overlay team master iris dev-2'''


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('create', configure_create)
    parser.add_command('list', configure_list)
    parser.add_command('master', configure_master)
    parser.add_command('remove', configure_remove)


def configure_create(parser: CommandParser) -> None:
    parser.describe('Create a team. It takes effect at once; if the server is stopped, when it starts.',
                    'examples:\n  ua-overlay team create iris\n  ua-overlay team create iris --team-port 11313')
    parser.add_argument('team', metavar='NAME', help='lower-case letters, digits and hyphens')
    parser.add_argument('--team-port', type=int, default=defaults.TEAM_PORT, metavar='PORT',
                        help="TCP port of the team's roscore (default: %(default)s)")
    parser.add_argument('--addressing', choices=defaults.ADDRESSING, default=defaults.NAMES,
                        help='how all robots of the team address each other in ROS (default: %(default)s)')
    parser.add_argument('--inside', metavar='LIST',
                        help='what its robots may open on each other: everything (default), or a list such as '
                             'ros,ssh,ping,8765')
    add_dir(parser)
    parser.set_defaults(run=run_create)


def configure_list(parser: CommandParser) -> None:
    parser.describe('List the teams of the site with their robots and open invitations.')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_list)


def configure_master(parser: CommandParser) -> None:
    parser.describe(
        'Make ROBOT the master of TEAM. Every robot of the team follows within seconds: new shells, programs, the '
        'roscore and the launch file. The team graph starts empty: parameters, latched messages and nodes started by '
        'hand in old shells do not follow.', 'examples:\n  ua-overlay team master iris dev-2')
    parser.add_argument('team', metavar='TEAM', help='name of the team')
    parser.add_argument('robot', metavar='ROBOT', help='its overlay name, as in `ua-overlay robot list`')
    add_dir(parser)
    parser.set_defaults(run=run_master)


def configure_remove(parser: CommandParser) -> None:
    parser.describe('Remove a team that has no robots, and revoke its unused invitations. The server must run.')
    parser.add_argument('team', metavar='NAME', help='name of the team')
    add_dir(parser)
    parser.set_defaults(run=run_remove)


def run_create(args: argparse.Namespace) -> int:
    site = load_site_file(args)
    running = make_admin(site).create_team(Team(
        args.team, args.team_port, args.addressing,
        INSIDE_DEFAULT if args.inside is None else parse_ports(args.inside)))
    print('Team {} created{}.'.format(
        args.team, '' if running else '; the server is not running and reads it when it starts'))
    print('Next: {}'.format(site.command('invite {} ROBOT'.format(args.team)) if running else site.start_command()))
    return 0


def run_list(args: argparse.Namespace) -> int:
    site = load_site(args)
    admin = make_admin(site)
    members: Dict[str, List[Node]] = {}
    invitations: Dict[str, int] = {}
    running = admin.server_running()
    if running:
        for node in admin.robots():
            members.setdefault(team_of(node.tags), []).append(node)
        invitations = admin.open_invitations()
    rows: List[Dict[str, Any]] = []
    for name in sorted(site.teams):
        team, nodes = site.teams[name], members.get(name, [])
        rows.append({'team': name, 'team_port': team.port, 'addressing': team.addressing, 'inside': list(team.inside),
                     'robots': len(nodes) if running else None,
                     'online': sum(node.online for node in nodes) if running else None,
                     'masters': [node.name for node in nodes if defaults.MASTER_TAG in node.tags] if running else None,
                     'open_invitations': invitations.get(name, 0) if running else None})
    if args.json:
        print(json.dumps(rows, indent=2))
        return 0
    if not rows:
        print('No teams yet. Next: {}'.format(site.command('team create NAME')))
        return 0
    print(format_table(('TEAM', 'ROBOTS', 'ONLINE', 'MASTER', 'PORT', 'ADDRESSING', 'OPEN INVITATIONS'), [
        (row['team'], row['robots'], row['online'], ', '.join(row['masters'] or ()), row['team_port'],
         row['addressing'], row['open_invitations']) for row in rows]))
    if not running:
        print('The server is not running, so only the settings of site.yaml are shown. Next: {}'.format(
            site.start_command()))
    return 0


def run_master(args: argparse.Namespace) -> int:
    site = load_site(args)
    node, before = make_admin(site).move_master(args.team, args.robot)
    if before == [node.name]:
        print('{} is already the master of team {}.'.format(node.name, args.team))
    else:
        others = [name for name in before if name != node.name]
        print('{} is now the master of team {}{}.'.format(
            node.name, args.team, '; it was {}'.format(', '.join(others)) if others else ''))
    if not node.online:
        print('{} is offline: the team has no roscore until it returns. Next: {}'.format(
            node.name, site.command('robot list')))
    return 0


def run_remove(args: argparse.Namespace) -> int:
    site = load_site_file(args)
    revoked = make_admin(site).remove_team(args.team)
    print('Team {} removed; {} unused invitation(s) revoked.'.format(args.team, revoked))
    return 0
