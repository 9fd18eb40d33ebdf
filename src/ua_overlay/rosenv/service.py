"""overlay.launch at boot: the recipe of `ua-overlay service install`.

Two units. ua-overlay.service runs overlay.launch, in a sandbox that holds our own code alone. ua-overlay-team.service
runs the team's launch file for it (rosenv.team_host): the robot's own nodes can do there what its user can do in a
shell, with the limits of /etc/security/limits.conf, the user's runtime directory, every device and address family.

The first unit sets the environment of the local graph itself, so it needs neither the machine's host name nor a
network: with ROS_HOSTNAME=localhost the graph binds and advertises loopback. Its master has a port of its own, because
the robot's own roscore keeps ROS's: whichever starts first, none takes the other's port or ends with it.
"""
import os
import re
from typing import Callable, Dict, List, Optional, Sequence

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.errors import UsageError
from ua_overlay.protocols import Environ
from ua_overlay.rosenv import hosted
from ua_overlay.system.recipe import Applier, File, OwnerOf, Recipe, Run, uid_of
from ua_overlay.system.units import UNIT_DIR, daemon_reload, quote, unit_commands

UNIT_NAME = 'ua-overlay.service'
UNIT = UNIT_DIR + '/' + UNIT_NAME
TEAM_UNIT_NAME = 'ua-overlay-team.service'
TEAM_UNIT = UNIT_DIR + '/' + TEAM_UNIT_NAME
#: Of the team host; systemd makes the directory for the unit's user alone.
TEAM_SOCKET = '/run/ua_overlay_team/socket'
MANIFEST = defaults.CONFIG_DIR + '/service.json'

_URI = re.compile(r'http://[A-Za-z0-9.-]+:[0-9]{1,5}/?\Z')
_ARGUMENT = re.compile(r'[A-Za-z_][A-Za-z0-9_/]*:=[^\0\n\r]*\Z')
#: The workspace and the arguments are separate words, so that the shell never parses them. setup.bash would read the
#: script's arguments, so a function without arguments sources it. A hook of a workspace may set another graph.
_SCRIPT = 'workspace=$0; graph=$ROS_MASTER_URI; load() {{ . "$workspace/setup.bash"; }}; load && {run}'

#: The same with the robot's own workspace below this package's. Both are sourced by the unit's user: a robot's own
#: workspace is code of that user, which root must not run. --extend keeps what the first one has set (catkin,
#: cmake/templates/_setup_util.py.in); otherwise setup.bash starts from the workspaces that it was built on.
_CHAINED = ('workspace=$0; own=$1; shift; graph=$ROS_MASTER_URI; load() {{ . "$own/setup.bash"; }}; '
            'extend() {{ . "$workspace/setup.bash" --extend; }}; load && extend && {run}')
_NODE = 'exec env ROS_MASTER_URI="$graph" ROS_HOSTNAME=localhost roslaunch {wait}ua_overlay overlay.launch "$@"'
_TEAM = 'exec /usr/bin/python3 -m ua_overlay.rosenv.team_host {socket} "$@"'

_TEXT = '''\
# Written by `ua-overlay service install`; `ua-overlay service remove` removes it. Put your own settings into a
# drop-in: sudo systemctl edit {name}
[Unit]
Description=This robot in its team's overlay (overlay.launch as {plain_user})
# Not network-online.target: the robot starts without a network and joins when there is one.
Wants=tailscaled.service {team}
After=tailscaled.service ua-overlay-agent.service {team}
# A robot never gives up.
StartLimitIntervalSec=0

[Service]
User={user}
WorkingDirectory=~
Environment=ROS_MASTER_URI={master} ROS_HOSTNAME=localhost
Environment=PYTHONUNBUFFERED=1
# The team's nodes run in that unit, outside this sandbox.
Environment={variable}={socket}
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
PrivateDevices=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=full
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
'''

_TEAM_TEXT = '''\
# Written by `ua-overlay service install`; `ua-overlay service remove` removes it. Put your own settings into a
# drop-in: sudo systemctl edit {name}
[Unit]
Description=The nodes of this robot in its team's graph (team_launch as {plain_user})
# /run/user/{uid}, as in a login: sound, D-Bus.
Wants=user-runtime-dir@{uid}.service
After=user-runtime-dir@{uid}.service
StartLimitIntervalSec=0

[Service]
User={user}
# No sandbox, and the limits of a login of this user (limits.conf(5)), by the one PAM service that opens no session of
# logind (runuser(1)): the nodes stay in this unit, and end with it.
PAMName=runuser
WorkingDirectory=~
EnvironmentFile=-/etc/environment
EnvironmentFile=-/etc/default/locale
Environment=XDG_RUNTIME_DIR=/run/user/{uid} DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus
Environment=PYTHONUNBUFFERED=1
RuntimeDirectory={directory}
RuntimeDirectoryMode=0700
ExecStart=/bin/bash -c {script} {workspace}{arguments}
Restart=always
RestartSec=1
TimeoutStopSec=15
TasksMax=infinity
SyslogIdentifier=ua-overlay-team

[Install]
WantedBy=multi-user.target
'''


def unit_text(user: str, workspace: str, arguments: Sequence[str] = (), own: str = '', roscore: str = '') -> str:
    """Return the text of the overlay node's unit.

    :param user: an unprivileged user's name.
    :param workspace: absolute path of the devel or install space with setup.bash.
    :param arguments: 'NAME:=VALUE' of overlay.launch.
    :param own: absolute path of the devel or install space with the robot's own packages; '' for none.
    :param roscore: URI of the robot's own roscore, which is joined and never started; '' for a master of the unit's.
    :raises UsageError: for root, a path that is not absolute, an invalid argument, or a URI that is none.
    """
    _check(user, workspace, arguments, own, roscore)
    # Without --wait, roslaunch starts a master where none answers.
    run = _NODE.format(wait='--wait ' if roscore else '')
    return _TEXT.format(
        name=UNIT_NAME, team=TEAM_UNIT_NAME, user=quote(user, variables=False), plain_user=user.replace('%', '%%'),
        master=roscore or 'http://localhost:{}'.format(defaults.SERVICE_MASTER_PORT), variable=hosted.SOCKET,
        socket=TEAM_SOCKET, **_command(run, workspace, arguments, own))


def team_unit_text(user: str, uid: int, workspace: str, arguments: Sequence[str] = (), own: str = '') -> str:
    """Return the text of the team's unit; parameters and errors as for :func:`unit_text`."""
    _check(user, workspace, arguments, own, '')
    return _TEAM_TEXT.format(
        name=TEAM_UNIT_NAME, user=quote(user, variables=False), plain_user=user.replace('%', '%%'), uid=uid,
        directory=os.path.basename(os.path.dirname(TEAM_SOCKET)),
        **_command(_TEAM.format(socket=TEAM_SOCKET), workspace, arguments, own))


def _command(run: str, workspace: str, arguments: Sequence[str], own: str) -> Dict[str, str]:
    return {'script': quote((_CHAINED if own else _SCRIPT).format(run=run)),
            'workspace': quote(workspace) + (' ' + quote(own) if own else ''),
            'arguments': ''.join(' ' + quote(argument) for argument in arguments)}


def _check(user: str, workspace: str, arguments: Sequence[str], own: str, roscore: str) -> None:
    if user in ('root', '0'):
        raise UsageError('overlay.launch runs as an unprivileged user, not as root.',
                         'sudo ua-overlay service install --user USER')
    for option, path in (('workspace', workspace), ('underlay', own or '/')):
        if not path.startswith('/') or '\n' in path:
            raise UsageError('{!r} is not the absolute path of a workspace.'.format(path),
                             'sudo ua-overlay service install --{} DIR'.format(option))
    if roscore and not _URI.match(roscore):
        raise UsageError('{!r} is not the URI of a roscore.'.format(roscore),
                         command('sudo ua-overlay service install --roscore {}', defaults.LOCAL_MASTER_URI))
    for argument in arguments:
        if not _ARGUMENT.match(argument):
            raise UsageError('{!r} is not an argument of a launch file (NAME:=VALUE).'.format(argument),
                             'sudo ua-overlay service install --arg NAME:=VALUE')


def make_recipe(user: str, uid: int, workspace: str, arguments: Sequence[str] = (), own: str = '',
                roscore: str = '') -> Recipe:
    """Return the recipe of `service install`; parameters and errors as for :func:`unit_text`.

    :param uid: of ``user``.
    """
    units = (File(UNIT, unit_text(user, workspace, arguments, own, roscore)),
             File(TEAM_UNIT, team_unit_text(user, uid, workspace, arguments, own)))
    return Recipe(units, (), (daemon_reload(UNIT, TEAM_UNIT),) + unit_commands(TEAM_UNIT_NAME, (TEAM_UNIT,)) +
                  unit_commands(UNIT_NAME, (UNIT,)), ())


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
