"""`ua-overlay guard`: ROS answers on loopback and on the overlay only."""
import argparse
import dataclasses
import json
import os

from ua_overlay import defaults
from ua_overlay.cli.shared.needs import need_root
from ua_overlay.firewall import guard as rules
from ua_overlay.system import nft
from ua_overlay.system.units import systemd_runs

DESCRIPTION = '''\
ROS 1 listens on every network interface, so whoever is on this robot's LAN may drive it. The guard makes the TCP ports
of ROS answer on loopback and on the overlay only: {}, the team's port, and the range from which the kernel gives
ports to ROS nodes. Everything else stays as it is, ssh too, and so does what this robot itself connects to.
Neighbours that are connected already stay connected until they or their node end.'''.format(defaults.LOCAL_MASTER_PORT)

EXAMPLES = '''\
examples:
  sudo ua-overlay guard on
  sudo ua-overlay guard on --allow 50051 --also 9090
  sudo ua-overlay guard status
  sudo ua-overlay guard off'''

ON_DESCRIPTION = '''\
Turns the guard on, now and after every reboot. Typed again it takes new settings and keeps those that are not named.
It names each service that is no ROS and that neighbours no longer reach, with the option that keeps it open.'''


def add_parser(subparsers):
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter}
    parser = subparsers.add_parser('guard', help="keep this robot's LAN out of ROS", description=DESCRIPTION,
                                   epilog=EXAMPLES, **raw)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    on = commands.add_parser('on', help='turn it on', description=ON_DESCRIPTION, epilog=EXAMPLES, **raw)
    on.add_argument('--team-port', type=int, metavar='PORT',
                    help="of the team's roscore (default: as the invitation said, else {})".format(defaults.TEAM_PORT))
    on.add_argument('--interface', action='append', metavar='NAME',
                    help='where ROS may answer besides loopback, repeatable (default: {}); a bridge of containers, '
                         'perhaps'.format(defaults.INTERFACE))
    on.add_argument('--allow', action='append', type=int, metavar='PORT',
                    help='leave this port of the range open: a service that is no ROS listens there; repeatable')
    on.add_argument('--also', action='append', type=int, metavar='PORT',
                    help='guard this port too, of a rosbridge for example; repeatable')
    on.add_argument('--dry-run', action='store_true', help='print the rules and what would be done, and do nothing')
    on.set_defaults(run=run_on)
    off = commands.add_parser('off', help='turn it off', description='Removes the rules, their file and their service.',
                              epilog=EXAMPLES, **raw)
    off.set_defaults(run=run_off)
    status = commands.add_parser(
        'status', help='is it on, and does it hold', epilog=EXAMPLES, **raw,
        description='Says whether the guard is on and what it refused. Exit status: 0 on; 1 something is wrong; 3 off.')
    status.add_argument('--json', action='store_true', help='for programs')
    status.set_defaults(run=run_status)


def run_on(args):
    from ua_overlay.system.listeners import cut_off, read_listeners
    from ua_overlay.system.recipe import describe
    desired = desired_guard(args, read_guard() or rules.Guard(), rules.read_port_range(), settings_port())
    manager = 'systemd' if systemd_runs() else 'none'
    recipe = rules.make_recipe(desired, find_nft(), manager)
    if args.dry_run:
        print(recipe.files[0].text, end='')
        print('\n'.join(describe(recipe)))
        return 0
    need_root('guard on')
    changed = rules.applier().apply(recipe)
    print('{}: ROS answers on {} only (TCP {}).'.format(
        'The guard is on' if changed else 'The guard was on already', ' and '.join(('loopback',) + desired.interfaces),
        rules.format_ranges(rules.guarded_ranges(desired))))
    for item in cut_off(read_listeners(), lambda port: rules.is_guarded(desired, port)):
        print('Note: {} listens on port {}, which a ROS node could have been given, so neighbours no longer reach it. '
              'If it is no ROS: sudo ua-overlay guard on {}'.format(
                  os.path.basename(item.command[0]) if item.command else 'A service', item.port,
                  ' '.join('--allow {}'.format(port) for port in desired.allow + (item.port,))))
    for sentence in recipe.by_hand:
        print('By hand: ' + sentence)
    return 0


def run_off(args):
    need_root('guard off')
    manager = 'systemd' if systemd_runs() else 'none'
    if read_guard() is None:
        manager = 'none'  # there is no unit to stop
    before, after = rules.undo_commands(find_nft(), manager)
    applier = rules.applier()
    notes = applier.undo(before, after)
    if notes is None:
        loaded = loaded_table() is not None
        if loaded:
            from ua_overlay.system.recipe import run_command
            run_command([find_nft(), rules.DELETE])
        print('The guard is off.' if loaded else 'The guard was off already.')
        return 0
    for note in notes:
        print(note)
    print('The guard is off: whoever reaches this robot reaches its ROS.')
    return 0


def run_status(args):
    need_root('guard status')
    guard = read_guard()
    table = loaded_table()
    problems = rules.find_problems(guard, table is not None, rules.read_port_range(), settings_port())
    refused = nft.refused_packets(table, 'sudo ua-overlay guard on') if table is not None else 0
    if args.json:
        print(json.dumps({
            'on': table is not None, 'persistent': guard is not None, 'refused': refused, 'problems': list(problems),
            'ports': rules.format_ranges(rules.guarded_ranges(guard)) if guard else '',
            'interfaces': list(guard.interfaces) if guard else [], 'allow': list(guard.allow) if guard else []}))
    elif guard is None and table is None:
        print('The guard is off: whoever reaches this robot reaches its ROS. Next: sudo ua-overlay guard on')
    else:
        print('The guard is {}.'.format('on' if table is not None else 'not in force'))
        if guard is not None:
            print('ROS answers on: {}'.format(', '.join(('loopback',) + guard.interfaces)))
            print('guarded ports:  {}'.format(rules.format_ranges(rules.guarded_ranges(guard))))
            if guard.allow:
                print('left open:      {}'.format(', '.join(str(port) for port in guard.allow)))
        print('refused:        {} connections since it was loaded'.format(refused))
        for problem in problems:
            print('{} Next: sudo ua-overlay guard on'.format(problem))
    if problems:
        return 1
    return 0 if table is not None else 3


def desired_guard(args, before, port_range, team_port):
    """The Guard of the command line; what it does not name stays as it is ``before``."""
    desired = dataclasses.replace(before, ephemeral=port_range, masters=tuple(sorted(
        {defaults.LOCAL_MASTER_PORT, args.team_port or team_port or defaults.TEAM_PORT})))
    for name in ('interface', 'allow', 'also'):
        given = getattr(args, name)
        if given is not None:
            field = 'interfaces' if name == 'interface' else name
            desired = dataclasses.replace(desired, **{field: tuple(sorted(set(given)))})
    return desired


def settings_port():
    """Port of the team's roscore as the invitation said, or None. The file is the robot's user's: a number is taken."""
    from ua_overlay.membership.settings import read_settings
    return read_settings(defaults.STATE_DIR).get('team_port')


def read_guard():
    """The Guard that is set up on this machine, or None."""
    try:
        with open(rules.RULES) as stream:
            return rules.parse_settings(stream.read())
    except (FileNotFoundError, NotADirectoryError):
        return None


def find_nft():
    return nft.find_nft('The guard', '')


def loaded_table():
    """The kernel's table as nft's JSON, or None when there is none.

    :raises OverlayError: nft failed otherwise.
    """
    return nft.list_table(rules.TABLE, find_nft())
