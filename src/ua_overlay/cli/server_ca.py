"""`ua-overlay server rotate-ca`: replace the CA of a site while its robots stay."""
import argparse
import json
from typing import Any, Callable, Dict, List, Tuple

from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.parser import CommandParser, Configure
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.site import load_site, make_admin
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import format_utc, utc_now
from ua_overlay.site.ca_change import CaChange
from ua_overlay.site.site import Site
from ua_overlay.trust import rotation, store
from ua_overlay.trust.certificate import not_after, sha256_fingerprint

DESCRIPTION = """\
Replace the CA of a site in three steps, without locking a robot out:

  start   Create a new root. From now on ca.pem and every invitation carry both
          roots; the old one still signs.
          Then carry ca.pem, which is public, to each robot (or let Ansible do
          it):
            sudo cat DIR/ca.pem | ssh ROBOT 'cat > ca.pem'
          On the robot, install it; this restarts tailscaled:
            sudo ua-overlay robot prepare --ca ca.pem --user USER
          On the server, record it:
            sudo ua-overlay server rotate-ca confirm ROBOT
  switch  Let the new root sign, and give the server a new certificate. The
          command refuses this while a robot that was online in the last {0}
          days is not confirmed: a robot does not tell its server which roots
          it trusts.
  finish  Delete the old root and its key. Robots may keep the old root until
          the next `robot prepare --ca`.

`cancel` returns to the old root, before or after the switch.""".format(rotation.RECENT_DAYS)
_STEPS = {
    'start': 'Create a new root. From now on ca.pem and every invitation carry both roots; the old one still signs. '
             '`server rotate-ca --help` describes what to do on the robots.',
    'switch': 'Let the new root sign, and give the server a new certificate. The command refuses this while a robot '
              'that was online in the last {} days is not confirmed.'.format(rotation.RECENT_DAYS),
    'finish': 'Delete the old root and its key. Robots may keep the old root until the next `robot prepare --ca`.',
    'cancel': 'Return to the old root, before or after the switch. The new root is deleted.',
    'status': 'Show the step, the roots, and which robots have the new root.',
    'confirm': 'Record that robots have the new root, after `robot prepare --ca` on each of them.'}
_PHASES = {rotation.STEADY: 'no change in progress', rotation.STARTED: 'started: the old root signs, robots get both',
           rotation.SWITCHED: 'switched: the new root signs, robots get both'}
_CONFIRMATIONS = {rotation.JOINED: 'yes: joined with it', rotation.CONFIRMED: 'yes: confirmed', '': 'unknown'}


def configure_rotate_ca(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, 'example:\n  sudo ua-overlay server rotate-ca start')
    for name, run in (('start', run_start), ('switch', run_switch), ('finish', run_finish), ('cancel', run_cancel),
                      ('status', run_status), ('confirm', run_confirm)):
        parser.add_command(name, _configure_step(name, run))


def _configure_step(name: str, run: Callable[[argparse.Namespace], int]) -> Configure:
    def configure(parser: CommandParser) -> None:
        parser.describe(_STEPS[name], 'example:\n  sudo ua-overlay server rotate-ca {}{}'.format(
            name, ' dev-1 dev-2' if name == 'confirm' else ''))
        if name == 'switch':
            parser.add_argument('--force', action='store_true', help='switch even if this locks robots out')
        if name == 'status':
            parser.add_json()
        if name == 'confirm':
            parser.add_argument('robots', nargs='+', metavar='ROBOT', help='overlay name of a robot')
        add_dir(parser)
        parser.set_defaults(run=run)

    return configure


def make_change(args: argparse.Namespace) -> Tuple[Site, CaChange]:
    site = load_site(args)
    return site, CaChange(site, make_admin(site), utc_now)


def run_start(args: argparse.Namespace) -> int:
    site, change = make_change(args)
    with Progress()('Creating a new root'):
        change.start()
    print('{} holds the old root and the new root; the old one signs.'.format(site.ca_file))
    print('On each robot:  sudo ua-overlay robot prepare --ca ca.pem --user USER   (restarts its tailscaled)')
    print('then here:      {}'.format(site.command('server rotate-ca confirm ROBOT')))
    print('Next: {}'.format(site.command('server rotate-ca status')))
    return 0


def run_confirm(args: argparse.Namespace) -> int:
    site, change = make_change(args)
    change.confirm(args.robots)
    waiting = [robot.name for robot in change.robots() if robot.waited_for]
    print('{} confirmed. {}'.format(', '.join(args.robots), 'Not confirmed yet: {}.'.format(', '.join(waiting))
                                    if waiting else 'Next: {}'.format(site.command('server rotate-ca switch'))))
    return 0


def run_switch(args: argparse.Namespace) -> int:
    site, change = make_change(args)
    with Progress()('Making a certificate with the new root'):
        trust = change.switch(args.force)
    print('The new root signs; the certificate of {} is valid until {}.'.format(
        site.settings.name, format_utc(not_after(trust.server))))
    print('Next, when every robot has returned: {}'.format(site.command('server rotate-ca finish')))
    return 0


def run_finish(args: argparse.Namespace) -> int:
    site, change = make_change(args)
    change.finish()
    print('The old root and its key are deleted; {} holds the new root.'.format(site.ca_file))
    print('A robot drops the old root when it gets {} again: sudo ua-overlay robot prepare --ca ca.pem'.format(
        site.ca_file))
    return 0


def run_cancel(args: argparse.Namespace) -> int:
    site, change = make_change(args)
    with Progress()('Returning to the old root'):
        change.cancel()
    print('{} holds only the old root, and the old root signs.'.format(site.ca_file))
    return 0


def run_status(args: argparse.Namespace) -> int:
    site, change = make_change(args)
    phase = change.phase()
    trust, authorities = store.load(site.directory), store.roots(site.directory)
    robots = change.robots() if phase != rotation.STEADY else []
    roots: List[Dict[str, Any]] = [
        {'sha256': sha256_fingerprint(each), 'until': format_utc(not_after(each)), 'signs': index == 0}
        for index, each in enumerate(authorities)]
    if args.json:
        print(json.dumps({'phase': phase, 'roots': roots, 'certificate_until': format_utc(not_after(trust.server)),
                          'robots': [{'robot': robot.name, 'online': robot.online, 'known': robot.evidence}
                                     for robot in robots]}, indent=2))
        return 0
    print(_PHASES[phase])
    for root in roots:
        print('{}root {}… until {}'.format('signing ' if root['signs'] else '', root['sha256'][:23], root['until']))
    if robots:
        print()
        print(format_table(('ROBOT', 'ONLINE', 'HAS THE NEW ROOT'), [
            (robot.name, 'yes' if robot.online else 'no', _CONFIRMATIONS[robot.evidence]) for robot in robots]))
    return 0
