"""`ua-overlay service`: overlay.launch at boot."""
import argparse
import os
import pwd
import sys

from ua_overlay import defaults
from ua_overlay.cli.shared.needs import need_root, need_systemd
from ua_overlay.errors import UsageError
from ua_overlay.rosenv import service

DESCRIPTION = '''\
A systemd unit that starts overlay.launch at boot, as an unprivileged user, in the local graph of this robot. It needs
no network and no host name that resolves. Settings of your own: sudo systemctl edit {}'''.format(service.UNIT_NAME)

EXAMPLES = '''\
examples:
  sudo ua-overlay service install --user "$USER" --workspace ~/catkin_ws/install
  sudo ua-overlay service install --arg team_launch:=my_robot/drive.launch --dry-run
  journalctl -u ua-overlay -f
  sudo ua-overlay service remove'''


def add_parser(subparsers):
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter}
    parser = subparsers.add_parser('service', help='overlay.launch at boot', description=DESCRIPTION, epilog=EXAMPLES,
                                   **raw)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    install = commands.add_parser('install', help='start it now and at every boot', description=DESCRIPTION,
                                  epilog=EXAMPLES, **raw)
    install.add_argument('--user', metavar='USER', help='who runs it (default: who `robot prepare` was for, else who '
                                                        'called sudo)')
    install.add_argument('--workspace', metavar='DIR', help='devel or install space with the built package '
                                                            '(default: the one this command is from)')
    install.add_argument('--arg', action='append', default=[], metavar='NAME:=VALUE', dest='arguments',
                         help='argument of overlay.launch, repeatable')
    install.add_argument('--dry-run', action='store_true', help='print the unit and what would be done, and do nothing')
    install.set_defaults(run=run_install)
    remove = commands.add_parser('remove', help='stop it and never start it again', epilog=EXAMPLES, **raw,
                                 description='Stops overlay.launch and removes the unit. The robot stays in its team.')
    remove.add_argument('--dry-run', action='store_true', help='say what would be done, and do nothing')
    remove.set_defaults(run=run_remove)


def run_install(args):
    from ua_overlay.system.recipe import describe, uid_of
    user = args.user or default_user(os.environ, prepared_for())
    if not user:
        raise UsageError('`service install` needs the user that runs overlay.launch.',
                         'sudo ua-overlay service install --user USER')
    uid_of(user)
    workspace = find_workspace(args.workspace)
    recipe = service.make_recipe(user, workspace, args.arguments)
    if args.dry_run:
        print(recipe.files[0].text, end='')
        print('\n'.join(describe(recipe)))
        return 0
    need_root('service install')
    need_systemd('ua-overlay exec --local roslaunch ua_overlay overlay.launch')
    changed = service.applier().apply(recipe)
    print('overlay.launch runs as {}, now and after every boot{}.'.format(user, '' if changed else '; nothing changed'))
    owner = prepared_for()
    if owner != user:
        print('Note: this robot is {}, so {} cannot join. Next: sudo ua-overlay robot prepare --user {}'.format(
            'prepared for {}'.format(owner) if owner else 'not prepared', user, user))
    print('Look: journalctl -u {} -f'.format(service.UNIT_NAME))
    return 0


def run_remove(args):
    machine = service.applier()
    if args.dry_run:
        print('put back what {} lists\nrun systemctl daemon-reload'.format(service.MANIFEST))
        return 0
    need_root('service remove')
    notes = machine.undo((), [['systemctl', 'daemon-reload']])
    for note in notes or ():
        print(note)
    print('There was no service.' if notes is None else 'overlay.launch is stopped and does not start at boot.')
    return 0


def find_workspace(given):
    """The space of --workspace, or the one that this command is from.

    :raises UsageError: there is none, or it does not hold the package.
    """
    if given is None:
        found = service.find_workspace(os.environ, sys.argv[0])
        if found is None:
            raise UsageError('This command runs outside a built workspace.',
                             'sudo ua-overlay service install --workspace ~/catkin_ws/install')
        return found
    given = os.path.abspath(given)
    for name in ('setup.bash', 'bin/ua-overlay'):
        if not os.path.isfile(os.path.join(given, name)):
            raise UsageError('{} is no devel or install space with this package: there is no {}.'.format(given, name),
                             'catkin_make install, then --workspace WORKSPACE/install')
    return given


def default_user(environ, prepared):
    """``prepared``, else who called sudo unless that is root, else ''."""
    caller = environ.get('SUDO_USER', '')
    return prepared or (caller if caller != 'root' else '')


def prepared_for():
    """The user that `robot prepare` gave the robot's state to, '' when nobody unprivileged."""
    try:
        owner = os.stat(defaults.STATE_DIR).st_uid
        return pwd.getpwuid(owner).pw_name if owner else ''
    except (OSError, KeyError):
        return ''
