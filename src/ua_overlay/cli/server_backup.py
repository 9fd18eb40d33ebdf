"""`ua-overlay server backup|restore|upgrade`: a site in one file, and back."""
import argparse
import json
import os
import pwd
from typing import List, Optional, Tuple

from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.site import installed_headscale, load_site
from ua_overlay.clock import file_stamp, utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import versions
from ua_overlay.server import service
from ua_overlay.site import backup
from ua_overlay.site.site import site_directory
from ua_overlay.site.upgrade import UpgradeGuard

#: The effect of starting the installed Headscale.
_STEPS = {versions.FIRST: 'the version of the database is unknown: Headscale decides when it starts',
          versions.SAME: 'the same version: nothing to do',
          versions.PATCH: 'the same minor version: allowed',
          versions.UPGRADE: 'the next minor version: allowed'}


def configure_backup(parser: CommandParser) -> None:
    parser.describe('Back the site up into one file (mode 0600): CA, keys, settings, policy, API key and database, all '
                    'from the same moment. The server may keep running. Restored elsewhere it is the same site: robots '
                    'return at their addresses without a new key. Anyone who has the file can impersonate this '
                    'server: keep it as safe as the server.',
                    'examples:\n  sudo ua-overlay server backup\n'
                    '  sudo ua-overlay server backup --output /media/usb/site.backup')
    parser.add_argument('--output', metavar='FILE', help='write to FILE (default: NAME-DATE.backup in this directory)')
    parser.add_argument('--overwrite', action='store_true', help='replace an existing FILE')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_backup)


def configure_restore(parser: CommandParser) -> None:
    parser.describe('Restore the site of a backup, here or on another machine: completely, or nothing changes. Every '
                    'byte is checked first. Never run the old and the restored server at the same time: both would be '
                    'the same server. On another machine, point the DNS name of the server to it and open its ports.',
                    'examples:\n  sudo ua-overlay server restore site.backup\n'
                    '  sudo ua-overlay server restore site.backup --replace   # to an older state')
    parser.add_argument('file', metavar='FILE', help='the backup')
    parser.add_argument('--replace', action='store_true',
                        help='if the directory holds this site already, move that to DIR.before-DATE')
    parser.add_argument('--user', metavar='USER', help='the user that owns the site and runs the server (default: as '
                                                       'before, else you)')
    add_dir(parser)
    parser.set_defaults(run=run_restore)


def configure_upgrade(parser: CommandParser) -> None:
    parser.describe('Compare the installed Headscale with the one that last ran here, and back the site up into '
                    'DIR/backups if the upgrade is allowed. A database can only go to the next minor version, one at a '
                    'time, and never back; `server run` refuses other versions with the same message.',
                    'exit status:\n  0  allowed\n  1  refused\n\nexamples:\n  sudo ua-overlay server upgrade --check\n'
                    '  sudo ua-overlay server upgrade && sudo systemctl restart ua-overlay-server')
    parser.add_argument('--check', action='store_true', help='check only; make no backup')
    parser.add_json()
    add_dir(parser)
    parser.set_defaults(run=run_upgrade)


def run_backup(args: argparse.Namespace) -> int:
    site = load_site(args)
    path = os.path.abspath(args.output or '{}-{}.backup'.format(site.settings.name, file_stamp(utc_now())))
    if os.path.exists(path) and not args.overwrite:
        raise OverlayError('{} exists already.'.format(path), 'the same command with --overwrite or another --output')
    with Progress()('Writing the site {} into {}'.format(site.settings.name, path)):
        manifest = backup.write(site, path, utc_now())
    if args.json:
        print(json.dumps({'file': path, 'bytes': os.path.getsize(path), 'site': manifest.site, 'made': manifest.made,
                          'headscale': manifest.headscale, 'members': sorted(manifest.members)}, indent=2))
        return 0
    print('{} written: {} files, {} bytes.'.format(path, len(manifest.members), os.path.getsize(path)))
    print('It holds the private keys of the site: keep it where nobody else can read it.')
    print('To restore it: ua-overlay server restore {} --dir DIR'.format(os.path.basename(path)))
    return 0


def run_restore(args: argparse.Namespace) -> int:
    directory = site_directory(args.dir, os.environ)
    with Progress()('Checking {}'.format(args.file)):
        site, manifest, aside = backup.restore(args.file, directory, installed_headscale(), args.replace,
                                               owner(args.user), 'before-' + file_stamp(utc_now()))
    print('The site {} is in {}, as it was on {}.'.format(site.settings.name, directory, manifest.made))
    if aside:
        print('The previous site is in {}.'.format(aside))
    print('Robots return when {} leads to this machine and the server runs.'.format(site.settings.url))
    # On this machine the service remains; on another one the administrator decides.
    print('Next: {}'.format('sudo systemctl restart {} {}'.format(
        service.UNIT_NAME, service.SERVER_RELAY.unit) if os.path.exists(service.UNIT)
                            else site.command('server run')))
    return 0


def run_upgrade(args: argparse.Namespace) -> int:
    site = load_site(args)
    notes: List[str] = []
    guard = UpgradeGuard(site, installed_headscale, utc_now, notes.append)
    step, recorded, installed = guard.step()
    path = '' if args.check else guard.before_start()
    if args.json:
        print(json.dumps({'database': versions.short(recorded), 'installed': versions.short(installed), 'step': step,
                          'backup': path}, indent=2))
        return 0
    print('database   {}'.format('Headscale ' + versions.short(recorded) if recorded else 'unknown'))
    print('installed  Headscale {}'.format(versions.short(installed)))
    print('step       {}'.format(_STEPS[step]))
    if path:
        print('backup     {}'.format(path))
        print('Next: restart `ua-overlay server run` (systemctl restart if it is a service).')
    return 0


def owner(user: Optional[str]) -> Optional[Tuple[int, int]]:
    """(uid, gid) of a user's name; None for None.

    :raises UsageError: there is no such user, or giving files to it needs root.
    """
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError('There is no user {} on this machine.'.format(user), 'getent passwd')
    if os.geteuid() not in (0, entry.pw_uid):
        raise UsageError('Only root can restore a site for the user {}.'.format(user), 'the same command with sudo')
    return entry.pw_uid, entry.pw_gid
