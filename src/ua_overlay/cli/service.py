"""`ua-overlay service`: overlay.launch at boot."""
import argparse
import os
import pwd
import sys
from typing import Mapping, Optional

from ua_overlay import defaults
from ua_overlay.cli.shared.needs import need_root, need_systemd
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.errors import UsageError
from ua_overlay.printable import printable
from ua_overlay.rosenv import service

DESCRIPTION = '''\
Start overlay.launch at boot: a systemd unit that runs as an unprivileged user in the local graph of this robot, whose
master has a port of its own. It needs no network and no host name that resolves. The nodes of team_launch run in a
second unit, with everything that this user can do in a shell.

To change settings: sudo systemctl edit {} (or {})'''.format(service.UNIT_NAME, service.TEAM_UNIT_NAME)

EPILOG = '''\
examples:
  sudo ua-overlay service install --user "$USER" --workspace ~/catkin_ws/install
  sudo ua-overlay service install --underlay ~/my_ws/devel \\
      --arg team_launch:=my_robot/drive.launch
  sudo ua-overlay service install --roscore {}
  journalctl -u {} -u {} -f
  sudo ua-overlay service remove'''.format(defaults.LOCAL_MASTER_URI, service.UNIT_NAME, service.TEAM_UNIT_NAME)


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('install', configure_install)
    parser.add_command('remove', configure_remove)


def configure_install(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('--user', metavar='USER', help='the user that runs it (default: the user of `robot prepare`, '
                                                       'else the caller of sudo)')
    parser.add_argument('--workspace', metavar='DIR', help='devel or install space with the built package (default: '
                                                           'the one of this command)')
    parser.add_argument('--underlay', metavar='DIR', default='',
                        help='devel or install space with the robot\'s own packages, for team_launch; sourced before '
                             'the workspace')
    parser.add_argument('--roscore', metavar='URI', default='',
                        help='join the robot\'s own roscore instead of running one for the local graph on port {}: the '
                             'topics are there, and the service waits for it'.format(defaults.SERVICE_MASTER_PORT))
    parser.add_argument('--arg', action='append', default=[], metavar='NAME:=VALUE', dest='arguments',
                        help='argument of overlay.launch; repeatable')
    parser.add_argument('--dry-run', action='store_true', help='print the unit and what would be done; change nothing')
    parser.set_defaults(run=run_install)


def configure_remove(parser: CommandParser) -> None:
    parser.describe('Stop overlay.launch and remove its unit. The robot stays in its team.', EPILOG)
    parser.add_argument('--dry-run', action='store_true', help='print what would be done; change nothing')
    parser.set_defaults(run=run_remove)


def run_install(args: argparse.Namespace) -> int:
    from ua_overlay.system.recipe import describe, uid_of
    user = args.user or default_user(os.environ, prepared_for())
    if not user:
        raise UsageError('No user given: who runs overlay.launch?', 'sudo ua-overlay service install --user USER')
    uid = uid_of(user)[0]
    workspace = find_workspace(args.workspace)
    recipe = service.make_recipe(user, uid, workspace, args.arguments, find_underlay(args.underlay), args.roscore)
    if args.dry_run:
        print('\n'.join(unit.text for unit in recipe.files), end='')
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
    print('Log: journalctl -u {} -u {} -f'.format(service.UNIT_NAME, service.TEAM_UNIT_NAME))
    return 0


def run_remove(args: argparse.Namespace) -> int:
    machine = service.applier()
    if args.dry_run:
        print('restore what {} lists\nrun systemctl daemon-reload'.format(service.MANIFEST))
        return 0
    need_root('service remove')
    notes = machine.undo((), [['systemctl', 'daemon-reload']])
    for note in notes or ():
        print(note)
    print('There was no service.' if notes is None else 'overlay.launch is stopped and no longer starts at boot.')
    return 0


def find_workspace(path: Optional[str]) -> str:
    """The workspace ``path``, or for None the workspace that contains this command.

    :raises UsageError: there is none, or it lacks the package.
    """
    if path is None:
        own = service.find_workspace(os.environ, sys.argv[0])
        if own is None:
            raise UsageError('This command is not in a built workspace.',
                             'sudo ua-overlay service install --workspace ~/catkin_ws/install')
        return own
    path = os.path.abspath(path)
    for name in ('setup.bash', 'bin/ua-overlay'):
        if not os.path.isfile(os.path.join(path, name)):
            raise UsageError('{} is not a devel or install space with this package: it has no {}.'.format(path, name),
                             'catkin_make install, then --workspace WORKSPACE/install')
    return path


def find_underlay(path: str) -> str:
    """The absolute path of the robot's own workspace, '' for none.

    :raises UsageError: it is none.
    """
    if not path:
        return ''
    path = os.path.abspath(path)
    if not os.path.isfile(os.path.join(path, 'setup.bash')):
        raise UsageError('{} is not a devel or install space: it has no setup.bash.'.format(printable(path)),
                         'catkin_make, then --underlay WORKSPACE/devel')
    return path


def default_user(environ: Mapping[str, str], prepared: str) -> str:
    """``prepared``, else the caller of sudo unless that is root, else ''."""
    caller = environ.get('SUDO_USER', '')
    return prepared or (caller if caller != 'root' else '')


def prepared_for() -> str:
    """The user whom `robot prepare` made the owner of this robot's state; '' for none, and for root."""
    try:
        owner = os.stat(defaults.STATE_DIR).st_uid
        return pwd.getpwuid(owner).pw_name if owner else ''
    except (OSError, KeyError):
        return ''
