"""`ua-overlay server rotate-ca`: change the CA of a site while its robots stay. Mounted by cli/server.py."""
import argparse
import json

from ua_overlay.cli.shared.args import add_dir, load_site, make_admin
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.clock import format_utc, utc_now
from ua_overlay.site.ca_change import CaChange
from ua_overlay.trust import rotation, store
from ua_overlay.trust.certificate import not_after, sha256_fingerprint

DESCRIPTION = """\
Changes the CA of a site in three steps, without a robot that is locked out:

  start    makes a new root. From now on ca.pem and every invitation carry both; the old one still signs.
           Then somebody (you, or Ansible) carries ca.pem, which is public, to each robot:
             sudo cat DIR/ca.pem | ssh ROBOT 'cat > ca.pem'   and there
             sudo ua-overlay robot prepare --ca ca.pem --user USER
           which starts the robot's tailscaled again, and writes that down here: rotate-ca confirm ROBOT
  switch   the new root signs: the server gets a new certificate. Refused while a robot that was seen in the last
           seven days has not been confirmed: no robot tells its server whom it trusts.
  finish   forgets the old root and its key. Robots may keep it until `robot prepare --ca` is run there the next time.

cancel goes back to the old root, before or after the switch."""
_PHASES = {rotation.STEADY: 'no change is under way', rotation.STARTED: 'started: the old root signs, robots get both',
           rotation.SWITCHED: 'switched: the new root signs, robots get both'}
_KNOWN = {rotation.JOINED: 'yes: joined with it', rotation.CONFIRMED: 'yes: confirmed', '': 'not known'}


def add_parsers(commands):
    """Add `rotate-ca`."""
    parser = commands.add_parser('rotate-ca', help='change the CA of the site, step by step',
                                 formatter_class=argparse.RawDescriptionHelpFormatter, description=DESCRIPTION,
                                 epilog='example:\n  sudo ua-overlay server rotate-ca start')
    steps = parser.add_subparsers(dest='step', metavar='STEP', required=True)
    for name, text, run in (
            ('start', 'make a new root; invitations carry both', run_start),
            ('switch', 'let the new root sign', run_switch), ('finish', 'forget the old root', run_finish),
            ('cancel', 'stay with the old root', run_cancel), ('status', 'step, roots and robots', run_status),
            ('confirm', 'write down that robots have the new root', run_confirm)):
        step = steps.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter,
                                description=DESCRIPTION)
        if name == 'switch':
            step.add_argument('--force', action='store_true', help='also when robots may be locked out')
        if name == 'status':
            step.add_argument('--json', action='store_true', help='for programs')
        if name == 'confirm':
            step.add_argument('robots', nargs='+', metavar='ROBOT')
        add_dir(step)
        step.set_defaults(run=run)


def make_change(args):
    site = load_site(args)
    return site, CaChange(site, make_admin(site), utc_now)


def run_start(args):
    site, change = make_change(args)
    with Progress()('Making a new root'):
        change.start()
    print('{} holds the old root and the new one; the old one signs.'.format(site.ca_file))
    print('On each robot: sudo ua-overlay robot prepare --ca ca.pem --user USER   (tailscaled starts again there)')
    print('and here:      {}'.format(site.command('server rotate-ca confirm ROBOT')))
    print('Next: {}'.format(site.command('server rotate-ca status')))
    return 0


def run_confirm(args):
    site, change = make_change(args)
    change.confirm(args.robots)
    waiting = [robot.name for robot in change.robots() if robot.waited_for]
    print('{} confirmed. {}'.format(', '.join(args.robots), 'Not known yet: {}.'.format(', '.join(waiting)) if waiting
                                    else 'Next: {}'.format(site.command('server rotate-ca switch'))))
    return 0


def run_switch(args):
    site, change = make_change(args)
    with Progress()('Giving the server a certificate of the new root'):
        trust = change.switch(args.force)
    print('The new root signs; the certificate of {} is valid until {}.'.format(
        site.settings.name, format_utc(not_after(trust.server))))
    print('Next, when every robot is back: {}'.format(site.command('server rotate-ca finish')))
    return 0


def run_finish(args):
    site, change = make_change(args)
    change.finish()
    print('The old root and its key are gone; {} holds the new one.'.format(site.ca_file))
    print('A robot forgets the old root when it is given {} again: sudo ua-overlay robot prepare --ca ca.pem'.format(
        site.ca_file))
    return 0


def run_cancel(args):
    site, change = make_change(args)
    with Progress()('Going back to the old root'):
        change.cancel()
    print('{} holds the old root alone, and it signs.'.format(site.ca_file))
    return 0


def run_status(args):
    site, change = make_change(args)
    phase, robots = change.phase(), []
    trust, authorities = store.load(site.directory), store.roots(site.directory)
    if phase != rotation.STEADY:
        robots = change.robots()
    roots_ = [{'sha256': sha256_fingerprint(each), 'until': format_utc(not_after(each)), 'signs': index == 0}
              for index, each in enumerate(authorities)]
    if args.json:
        print(json.dumps({'phase': phase, 'roots': roots_, 'certificate_until': format_utc(not_after(trust.server)),
                          'robots': [{'robot': robot.name, 'online': robot.online, 'known': robot.known}
                                     for robot in robots]}, indent=2))
        return 0
    print(_PHASES[phase])
    for root in roots_:
        print('{}root {}… until {}'.format('signing ' if root['signs'] else '', root['sha256'][:23], root['until']))
    if robots:
        print()
        print(format_table(('ROBOT', 'ONLINE', 'HAS THE NEW ROOT'), [
            (robot.name, 'yes' if robot.online else 'no', _KNOWN[robot.known]) for robot in robots]))
    return 0
