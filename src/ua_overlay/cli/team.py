"""`ua-overlay team`: the teams of a site."""
import argparse
import json

from ua_overlay import defaults
from ua_overlay.cli.shared.args import add_dir, load_site, load_site_file, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.headscale.rules import INSIDE_DEFAULT, Team, parse_ports
from ua_overlay.tags import team_of


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'team', help='create, list and remove teams, choose their masters (on the server)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='A team is a set of robots that may talk to each other. Robots of different teams cannot reach\n'
                    'each other. Inside the overlay a team is the tag tag:NAME and a rule of the policy.',
        epilog='examples:\n  ua-overlay team create iris\n  ua-overlay invite iris dev-1 --master\n'
               '  ua-overlay team list\n  ua-overlay team master iris dev-2')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)

    create = commands.add_parser(
        'create', help='add a team', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Adds a team. A running server knows it at once; a stopped one when it starts.',
        epilog='examples:\n  ua-overlay team create iris\n  ua-overlay team create iris --team-port 11313')
    create.add_argument('team', metavar='NAME', help='lower-case letters, digits and hyphens')
    create.add_argument('--team-port', type=int, default=defaults.TEAM_PORT, metavar='PORT',
                        help='TCP port of the team\'s roscore (default: %(default)s)')
    create.add_argument('--addressing', choices=defaults.ADDRESSING, default=defaults.NAMES,
                        help='how the robots of the team call each other in ROS; one setting for all of them '
                             '(default: %(default)s)')
    create.add_argument('--inside', metavar='LIST',
                        help='what its robots may open on each other: everything (default), or a list such as '
                             'ros,ssh,ping,8765')
    add_dir(create)
    create.set_defaults(run=run_create)

    listing = commands.add_parser('list', help='teams with their robots and open invitations',
                                  description='The teams of the site, with their robots and open invitations.')
    listing.add_argument('--json', action='store_true', help='for programs')
    add_dir(listing)
    listing.set_defaults(run=run_list)

    master = commands.add_parser(
        'master', help='choose the robot that runs the team\'s roscore',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Makes ROBOT the master of TEAM. Every robot of the team follows by itself within seconds:\n'
                    'new shells, programs, the roscore and the launch file. It is a clean start of the team graph:\n'
                    'parameters, latched messages and nodes started by hand in old shells do not follow.',
        epilog='examples:\n  ua-overlay team master iris dev-2')
    master.add_argument('team', metavar='TEAM')
    master.add_argument('robot', metavar='ROBOT', help='its name in the overlay, as `ua-overlay robot list` shows it')
    add_dir(master)
    master.set_defaults(run=run_master)

    remove = commands.add_parser(
        'remove', help='remove an empty team',
        description='Removes a team that has no robots; its unused invitations are revoked. The server has to run.')
    remove.add_argument('team', metavar='NAME')
    add_dir(remove)
    remove.set_defaults(run=run_remove)


def run_create(args):
    site = load_site_file(args)
    running = make_admin(site).create_team(Team(
        args.team, args.team_port, args.addressing,
        INSIDE_DEFAULT if args.inside is None else parse_ports(args.inside)))
    print('Team {} created{}.'.format(args.team, '' if running else '; the server is not running and will know it '
                                                                    'when it starts'))
    print('Next: {}'.format(site.command('invite {} ROBOT'.format(args.team) if running else 'server run')))
    return 0


def run_list(args):
    site = load_site(args)
    admin = make_admin(site)
    members, invitations = {}, {}
    running = admin.server_running()
    if running:
        for node in admin.robots():
            members.setdefault(team_of(node.tags), []).append(node)
        invitations = admin.open_invitations()
    rows = []
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
        print('The server is not running, so only what the site\'s file says is shown. Next: {}'.format(
            site.command('server run')))
    return 0


def run_master(args):
    site = load_site(args)
    node, before = make_admin(site).move_master(args.team, args.robot)
    if before == [node.name]:
        print('{} is the master of team {} already.'.format(node.name, args.team))
    else:
        others = [name for name in before if name != node.name]
        print('{} is the master of team {} now{}.'.format(
            node.name, args.team, '; it was {}'.format(', '.join(others)) if others else ''))
    if not node.online:
        print('{} is offline: the team has no roscore until it is back. Next: {}'.format(
            node.name, site.command('robot list')))
    return 0


def run_remove(args):
    site = load_site_file(args)
    revoked = make_admin(site).remove_team(args.team)
    print('Team {} removed; {} unused invitation(s) revoked.'.format(args.team, revoked))
    return 0
