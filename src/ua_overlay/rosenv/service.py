"""overlay.launch at boot: the recipe of `ua-overlay service install`.

The unit sets the environment of the local graph itself, so it needs neither the machine's host name nor a network: with
ROS_HOSTNAME=localhost the graph binds and advertises loopback. The unit uses `ua-overlay exec --local`, because
otherwise the workspace's env hook would select the team's graph while the robot is in a team.

The unit is hardened only as far as a robot's nodes allow, which may run below it (team_launch): they can use devices,
home directory, real-time scheduling, /tmp and their data directories.
"""
import os
import re
from typing import Callable, List, Optional, Sequence

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.protocols import Environ
from ua_overlay.system.recipe import Applier, File, OwnerOf, Recipe, Run, uid_of
from ua_overlay.system.units import UNIT_DIR, daemon_reload, quote, unit_commands

UNIT_NAME = 'ua-overlay.service'
UNIT = UNIT_DIR + '/' + UNIT_NAME
MANIFEST = defaults.CONFIG_DIR + '/service.json'

_ARGUMENT = re.compile(r'[A-Za-z_][A-Za-z0-9_/]*:=[^\0\n\r]*\Z')
#: The workspace and the arguments are separate words, so that the shell never parses them. setup.bash would read the
#: script's arguments, so a function without arguments sources it.
_SCRIPT = ('workspace=$0; load() { . "$workspace/setup.bash"; }; '
           'load && exec ua-overlay exec --local roslaunch ua_overlay overlay.launch "$@"')

#: The same with the robot's own workspace below this package's. Both are sourced by the unit's user: a robot's own
#: workspace is code of that user, which root must not run. --extend keeps what the first one has set (catkin,
#: cmake/templates/_setup_util.py.in); otherwise setup.bash starts from the workspaces that it was built on.
_CHAINED = ('workspace=$0; own=$1; shift; load() { . "$own/setup.bash"; }; '
            'extend() { . "$workspace/setup.bash" --extend; }; '
            'load && extend && exec ua-overlay exec --local roslaunch ua_overlay overlay.launch "$@"')

_TEXT = '''\
# Written by `ua-overlay service install`; `ua-overlay service remove` removes it. Put your own settings into a
# drop-in: sudo systemctl edit {name}
[Unit]
Description=This robot in its team's overlay (overlay.launch as {plain_user})
# Not network-online.target: the robot starts without a network and joins when there is one.
Wants=tailscaled.service
After=tailscaled.service ua-overlay-agent.service
# A robot never gives up.
StartLimitIntervalSec=0

[Service]
User={user}
WorkingDirectory=~
Environment=ROS_MASTER_URI={master} ROS_HOSTNAME=localhost
Environment=PYTHONUNBUFFERED=1
ExecStart=/bin/bash -c {script} {workspace}{arguments}
Restart=always
RestartSec=5
# roslaunch stops its nodes; what is left after that time is killed.
KillMode=mixed
TimeoutStopSec=30
SyslogIdentifier=ua-overlay
CapabilityBoundingSet=
LockPersonality=yes
NoNewPrivileges=yes
PrivateMounts=yes
# Not ProtectClock: it also takes away every device that is not a clock (systemd.exec(5)), as cameras and serial ports.
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=full
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_CAN
RestrictNamespaces=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
'''


def unit_text(user: str, workspace: str, arguments: Sequence[str] = (), own: str = '') -> str:
    """Return the text of the unit.

    :param user: an unprivileged user's name.
    :param workspace: absolute path of the devel or install space with setup.bash.
    :param arguments: 'NAME:=VALUE' of overlay.launch.
    :param own: absolute path of the devel or install space with the robot's own packages; '' for none.
    :raises UsageError: for root, a path that is not absolute, or an invalid argument.
    """
    if user in ('root', '0'):
        raise UsageError('overlay.launch runs as an unprivileged user, not as root.',
                         'sudo ua-overlay service install --user USER')
    for option, path in (('workspace', workspace), ('underlay', own or '/')):
        if not path.startswith('/') or '\n' in path:
            raise UsageError('{!r} is not the absolute path of a workspace.'.format(path),
                             'sudo ua-overlay service install --{} DIR'.format(option))
    for argument in arguments:
        if not _ARGUMENT.match(argument):
            raise UsageError('{!r} is not an argument of a launch file (NAME:=VALUE).'.format(argument),
                             'sudo ua-overlay service install --arg NAME:=VALUE')
    return _TEXT.format(
        name=UNIT_NAME, user=quote(user, variables=False), plain_user=user.replace('%', '%%'),
        master=defaults.LOCAL_MASTER_URI, script=quote(_CHAINED if own else _SCRIPT),
        workspace=quote(workspace) + (' ' + quote(own) if own else ''),
        arguments=''.join(' ' + quote(argument) for argument in arguments))


def make_recipe(user: str, workspace: str, arguments: Sequence[str] = (), own: str = '') -> Recipe:
    """Return the recipe of `service install`; parameters and errors as for :func:`unit_text`."""
    return Recipe((File(UNIT, unit_text(user, workspace, arguments, own)),), (), (
        daemon_reload(UNIT),) + unit_commands(UNIT_NAME, (UNIT,)), ())


def applier(root: str = '/', run: Optional[Run] = None, owner_of: Optional[OwnerOf] = uid_of,
            ask: Optional[Callable[[List[str]], bool]] = None) -> Applier:
    """Return the Applier of this recipe; parameters as for system.recipe.Applier."""
    return Applier(MANIFEST, 'sudo ua-overlay service install', root, run, owner_of, ask)


def find_workspace(environ: Environ, program: str, exists: Callable[[str], bool] = os.path.isfile) -> Optional[str]:
    """Return the devel or install space with this package's setup.bash: the sourced one, else the one that contains
    ``program``, else None.

    :param environ: process environment; sudo removes the workspace from it.
    :param program: path of the running `ua-overlay`.
    """
    prefixes = [path for path in environ.get('CMAKE_PREFIX_PATH', '').split(':') if path.startswith('/')]
    for space in prefixes + [os.path.dirname(os.path.dirname(os.path.abspath(program)))]:
        if exists(os.path.join(space, 'setup.bash')) and exists(os.path.join(space, 'bin', 'ua-overlay')):
            return space
    return None
