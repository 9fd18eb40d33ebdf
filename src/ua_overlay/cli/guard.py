"""`ua-overlay guard`: ROS answers on loopback and on the overlay only."""
import argparse
import dataclasses
import json
import os
from typing import Any, NamedTuple, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.cli.shared.exit_status import FAILED, NOTHING
from ua_overlay.cli.shared.needs import need_root
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import backend
from ua_overlay.firewall import guard as rules
from ua_overlay.firewall.backend import IPTABLES, Backend
from ua_overlay.system import iptables, nft
from ua_overlay.system.units import systemd_runs

DESCRIPTION = '''\
Make the TCP ports of ROS answer on loopback and on the overlay only: {}, the team's port, and the range from which
the kernel gives ports to ROS nodes. Without the guard, ROS 1 listens on every network interface, and anyone on this
robot's network can drive it. All other ports stay as they are, ssh included, and so do the connections that this robot
opens itself. Connections that neighbours have already opened last until either end closes them.'''.format(
    defaults.LOCAL_MASTER_PORT)

EPILOG = '''\
examples:
  sudo ua-overlay guard on
  sudo ua-overlay guard on --allow 50051 --also 9090
  sudo ua-overlay guard status
  sudo ua-overlay guard off'''

ON_DESCRIPTION = '''\
Turn the guard on, now and after every reboot. Repeat the command to change settings; options that you leave out keep
their values. It lists each service other than ROS that it closes to neighbours, with the option that keeps it open.'''

STATUS_EPILOG = '''\
exit status:
  0  on
  1  set up, but not working: the output names the reason
  3  off

''' + EPILOG


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('on', configure_on)
    parser.add_command('off', configure_off)
    parser.add_command('status', configure_status)


def configure_on(parser: CommandParser) -> None:
    parser.describe(ON_DESCRIPTION, EPILOG)
    parser.add_argument('--team-port', type=int, metavar='PORT',
                        help="port of the team's roscore (default: that of the invitation, else {})".format(
                            defaults.TEAM_PORT))
    parser.add_argument('--interface', action='append', metavar='NAME',
                        help='network interface, such as a container bridge, on which ROS answers besides loopback; '
                             'repeatable; replaces the default, so name {0} too (default: {0})'.format(
                                 defaults.INTERFACE))
    parser.add_argument('--allow', action='append', type=int, metavar='PORT',
                        help='leave this port of the range open for a service other than ROS; repeatable')
    parser.add_argument('--also', action='append', type=int, metavar='PORT',
                        help='guard this port too, for example of a rosbridge; repeatable')
    parser.add_argument('--dry-run', action='store_true', help='print the rules and what would be done; change nothing')
    parser.set_defaults(run=run_on)


def configure_off(parser: CommandParser) -> None:
    parser.describe('Turn the guard off: remove its rules, their file and their service.', EPILOG)
    parser.set_defaults(run=run_off)


def configure_status(parser: CommandParser) -> None:
    parser.describe('Show whether the guard is on, and how many connections it refused.', STATUS_EPILOG)
    parser.add_json()
    parser.set_defaults(run=run_status)


def run_on(args: argparse.Namespace) -> int:
    from ua_overlay.firewall.listeners import cut_off, read_listeners
    from ua_overlay.system.interfaces import addresses_on
    from ua_overlay.system.recipe import describe
    desired = desired_guard(args, rules.installed_guard() or rules.Guard(interfaces=own_interfaces()),
                            rules.read_port_range(), settings_port())
    rules.check_guard(desired)
    if not args.dry_run:
        need_root('guard on')
    found = backend.choose(
        backend.candidates(), (lambda _: None) if args.dry_run else lambda each: rules.try_rules(desired, each),
        'The guard')
    recipe = rules.make_recipe(desired, found, _manager())
    if args.dry_run:
        print(recipe.files[0].text, end='')
        print('\n'.join(describe(recipe)))
        return 0
    changed = rules.applier().apply(recipe)
    if not loaded_rules(found).loaded:
        raise OverlayError('The guard is set up, but another program removed its rules from the kernel.',
                           'sudo ua-overlay guard status')
    print('{}: ROS answers on {} only (TCP {}).'.format(
        'The guard is on' if changed else 'The guard was on already', ' and '.join(('loopback',) + desired.interfaces),
        rules.format_ranges(rules.guarded_ranges(desired))))
    for item in cut_off(read_listeners(), lambda port: rules.is_guarded(desired, port),
                        addresses_on(desired.interfaces)):
        print('Note: {} listens on port {} of the guarded range, so neighbours no longer reach it. If it is not ROS: '
              'sudo ua-overlay guard on {}'.format(
                  os.path.basename(item.command[0]) if item.command else 'A service', item.port,
                  ' '.join('--allow {}'.format(port) for port in desired.allow + (item.port,))))
    for sentence in recipe.by_hand:
        print('By hand: ' + sentence)
    return 0


def run_off(args: argparse.Namespace) -> int:
    need_root('guard off')
    # If none of our files existed, there is no unit to stop.
    applier = rules.applier()
    if not applier.applied():
        found = next((each for each in backend.candidates() if loaded_rules(each).loaded), None)
        if found is not None:
            from ua_overlay.system.recipe import run_command
            run_command(list(rules.delete_argv(found)))
        print('The guard was off already.' if found is None else 'The guard is off.')
        return 0
    kind = rules.installed_kind()
    before, after = rules.undo_commands(_manager() if kind else 'none')
    notes = applier.undo(before, after) or []
    for note in notes:
        print(note)
    if kind and loaded_rules(backend.installed(kind)).loaded:
        raise OverlayError('The guard is set up no more, but its rules are still in the kernel.',
                           'sudo ua-overlay guard off')
    print('The guard is off: anyone who reaches this robot reaches its ROS.')
    return 0


def run_status(args: argparse.Namespace) -> int:
    need_root('guard status')
    guard = rules.installed_guard()
    loaded, refused = loaded_rules(backend.installed(rules.installed_kind())) if guard else next(
        (state for state in map(loaded_rules, backend.candidates()) if state.loaded), Loaded(False, 0))
    problems = rules.find_problems(guard, loaded, rules.read_port_range(), settings_port())
    if args.json:
        print(json.dumps({
            'on': loaded, 'persistent': guard is not None, 'refused': refused, 'problems': list(problems),
            'ports': rules.format_ranges(rules.guarded_ranges(guard)) if guard else '',
            'interfaces': list(guard.interfaces) if guard else [], 'allow': list(guard.allow) if guard else []}))
    elif guard is None and not loaded:
        print('The guard is off: anyone who reaches this robot reaches its ROS. Next: sudo ua-overlay guard on')
    else:
        print('The guard is {}.'.format('on' if loaded else 'not in force'))
        if guard is not None:
            print('ROS answers on: {}'.format(', '.join(('loopback',) + guard.interfaces)))
            print('guarded ports:  {}'.format(rules.format_ranges(rules.guarded_ranges(guard))))
            if guard.allow:
                print('left open:      {}'.format(', '.join(str(port) for port in guard.allow)))
        print('refused:        {} connections since the rules were loaded'.format(refused))
        for problem in problems:
            print('{} Next: sudo ua-overlay guard on'.format(problem))
    if problems:
        return FAILED
    return 0 if loaded else NOTHING


def desired_guard(args: Any, before: rules.Guard, port_range: Tuple[int, int], team_port: Optional[int]) -> rules.Guard:
    """The Guard of the command line; omitted options keep their values from ``before``.

    :param args: from the parser: team_port, interface, allow, also.
    :param team_port: of the invitation, None without one.
    """
    desired = dataclasses.replace(before, ephemeral=port_range, masters=tuple(sorted(
        {defaults.LOCAL_MASTER_PORT, args.team_port or team_port or defaults.TEAM_PORT})))
    for field, values in (('interfaces', args.interface), ('allow', args.allow), ('also', args.also)):
        if values is not None:
            desired = dataclasses.replace(desired, **{field: tuple(sorted(set(values)))})
    return desired


def settings_port() -> Optional[int]:
    """Port of the team's roscore in the settings of the invitation, None without one.

    The robot's user owns that file, so this accepts only a number from it.
    """
    from ua_overlay.membership.settings import read_settings
    return read_settings(defaults.STATE_DIR).get('team_port')


def own_interfaces() -> Tuple[str, ...]:
    """The overlay's network interface, as tailscaled's unit names it."""
    from ua_overlay.tailscale.daemon_unit import read_unit
    unit = read_unit()
    return (unit.arguments.interface,) if unit and unit.arguments.interface else (defaults.INTERFACE,)


def _manager() -> str:
    return 'systemd' if systemd_runs() else 'none'


class Loaded(NamedTuple):
    """The guard in the kernel."""

    loaded: bool
    #: Packets that it refused.
    refused: int


def loaded_rules(found: Backend) -> Loaded:
    """The guard as the kernel has it.

    :raises OverlayError: the packet filter failed.
    """
    if found.kind == IPTABLES:
        listed = iptables.list_chain(rules.CHAIN, 'INPUT', found.programs)
        return Loaded(listed.rules4 is not None and listed.hooked, listed.refused)
    table = nft.list_table(rules.TABLE, found.programs[0])
    return Loaded(table is not None, nft.refused_packets(table, 'sudo ua-overlay guard on') if table else 0)
