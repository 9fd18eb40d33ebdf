"""`ua-overlay robot mtu`: fit the overlay's TCP packets to a network that carries less than most."""
import argparse
import os
from typing import Union

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.cli.shared.exit_status import NOTHING
from ua_overlay.cli.shared.needs import need_root
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.digits import is_number
from ua_overlay.errors import OverlayError
from ua_overlay.system.units import systemd_runs

DESCRIPTION = '''\
Fit the overlay's TCP packets to a network that carries at most BYTES, such as LTE or another VPN, now and after every
reboot. Without it, messages larger than a packet never arrive there. `ua-overlay doctor` says when a robot needs it,
and for how many bytes. New connections follow at once; start running nodes again.

Without BYTES, show the setting; only root can see whether it is in force. `off` removes it.'''

EPILOG = '''\
exit status:
  0  done, or set
  1  shown: set, but not in force
  3  shown: not set

examples:
  sudo ua-overlay robot mtu 1330
  sudo ua-overlay robot mtu
  sudo ua-overlay robot mtu off'''


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('path', metavar='BYTES|off', nargs='?', type=_path,
                        help='the largest packet of the robot\'s own network')
    parser.set_defaults(run=run)


def _path(word: str) -> Union[int, str]:
    if word == 'off':
        return word
    if not is_number(word, 6):
        raise argparse.ArgumentTypeError('{!r} is neither a number of bytes nor off'.format(word))
    return int(word)


def run(args: argparse.Namespace) -> int:
    from ua_overlay.firewall import clamp
    from ua_overlay.system import nft
    if args.path is None:
        return _show()
    if args.path != 'off':
        clamp.ruleset(args.path)
    need_root('robot mtu')
    program = nft.find_nft('`robot mtu`', '')
    manager = 'systemd' if systemd_runs() else 'none'
    applier = clamp.applier()
    if args.path == 'off':
        if not applier.applied():
            print('The overlay\'s TCP packets had their full size already.')
            return 0
        before, after = clamp.undo_commands(program, manager)
        for note in applier.undo(before, after) or []:
            print(note)
        print('New TCP connections over {} have packets of full size.'.format(defaults.INTERFACE))
        return 0
    nft.check(clamp.ruleset(args.path), program)
    recipe = clamp.make_recipe(args.path, program, manager)
    applier.apply(recipe)
    if nft.list_table(clamp.TABLE, program) is None:
        raise _flushed(args.path)
    print('New TCP connections over {} fit a path of {} bytes. Start running nodes again.'.format(
        defaults.INTERFACE, args.path))
    for sentence in recipe.by_hand:
        print('By hand: ' + sentence)
    return 0


def _show() -> int:
    from ua_overlay.firewall import clamp
    from ua_overlay.system import nft
    path = clamp.installed_path()
    if path is None:
        print('The overlay\'s TCP packets have their full size.')
        return NOTHING
    if os.geteuid() != 0:
        print('The overlay\'s TCP packets are to fit a path of {} bytes. Whether they do: sudo ua-overlay robot '
              'mtu'.format(path))
        return 0
    if nft.list_table(clamp.TABLE, nft.find_nft('`robot mtu`', '')) is None:
        raise _flushed(path)
    print('The overlay\'s TCP packets fit a path of {} bytes.'.format(path))
    return 0


def _flushed(path: int) -> OverlayError:
    return OverlayError('The overlay\'s TCP packets are to fit a path of {} bytes, but another program removed that '
                        'rule from the kernel.'.format(path), command('sudo ua-overlay robot mtu {}', path))
