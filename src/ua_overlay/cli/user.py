"""`ua-overlay user`: the people of a site, whose laptops reach its robots."""
import argparse
import json

from ua_overlay.cli.shared.args import add_dir, load_site, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.headscale.rules import USER_DEFAULT, User, dump_ports, parse_ports
from ua_overlay.trust.names import check_user

EXAMPLES = '''\
examples:
  ua-overlay user set ana --teams iris,blue
  ua-overlay user set ben --teams iris --what ssh,ping
  ua-overlay invite --user ana laptop-1
  ua-overlay user list
  ua-overlay user remove ben'''


def add_parser(subparsers):
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter, 'epilog': EXAMPLES}
    parser = subparsers.add_parser(
        'user', help='people, and which teams their laptops reach (on the server)', **raw,
        description='A user is a person. Laptops that join with an invitation of that person reach the robots of\n'
                    'the teams that are named here; robots reach nothing on them but what ROS calls back.')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)

    setting = commands.add_parser(
        'set', help='add a person, or change what they reach', **raw,
        description='Adds a person to the site, or changes which teams they reach. In force when it returns; a server\n'
                    'that does not run takes it when it starts.')
    setting.add_argument('user', metavar='NAME', help='lower-case letters, digits and hyphens')
    setting.add_argument('--teams', metavar='LIST', required=True,
                         help='teams whose robots they reach, such as iris,blue')
    setting.add_argument('--what', metavar='LIST',
                         help='what they may open there: a list of everything, ros, ssh, ping and TCP ports (default: '
                              '{})'.format(','.join(USER_DEFAULT)))
    add_dir(setting)
    setting.set_defaults(run=run_set)

    listing = commands.add_parser('list', help='people, their teams and laptops', **raw,
                                  description='The people of the site, their teams, and how many laptops they have.')
    listing.add_argument('--json', action='store_true', help='for programs')
    add_dir(listing)
    listing.set_defaults(run=run_list)

    remove = commands.add_parser(
        'remove', help='take a person out of the site', **raw,
        description='Takes a person out of the site. Their laptops reach nobody any more; `robot remove` ends them.')
    remove.add_argument('user', metavar='NAME')
    add_dir(remove)
    remove.set_defaults(run=run_remove)


def run_set(args):
    site = load_site(args)
    user = User(check_user(args.user), words(args.teams),
                USER_DEFAULT if args.what is None else parse_ports(args.what, '--what', 'user set'))
    changed = make_admin(site).set_user(user)
    print('Laptops of {} reach {} on robots of {}{}.'.format(
        user.name, dump_ports(user.what), ', '.join(user.teams) or 'no team',
        '' if changed else '; nothing changed'))
    print('Next: {}'.format(site.command('invite --user {} LAPTOP'.format(user.name))))
    return 0


def words(text):
    """'iris, blue' -> ('blue', 'iris'): sorted, each once."""
    return tuple(sorted({word.strip() for word in text.split(',') if word.strip()}))


def run_list(args):
    site = load_site(args)
    admin = make_admin(site)
    laptops = admin.laptops() if admin.server_running() else None
    rows = [{'user': name, 'teams': list(person.teams), 'what': list(person.what),
             'laptops': None if laptops is None else [node.name for node in laptops if node.user == name]}
            for name, person in sorted(site.rules.users.items())]
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


def run_remove(args):
    site = load_site(args)
    laptops = make_admin(site).remove_user(args.user)
    print('{} is no user of the site any more.'.format(args.user))
    for name in laptops:
        print('Next: {}   (it reaches nobody now)'.format(site.command('robot remove ' + name)))
    return 0
