"""`server run` at boot, `relay run` and `derp run` on remote hosts: the recipe of `ua-overlay server service install`.

The server runs as a user of its own that owns the site's directory and nothing else: control, DERP, STUN and the relay
(a tailscaled without an interface) need no privilege. Its certificate needs no timer: `server run` looks at it every
twelve hours, and it is the one who can give Headscale the new one, which is read only at a start.
"""
import os
from collections import namedtuple

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.firewall import egress
from ua_overlay.system.recipe import UNIT_DIR, Applier, Command, File, Recipe, uid_of
from ua_overlay.system.sandbox import CLOSED, NETWORK, sandbox
from ua_overlay.tailscale.prepare import quote, unit_commands

#: What becomes a service. kind: first word of its commands; title: for people; unit: its name; user: who runs it unless
#: asked otherwise; egress: whom it may connect to.
Served = namedtuple('Served', 'kind title unit user egress')
SERVER = Served('server', "Control server and relay of a site's overlay", 'ua-overlay-server.service',
                'ua-overlay-server', egress.SERVER)
RELAY = Served('relay', "Relay of a site's overlay", 'ua-overlay-relay.service', 'ua-overlay-relay', egress.RELAY)
DERP = Served('derp', "DERP of a site's overlay", 'ua-overlay-derp.service', 'ua-overlay-derp', egress.DERP)
UNIT_NAME = SERVER.unit
UNIT = UNIT_DIR + '/' + UNIT_NAME
USER = SERVER.user
#: Ends with status 0 when everything below $1 belongs to $2.
_ALL_OF = 'test -z "$(find "$1" ! -user "$2" -print -quit)"'

_TEXT = '''\
# Written by `ua-overlay {kind} service install`; `ua-overlay {kind} service remove` removes it. Your own settings
# belong into a drop-in: sudo systemctl edit {name}
[Unit]
Description={title} ({plain_directory})
# It listens on every address, so it need not wait for one.
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
{environment}
# What root wrote here meanwhile (a restored backup, say) is the server's.
ExecStartPre=+/bin/chown --recursive --no-dereference {user}: {directory}
ExecStart={command} {kind} run --dir {directory}
ExecReload=/bin/kill -HUP $MAINPID
# Headscale would wait 46 s for its clients; `server run` gives it and the relay 5 s each, which its journal survives.
TimeoutStartSec=90
TimeoutStopSec=20
KillMode=mixed
Restart=always
RestartSec=2
SyslogIdentifier={identifier}
# Keys, database, sockets and the program: nothing else of this machine is there to be read in homes, or written at all.
UMask=0077
# Two for each robot, and Headscale may not raise it itself here.
LimitNOFILE=65536
ProtectSystem=strict
ProtectHome=tmpfs
BindReadOnlyPaths={programs}
BindPaths={directory}
ReadWritePaths={directory}
{privilege}
{sandbox}

[Install]
WantedBy=multi-user.target
'''

_KEEPER_TEXT = '''\
# Written by `ua-overlay {kind} service install`; `ua-overlay {kind} service remove` removes it.
[Unit]
Description=Keeps the addresses of the site in the egress rule of the {kind} ({plain_directory})
After={rule} network.target
StartLimitIntervalSec=0

[Service]
# Who may read its directory, with the one capability that nft needs.
User={user}
{environment}
ExecStart={command} {kind} service keep --dir {directory} --user {user}
Restart=always
RestartSec=2
SyslogIdentifier={identifier}
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
BindReadOnlyPaths={programs} {directory}
{sandbox}

[Install]
WantedBy=multi-user.target
'''


def unit_text(user, directory, command, programs, environment=(), low_port=False, served=SERVER):
    """The unit.

    :param user: whom the site belongs to, an unprivileged user's name.
    :param directory: absolute path of the site.
    :param command: absolute path of the `ua-overlay` program.
    :param programs: absolute paths that the server has to see, wherever they are: of the program and of its tools.
    :param environment: 'NAME=value' of the process.
    :param low_port: it has a port below 1024.
    :param served: SERVER, RELAY or DERP.
    :raises UsageError: root, or a path that a unit cannot name.
    """
    privilege = ('AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE' if low_port
                 else 'CapabilityBoundingSet=\nPrivateUsers=yes')
    return _TEXT.format(
        name=served.unit, title=served.title, identifier=served.unit.split('.')[0], privilege=privilege,
        sandbox=sandbox('PrivateDevices=yes', 'ProcSubset=pid', 'RemoveIPC=yes', NETWORK),
        **_unit_fields(user, directory, command, programs, environment, served))


def keeper_text(user, directory, command, programs, environment=(), served=SERVER):
    """The unit that keeps the addresses of the site in the egress rule; parameters and errors as :func:`unit_text`."""
    return _KEEPER_TEXT.format(
        rule=served.egress.unit, identifier=served.egress.keeper.split('.')[0],
        sandbox=sandbox('ProtectHome=tmpfs', 'UMask=0077', NETWORK, *CLOSED),
        **_unit_fields(user, directory, command, programs, environment, served))


def _unit_fields(user, directory, command, programs, environment, served):
    """What both texts name, as words of a unit."""
    if user in ('root', '0'):
        raise UsageError('The server runs as a user of its own, not as root.',
                         'sudo ua-overlay {} service install --user {}'.format(served.kind, served.user))
    for path in (directory, command) + tuple(programs):
        # A colon separates the two paths of a bind mount, and a space two mounts.
        if not path.startswith('/') or any(char in path for char in '\n\r\t: "\\\''):
            raise UsageError('The server cannot be a service with the path {!r}.'.format(path),
                             'move it to a path without blanks, quotes and colons')
    return {
        'kind': served.kind, 'user': quote(user, variables=False), 'directory': quote(directory),
        'plain_directory': directory.replace('%', '%%'), 'command': quote(command),
        'programs': ' '.join('-' + quote(path, variables=False) for path in programs),
        'environment': '\n'.join('Environment=' + quote(each, variables=False) for each in (
            'PYTHONUNBUFFERED=1', 'PYTHONDONTWRITEBYTECODE=1') + tuple(environment))}


def make_recipe(user, owner, directory, text, rules='', nft='', service_manager='systemd', command='', served=SERVER,
                keeper=''):
    """The recipe of `server service install`, or of a remote host's.

    :param user: who runs the server; made when missing.
    :param owner: (uid, gid) that the site goes back to when the service is removed.
    :param text: of :func:`unit_text`.
    :param rules: of egress.ruleset, '' for none; ``nft``: the absolute path of nft.
    :param service_manager: 'systemd' or 'none'; with none, ``command`` is what a person has to start.
    :param served: SERVER, RELAY or DERP.
    :param keeper: with ``rules``, of :func:`keeper_text`; without a service manager the command that it runs.
    """
    limits = egress.files(served.egress, rules, nft, service_manager) if rules else ()
    limiting = egress.commands(served.egress, nft, service_manager) if rules else ()
    unit = UNIT_DIR + '/' + served.unit
    owning = (
        Command(('useradd', '--system', '--user-group', '--no-create-home', '--home-dir', directory, '--shell',
                 '/usr/sbin/nologin', user), unless=('getent', 'passwd', user), undo=('userdel', user)),
        Command(('chown', '--recursive', '--no-dereference', user + ':', directory),
                unless=('sh', '-c', _ALL_OF, 'sh', directory, user),
                undo=('chown', '--recursive', '--no-dereference', '{}:{}'.format(*owner), directory)))
    # By now there is the user whom the rules name.
    if service_manager == 'none':
        return Recipe(limits, (), owning + limiting, (
            'Keep this running as {}: {}'.format(user, command),) + (
                ('Run `{} -f {}` after each reboot.'.format(nft, served.egress.rules),
                 'Keep this running as root: {}'.format(keeper)) if rules else ()))
    if rules:
        path = UNIT_DIR + '/' + served.egress.keeper
        limits += (File(path, keeper),)
        limiting += (Command(('systemctl', 'daemon-reload'), (path,)),) + unit_commands(served.egress.keeper, (path,))
    return Recipe((File(unit, text),) + limits, (), owning + limiting + (
        Command(('systemctl', 'daemon-reload'), (unit,)),
        Command(('systemctl', 'enable', served.unit), unless=('systemctl', 'is-enabled', '--quiet', served.unit),
                undo=('systemctl', 'disable', served.unit)),
        # In this order it is started once; both return when Headscale answers.
        Command(('systemctl', 'restart', served.unit), (unit,), undo=('systemctl', 'stop', served.unit)),
        Command(('systemctl', 'start', served.unit), unless=('systemctl', 'is-active', '--quiet', served.unit))), ())


def manifest(served):
    """The file that says what was written."""
    return '{}/{}.json'.format(defaults.CONFIG_DIR, served.kind)


def applier(root='/', run=None, owner_of=uid_of, ask=None, served=SERVER):
    """The applier of this recipe."""
    return Applier(manifest(served), 'sudo ua-overlay {} service install'.format(served.kind), root, run, owner_of, ask)


def find_program(share, exists=os.path.isfile):
    """(path of the `ua-overlay` program, directory that it and its modules are in).

    :param share: directory of the package's data (resources.share_dir): a checkout, or <prefix>/share/ua_overlay.
    """
    for root, name in ((share, 'scripts/ua-overlay'), (os.path.dirname(os.path.dirname(share)), 'bin/ua-overlay')):
        if exists(os.path.join(root, name)):
            return os.path.join(root, name), root
    raise UsageError('This package is built but not installed, so it has no program that another user can run.',
                     'catkin_make install, and the ua-overlay of the install space')
