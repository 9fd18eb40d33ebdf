"""Services that start at boot: the recipes of `ua-overlay server service install`, also for relays and DERPs.

The server runs as a separate user, who owns only the site's directory: control, DERP, STUN and the relay (a tailscaled
without an interface) need no privilege. The certificate needs no timer: `server run` checks it every twelve hours, and
restarts Headscale with a new one.

The site's relay, and the derper that it may have beside Headscale, are a unit of their own, so that links over them do
not notice when the server restarts or gets a new version. Nothing couples the two units: the relay starts without a
server and waits for it. Its unit is restarted only if what it runs changed (:func:`relay_stamp`), and not for another
version of this package: that one is in force after the next boot, or after `systemctl restart`.
"""
import hashlib
import os
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command as command_line
from ua_overlay.errors import UsageError
from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import Backend
from ua_overlay.system.recipe import Applier, Command, File, Recipe, uid_of
from ua_overlay.system.sandbox import CLOSED, NETWORK, sandbox
from ua_overlay.system.units import UNIT_DIR, daemon_reload, quote, unit_commands


class Service(NamedTuple):
    """One kind of service."""

    #: First word of its commands: 'server', 'relay' or 'derp'.
    kind: str
    #: Description for people.
    title: str
    #: Name of the unit.
    unit: str
    #: Default user.
    user: str
    #: Its egress rule.
    egress: egress.Egress
    #: The words after `ua-overlay` with which its unit runs it.
    run: str
    #: A signal that has it read its settings again, '' for none.
    reload: str = ''


SERVER = Service('server', "Control server of a site's overlay", 'ua-overlay-server.service', 'ua-overlay-server',
                 egress.SERVER, 'server run --no-relay', 'HUP')
#: Installed and removed together with SERVER, whose user and egress rule it has.
SERVER_RELAY = Service('server', "Relay of a site's overlay, beside its control server",
                       egress.SERVER.beside, SERVER.user, egress.SERVER, 'server relay run')
RELAY = Service('relay', "Relay of a site's overlay", 'ua-overlay-relay.service', 'ua-overlay-relay', egress.RELAY,
                'relay run')
DERP = Service('derp', "DERP of a site's overlay", 'ua-overlay-derp.service', 'ua-overlay-derp', egress.DERP,
               'derp run')
UNIT_NAME = SERVER.unit
UNIT, RELAY_UNIT = UNIT_DIR + '/' + UNIT_NAME, UNIT_DIR + '/' + SERVER_RELAY.unit
#: What the relay's unit runs. The unit is restarted when this file changes.
STAMP = defaults.CONFIG_DIR + '/server_relay.runs'
USER = SERVER.user
#: Succeeds if everything below $1 belongs to $2.
_ALL_OF = 'test -z "$(find "$1" ! -user "$2" -print -quit)"'

_TEXT = '''\
# Written by `ua-overlay {kind} service install`; `ua-overlay {kind} service remove` removes it. Put your
# own settings in a drop-in: sudo systemctl edit {name}
[Unit]
Description={title} ({plain_directory})
# It listens on every address, so it need not wait for one{opens}.
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
{environment}
# Files that root wrote here meanwhile (a restored backup, for instance) must belong to the server.
ExecStartPre=+/bin/chown --recursive --no-dereference {user}: {directory}
ExecStart={command} {run} --dir {directory}
{reload}# Headscale would wait 46 s for its clients; each program gets 5 s, which Headscale's journal survives.
TimeoutStartSec=90
TimeoutStopSec=20
KillMode=mixed
Restart=always
RestartSec=2
SyslogIdentifier={identifier}
# It sees no home directories, and writes only to its own directory (keys, database, sockets).
UMask=0077
# Headscale needs two for each robot, and may not raise the limit itself here.
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
# The user who may read its directory, with the one capability that nft needs.
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


def unit_text(user: str, directory: str, command: str, programs: Sequence[str], environment: Sequence[str] = (),
              low_port: bool = False, served: Service = SERVER, opens: str = '') -> str:
    """Return the text of the unit.

    :param user: name of the unprivileged user who owns the site.
    :param directory: absolute path of the site.
    :param command: absolute path of the `ua-overlay` program.
    :param programs: absolute paths that must be visible to the server: of the program and of its tools.
    :param environment: 'NAME=value' words for the process.
    :param low_port: whether it has a port below 1024.
    :param served: SERVER, SERVER_RELAY, RELAY or DERP.
    :param opens: its ports, for people: 'TCP 8080, UDP 3478'. When they change, so does the unit, which restarts it.
    :raises UsageError: the user is root, or a unit cannot name one of the paths.
    """
    privilege = ('AmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE' if low_port
                 else 'CapabilityBoundingSet=\nPrivateUsers=yes')
    reload = 'ExecReload=/bin/kill -{} $MAINPID\n'.format(served.reload) if served.reload else ''
    return _TEXT.format(
        name=served.unit, title=served.title, run=served.run, reload=reload, opens=': ' + opens if opens else '',
        identifier=served.unit.split('.')[0],
        privilege=privilege, sandbox=sandbox('PrivateDevices=yes', 'ProcSubset=pid', 'RemoveIPC=yes', NETWORK),
        **_unit_fields(user, directory, command, programs, environment, served))


def keeper_text(user: str, directory: str, command: str, programs: Sequence[str], environment: Sequence[str] = (),
                served: Service = SERVER) -> str:
    """Return the text of the unit that keeps the site's addresses in the egress rule; see :func:`unit_text`."""
    return _KEEPER_TEXT.format(
        rule=served.egress.unit, identifier=served.egress.keeper.split('.')[0],
        sandbox=sandbox('ProtectHome=tmpfs', 'UMask=0077', NETWORK, *CLOSED),
        **_unit_fields(user, directory, command, programs, environment, served))


def _unit_fields(user: str, directory: str, command: str, programs: Sequence[str], environment: Sequence[str],
                 served: Service) -> Dict[str, str]:
    """Return the common fields of both texts, quoted for a unit."""
    if user in ('root', '0'):
        raise UsageError('The {} must not run as root.'.format(served.kind),
                         command_line('sudo ua-overlay {} service install --user {}', served.kind, served.user))
    for path in (directory, command) + tuple(programs):
        # A colon separates the two paths of a bind mount, and a space two mounts.
        if not path.startswith('/') or any(char in path for char in '\n\r\t: "\\\''):
            raise UsageError('A unit cannot name the path {!r}.'.format(path),
                             'move it to a path without blanks, quotes and colons')
    return {
        'kind': served.kind, 'user': quote(user, variables=False), 'directory': quote(directory),
        'plain_directory': directory.replace('%', '%%'), 'command': quote(command),
        'programs': ' '.join('-' + quote(path, variables=False) for path in programs),
        'environment': '\n'.join('Environment=' + quote(each, variables=False) for each in (
            'PYTHONUNBUFFERED=1', 'PYTHONDONTWRITEBYTECODE=1') + tuple(environment))}


def relay_stamp(unit: str, settings: Iterable[Tuple[str, object]], programs: Mapping[str, str]) -> str:
    """Return the text of :data:`STAMP`.

    :param unit: the text of the relay's unit, without paths that differ between versions of this package.
    :param settings: (name, value) of those settings of the site on which the unit depends.
    :param programs: path -> SHA-256 of the programs that it runs.
    """
    return '\n'.join(
        ['# What {} runs. `ua-overlay server service install` writes this, and restarts the unit if it'.format(
            SERVER_RELAY.unit), '# changed. Another version of ua_overlay alone does not restart it.']
        + ['{}: {}'.format(name, value) for name, value in settings]
        + ['{}: {}'.format(path, digest) for path, digest in sorted(programs.items())]
        + ['unit: ' + hashlib.sha256(unit.encode('utf-8')).hexdigest()]) + '\n'


def make_recipe(user: str, owner: Tuple[int, int], directory: str, text: str, rules: str = '',
                backend: Optional[Backend] = None, service_manager: str = 'systemd', command: str = '',
                served: Service = SERVER, keeper: str = '', relay: Tuple[str, str] = ('', '')) -> Recipe:
    """Return the recipe of `server service install`, or of a remote host's.

    :param user: user who runs the server; created if missing.
    :param owner: (uid, gid) of the site after removal of the service.
    :param text: from :func:`unit_text`.
    :param rules: from egress.ruleset, '' for none.
    :param backend: that of the rules, None without them.
    :param service_manager: 'systemd' or 'none'.
    :param command: without a service manager, the command line that a person must start.
    :param served: SERVER, RELAY or DERP.
    :param keeper: with ``rules``, from :func:`keeper_text`; without a service manager, the command line of the keeper.
    :param relay: of a server: (text of the unit SERVER_RELAY, from :func:`relay_stamp`).
    """
    limits = egress.files(served.egress, rules, backend, service_manager) if backend else ()
    limiting = egress.commands(served.egress, backend, service_manager) if backend else ()
    owning = (
        Command(('useradd', '--system', '--user-group', '--no-create-home', '--home-dir', directory, '--shell',
                 '/usr/sbin/nologin', user), unless=('getent', 'passwd', user), undo=('userdel', user)),
        Command(('chown', '--recursive', '--no-dereference', user + ':', directory),
                unless=('sh', '-c', _ALL_OF, 'sh', directory, user),
                undo=('chown', '--recursive', '--no-dereference', '{}:{}'.format(*owner), directory)))
    # The rules name the user, so create the user first.
    if service_manager == 'none':
        return Recipe(limits, (), owning + limiting, (
            'Keep this running as {}: {}'.format(user, command),) + (
                ('Run `{}` after each reboot.'.format(' '.join(egress.load_argv(served.egress, backend))),
                 'Keep this running as root: {}'.format(keeper)) if backend else ()))
    if backend:
        path = UNIT_DIR + '/' + served.egress.keeper
        limits += (File(path, keeper),)
        limiting += (daemon_reload(path),) + unit_commands(served.egress.keeper, (path,))
    unit = UNIT_DIR + '/' + served.unit
    units = _run(served.unit, unit)
    files: Tuple[File, ...] = (File(unit, text),)
    if relay[0]:
        files += (File(RELAY_UNIT, relay[0]), File(STAMP, relay[1]))
        # A port may move from one to the other with derp_port. So the relay stops first if it restarts anyway, and
        # starts after the server, which had the relay in itself if it ran without this unit.
        units = (Command(('systemctl', 'stop', SERVER_RELAY.unit), (STAMP,)),) + units + _run(SERVER_RELAY.unit, STAMP)
    return Recipe(files + limits, (), owning + limiting + (
        daemon_reload(*(item.path for item in files if item.path.startswith(UNIT_DIR))),) + units, ())


def _run(unit: str, changed: str) -> Tuple[Command, ...]:
    """Return the commands that run a unit now and at each boot, and restart it if the file ``changed`` changed."""
    return (
        Command(('systemctl', 'enable', unit), unless=('systemctl', 'is-enabled', '--quiet', unit),
                undo=('systemctl', 'disable', unit)),
        # A restarted service is active, so it starts only once; both commands return when Headscale answers.
        Command(('systemctl', 'restart', unit), (changed,), undo=('systemctl', 'stop', unit)),
        Command(('systemctl', 'start', unit), unless=('systemctl', 'is-active', '--quiet', unit)))


def manifest(served: Service) -> str:
    """Return the path of the manifest, which lists the written files."""
    return '{}/{}.json'.format(defaults.CONFIG_DIR, served.kind)


def applier(root: str = '/', run: Optional[Callable[[List[str]], None]] = None,
            owner_of: Optional[Callable[[str], Tuple[int, int]]] = uid_of,
            ask: Optional[Callable[[List[str]], bool]] = None, served: Service = SERVER) -> Applier:
    """Return the Applier of this recipe; see system.recipe.Applier."""
    return Applier(manifest(served), 'sudo ua-overlay {} service install'.format(served.kind), root, run, owner_of, ask)


def find_program(share: str, exists: Callable[[str], bool] = os.path.isfile) -> Tuple[str, str]:
    """Find the `ua-overlay` program.

    :param share: directory of the package's data (resources.share_dir): a checkout, or <prefix>/share/ua_overlay.
    :returns: (its path, the directory of its modules).
    :raises UsageError: it was not found.
    """
    for root, name in ((share, 'scripts/ua-overlay'), (os.path.dirname(os.path.dirname(share)), 'bin/ua-overlay')):
        if exists(os.path.join(root, name)):
            return os.path.join(root, name), root
    raise UsageError('This package is built but not installed, so another user cannot run its program.',
                     'catkin_make install, then use the ua-overlay of the install space')
