"""`ua-overlay server backup|restore|upgrade`: a site in one file, and back. Mounted by cli/server.py."""
import argparse
import json
import os
import pwd

from ua_overlay.cli.shared.args import add_dir, load_site
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.clock import file_stamp, utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import versions
from ua_overlay.server import service
from ua_overlay.site import backup
from ua_overlay.site.site import site_directory
from ua_overlay.site.upgrade import UpgradeGuard
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.find import ask_version

#: What a start of the installed Headscale would be, for people.
_STEPS = {versions.FIRST: 'nothing is known of the database: Headscale decides itself when it starts',
          versions.SAME: 'the same version: nothing to do',
          versions.PATCH: 'the same minor version: allowed',
          versions.UPGRADE: 'the next minor version: allowed'}


def add_parsers(commands):
    """Add the three commands."""
    save = commands.add_parser(
        'backup', help='write the whole site into one file; the server may run',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Writes CA, keys, settings, policy, API key and database, as they are at one moment, into one\n'
                    'file (0600). Restored elsewhere it is the same site: robots come back at their addresses,\n'
                    'without a key. Whoever has it can pose as this server: keep it as you would keep the server.',
        epilog='examples:\n  sudo ua-overlay server backup\n'
               '  sudo ua-overlay server backup --output /media/usb/site.backup')
    save.add_argument('--output', metavar='FILE', help='default: NAME-DATE.backup in this directory')
    save.add_argument('--overwrite', action='store_true', help='replace FILE if it is there')
    save.add_argument('--json', action='store_true', help='for programs')
    add_dir(save)
    save.set_defaults(run=run_backup)

    load = commands.add_parser(
        'restore', help='make the site of a backup, here or on another machine',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Makes the site of a backup: wholly, or nothing changes. Every byte is checked before. Never run\n'
                    'the old server and the restored one at once: both would be the same server. On another machine\n'
                    'the name of the server has to lead there (DNS), and its ports have to be open.',
        epilog='examples:\n  sudo ua-overlay server restore site.backup\n'
               '  sudo ua-overlay server restore site.backup --replace      # go back to an older state')
    load.add_argument('file', metavar='FILE')
    load.add_argument('--replace', action='store_true',
                      help='the directory holds this site already: keep it beside, under DIR.before-DATE')
    load.add_argument('--user', metavar='USER', help='whom the site is to belong to: the user that runs the server '
                                                     '(default: as before, else you)')
    add_dir(load)
    load.set_defaults(run=run_restore)

    upgrade = commands.add_parser(
        'upgrade', help='before another Headscale starts: may it, and a backup',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Compares the Headscale that is installed with the one that last ran here. A database goes to the\n'
                    'next minor version only, one at a time, and never back; `server run` refuses the rest with the\n'
                    'same sentence. When it is allowed, the site is backed up into DIR/backups.',
        epilog='exit status: 0 allowed; 1 refused\n\nexamples:\n  sudo ua-overlay server upgrade --check\n'
               '  sudo ua-overlay server upgrade && sudo systemctl restart ua-overlay-server')
    upgrade.add_argument('--check', action='store_true', help='say it only, write nothing')
    upgrade.add_argument('--json', action='store_true', help='for programs')
    add_dir(upgrade)
    upgrade.set_defaults(run=run_upgrade)


def run_backup(args):
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
    print('It holds the private keys of the site: keep it where nobody else reads it.')
    print('To restore it: ua-overlay server restore {} --dir DIR'.format(os.path.basename(path)))
    return 0


def run_restore(args):
    directory = site_directory(args.dir, os.environ)
    with Progress()('Checking {}'.format(args.file)):
        site, manifest, aside = backup.restore(
            args.file, directory, installed(), args.replace, owner(args.user), 'before-' + file_stamp(utc_now()))
    print('The site {} is in {}, as it was on {}.'.format(site.settings.name, directory, manifest.made))
    if aside:
        print('What was there before is in {}.'.format(aside))
    print('Robots come back by themselves once {} leads to this machine and the server runs.'.format(site.settings.url))
    # A site that was a service here is one again; on another machine it becomes what one makes of it.
    print('Next: {}'.format('sudo systemctl restart ' + service.UNIT_NAME if os.path.exists(service.UNIT)
                            else site.command('server run')))
    return 0


def run_upgrade(args):
    site = load_site(args)
    notes = []
    guard = UpgradeGuard(site, installed, utc_now, notes.append)
    step, recorded, found = guard.step()
    path = '' if args.check else guard.before_start()
    if args.json:
        print(json.dumps({'database': versions.short(recorded), 'installed': versions.short(found), 'step': step,
                          'backup': path}, indent=2))
        return 0
    print('database   {}'.format('Headscale ' + versions.short(recorded) if recorded else 'unknown'))
    print('installed  Headscale {}'.format(versions.short(found)))
    print('step       {}'.format(_STEPS[step]))
    if path:
        print('backup     {}'.format(path))
        print('Next: end `ua-overlay server run` and start it again (systemctl restart, where it is a service).')
    return 0


def installed():
    """What the headscale of this machine says of its version."""
    return ask_version(locate('headscale'))


def owner(user):
    """(uid, gid) of a user's name, None for None.

    :raises UsageError: there is none; only root can give files away.
    """
    if user is None:
        return None
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError('There is no user {} on this machine.'.format(user), 'getent passwd')
    if os.geteuid() not in (0, entry.pw_uid):
        raise UsageError('Only root can make a site that belongs to {}.'.format(user), 'the same command with sudo')
    return entry.pw_uid, entry.pw_gid
