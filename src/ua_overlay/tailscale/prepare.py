"""The recipe of `ua-overlay robot prepare`: everything on a robot that needs root, once.

It gives tailscaled, and no other program, the site's CA at a path that never changes; switches its telemetry off;
limits its privileges and the addresses that it may connect to (firewall.egress); and maintains an unprivileged
operator.
"""
import re
from typing import Callable, Iterable, List, Optional

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import IPTABLES, Backend
from ua_overlay.protocols import Environ
from ua_overlay.system.recipe import Applier, Directory, File, OwnerOf, Recipe, Run, uid_of
from ua_overlay.system.sandbox import CLOSED, NETWORK, sandbox
from ua_overlay.system.units import UNIT_DIR, daemon_reload, quote, unit_commands
from ua_overlay.tailscale import map_stamp
from ua_overlay.tailscale.daemon_unit import DaemonArguments

DROP_IN = UNIT_DIR + '/tailscaled.service.d/10-ua_overlay.conf'
DAEMON_UNIT = UNIT_DIR + '/tailscaled.service'
AGENT_NAME = 'ua-overlay-agent.service'
AGENT_UNIT = UNIT_DIR + '/' + AGENT_NAME
TMPFILES = '/etc/tmpfiles.d/ua_overlay.conf'
MANIFEST = defaults.CONFIG_DIR + '/prepared.json'
COMMAND = 'sudo ua-overlay robot prepare --user "$USER"'

#: A path that means the same inside the double quotes of a shell and the single quotes of a unit.
_SHELL_SAFE = re.compile(r'[\w./ +@:,=~%-]+')

#: For a shell: removes the network maps that tailscaled has kept, unless they may be used now.
FORGET = 'find {stamp} -newermt now 2>/dev/null | grep -q . || rm -rf {maps}'

DROP_IN_TEXT = '''\
# Written by `ua-overlay robot prepare`; `ua-overlay robot prepare --undo` removes it.
{mounts}[Service]
# Only tailscaled trusts the site's CA, not the whole system.
Environment=SSL_CERT_FILE={ca}
Environment=TS_NO_LOGS_NO_SUPPORT=true
# What it would load itself if it were allowed to; the kernel loads the rest on demand.
ExecStartPre=-+/bin/sh -c 'modprobe -a -q tun ip_tables ip6_tables 2>/dev/null || :'
# The network map that it keeps tells it whom to trust while the server is away: for as long as the site says (a day by
# default) after the overlay node last saw this robot connected to the server, which is the time of the file, and not
# after that.
ExecStartPre=-+/bin/sh -c '{forget}'
# An interface, routes, packet filter and raw sockets; resolv.conf and /run (resolvconf, xtables.lock); nothing else. No
# umask: every user reads the resolv.conf that it writes. Homes are read-only, not hidden: the program may lie there.
CapabilityBoundingSet=
CapabilityBoundingSet={capabilities}
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
# For a state that is sealed by the machine's TPM.
DeviceAllow=/dev/tpmrm0 rw
ProtectSystem=strict
ReadWritePaths=/etc /run -/var/lib/tailscale -/var/cache/tailscale{writable}
{sandbox}
# Many peers need many open files; here it may not raise the limit itself.
LimitNOFILE=65536
{elsewhere}'''

#: For a state that the owner put elsewhere.
_MOUNTS = '''\
[Unit]
RequiresMountsFor={paths}

'''
_STATE_ELSEWHERE = '''\
# As {unit} or its settings say where its state is.
ExecStartPre=-+/bin/mkdir -p -m 700 {paths}
'''
#: For a socket that the owner put elsewhere.
_SOCKET_ELSEWHERE = '''\
# Every client looks for the socket where it is by default.
ExecStartPost=-+/bin/mkdir -p {directory}
ExecStartPost=-+/bin/ln -sfn {socket} {default}
ExecStopPost=-+/bin/rm -f {default}
'''
#: For an HTTP proxy: a file, because a file that the owner's unit reads would override a variable. It makes tailscaled
#: connect to its vendor's hosts without the proxy, and there the egress rule stops it.
_PROXY = '''\
EnvironmentFile=-{path}
'''
PROXY_FILE = defaults.CONFIG_DIR + '/proxy.env'
#: Domains of tailscaled's vendor (tailscale: net/dnsfallback, logpolicy, ipn.DefaultControlURL).
VENDOR_DOMAINS = ('.tailscale.com', '.tailscale.io')

DAEMON_UNIT_TEXT = '''\
# Written by `ua-overlay robot prepare`, as this machine had no tailscaled.service.
[Unit]
Description=Tailscale node agent
Wants=network-pre.target
After=network-pre.target NetworkManager.service systemd-resolved.service

[Service]
ExecStart={program} --state={state}/tailscaled.state --socket=/run/tailscale/tailscaled.sock --port={port}
ExecStopPost={program} --cleanup
Restart=on-failure
RuntimeDirectory=tailscale
RuntimeDirectoryMode=0755
StateDirectory=tailscale
StateDirectoryMode=0700
Type=notify

[Install]
WantedBy=multi-user.target
'''

AGENT_UNIT_TEXT = '''\
# Written by `ua-overlay robot prepare`; `ua-overlay robot prepare --undo` removes it.
[Unit]
Description=Lets {user} join and leave the overlay, keeps the team's names where MagicDNS fails, and the egress rule
After=tailscaled.service

[Service]
Environment={python_path}
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart={command} robot agent --user {word}
Restart=always
RestartSec=2
# One that hangs is killed after this, so that `systemctl restart` helps at once.
TimeoutStopSec=10
# It needs to be root on tailscaled's socket, to read its own modules (in a home directory, perhaps), to ask resolvers,
# to replace the hosts file and to keep the addresses of the egress rule, and nothing else.
CapabilityBoundingSet={capabilities}
{sandbox}

[Install]
WantedBy=multi-user.target
'''


def make_recipe(user: str, ca_pem: str, command: str, python_path: str, service_manager: str,
                daemon_program: Optional[str] = None, rules: str = '', backend: Optional[Backend] = None,
                arguments: Optional[DaemonArguments] = None, no_proxy: Optional[str] = None) -> Recipe:
    """Return the :class:`Recipe` of a robot.

    :param user: name of the existing user that may join and leave.
    :param ca_pem: text of the site's CA.
    :param command: absolute path of the `ua-overlay` program; ``python_path``: where its modules are.
    :param service_manager: 'systemd' or 'none'.
    :param daemon_program: path of the tailscaled for which to install a service, None if tailscaled.service exists.
    :param rules: of egress.ruleset; ``backend``: that of the rules, None without them.
    :param arguments: of tailscaled.service; None for those of its vendor.
    :param no_proxy: the owner's NO_PROXY if tailscaled uses a proxy, None if it uses none.
    """
    certificate = File(defaults.CA_FILE, ca_pem)
    directories = (Directory(defaults.STATE_DIR, user), Directory(defaults.RUN_DIR, user))
    limits = egress.files(egress.ROBOT, rules, backend, service_manager) if backend else ()
    limiting = egress.commands(egress.ROBOT, backend, service_manager) if backend else ()
    if service_manager == 'none':
        return Recipe((certificate,) + limits, directories, limiting, (
            'Start tailscaled with SSL_CERT_FILE={} and TS_NO_LOGS_NO_SUPPORT=true in its environment.'.format(
                defaults.CA_FILE),) + ((
                    'Add {} to its NO_PROXY.'.format(','.join(VENDOR_DOMAINS)),) if no_proxy is not None else ()) + (
            'Run this as root before each start of tailscaled: {}'.format(
                forget_maps(arguments or DaemonArguments()).replace('%%', '%')),
            'Keep this running as root: {} robot agent --user {}'.format(command, user),
            'Make {} (owner {}) after each reboot.'.format(defaults.RUN_DIR, user)) + (
                ('Run `{}` after each reboot.'.format(' '.join(egress.load_argv(egress.ROBOT, backend))),)
                if backend else ()))
    legacy = backend is not None and backend.kind == IPTABLES
    agent = File(AGENT_UNIT, AGENT_UNIT_TEXT.format(
        user=user.replace('%', '%%'), word=quote(user), command=quote(command),
        python_path=quote('PYTHONPATH=' + python_path, variables=False),
        # iptables of the old kind opens a raw socket, and locks a file in /run.
        capabilities='CAP_DAC_READ_SEARCH CAP_NET_ADMIN' + (' CAP_NET_RAW' if legacy else ''),
        sandbox=sandbox('PrivateMounts=yes', 'ProtectHome=read-only',
                        'ReadWritePaths=/etc' + (' /run' if legacy else ''), 'UMask=0077', NETWORK, *CLOSED)))
    tmpfiles = File(TMPFILES, 'd {} 0755 {} - -\n'.format(defaults.RUN_DIR, user))
    drop_in_file = File(DROP_IN, drop_in(arguments or DaemonArguments(), no_proxy is not None))
    desired = [certificate, drop_in_file, agent, tmpfiles] + list(limits)
    restarting = [defaults.CA_FILE, DROP_IN, DAEMON_UNIT]
    if no_proxy is not None:
        text = ','.join([each for each in no_proxy.split(',') if each.strip()] + list(VENDOR_DOMAINS))
        desired.append(File(PROXY_FILE, '# Written by `ua-overlay robot prepare`.\nNO_PROXY={0}\nno_proxy={0}\n'.format(
            quote(text, variables=False))))
        restarting.append(PROXY_FILE)
    if daemon_program is not None:
        desired.append(File(DAEMON_UNIT, DAEMON_UNIT_TEXT.format(
            program=quote(daemon_program), state=defaults.DAEMON_STATE_DIR, port=defaults.DAEMON_PORT)))
    reload = daemon_reload(DROP_IN, AGENT_UNIT, DAEMON_UNIT)
    return Recipe(
        files=tuple(desired),
        directories=directories,
        commands=(reload,) + limiting + unit_commands('tailscaled.service', tuple(restarting)) +
        unit_commands(AGENT_NAME, (AGENT_UNIT,)),
        by_hand=())


def kept_maps(arguments: DaemonArguments) -> str:
    """Return the patterns of the network maps that tailscaled may have kept, for a shell inside single quotes."""
    directories = dict.fromkeys([defaults.DAEMON_STATE_DIR] + list(arguments.directories))
    return ' '.join('"{}"/profile-data/*/netmap-cache'.format(path.replace('%', '%%')) for path in directories
                    if _SHELL_SAFE.fullmatch(path))


def forget_maps(arguments: DaemonArguments) -> str:
    """Return :data:`FORGET` for this tailscaled."""
    return FORGET.format(stamp=map_stamp.path(defaults.STATE_DIR), maps=kept_maps(arguments))


def drop_in(arguments: DaemonArguments, proxied: bool = False) -> str:
    """Return the text of the drop-in for tailscaled.service.

    :param arguments: of that unit: it must be able to write where they say.
    :param proxied: whether it reads :data:`PROXY_FILE`.
    """
    away = [path for path in arguments.directories if not _within(path, (
        '/etc', '/run', '/var/run', defaults.DAEMON_STATE_DIR, '/var/cache/tailscale'))]
    paths = ' '.join(quote(path) for path in away)
    elsewhere = _STATE_ELSEWHERE.format(unit='tailscaled.service', paths=paths) if away else ''
    directory = arguments.socket.rpartition('/')[0]
    writable = away + ([directory] if not _within(directory, ('/etc', '/run', '/var/run')) else [])
    if _plain(arguments.socket) != _plain(defaults.DAEMON_SOCKET):
        default = _plain(defaults.DAEMON_SOCKET)
        elsewhere += _SOCKET_ELSEWHERE.format(
            socket=quote(arguments.socket), default=default, directory=default.rpartition('/')[0])
    if proxied:
        elsewhere += _PROXY.format(path=PROXY_FILE)
    # A port below 1024 is the owner's wish.
    low = ' CAP_NET_BIND_SERVICE' if 0 < arguments.port < 1024 else ''
    return DROP_IN_TEXT.format(
        ca=defaults.CA_FILE, forget=forget_maps(arguments),
        sandbox=sandbox('ProtectHome=read-only', NETWORK), elsewhere=elsewhere,
        mounts=_MOUNTS.format(paths=paths) if away else '', capabilities='CAP_NET_ADMIN CAP_NET_RAW' + low,
        writable=''.join(' ' + quote('-' + path) for path in writable))


def _within(path: str, directories: Iterable[str]) -> bool:
    return any(path == each or path.startswith(each + '/') for each in directories)


def _plain(path: str) -> str:
    """Return a path with /run for /var/run, which is a link to it."""
    return path[len('/var'):] if path.startswith('/var/run/') else path


def check_in_force(environ: Environ) -> None:
    """Check that the drop-in is in force: an EnvironmentFile of the unit would override it.

    :param environ: the environment of the running tailscaled.
    :raises OverlayError: a variable of the drop-in is missing or differs.
    """
    for name, desired in (('SSL_CERT_FILE', defaults.CA_FILE), ('TS_NO_LOGS_NO_SUPPORT', 'true')):
        if environ.get(name) != desired:
            raise OverlayError('tailscaled runs with {}={}, not {} as in {}: another file sets it.'.format(
                name, environ.get(name, ''), desired, DROP_IN), 'systemctl cat tailscaled.service')


def applier(root: str = '/', run: Optional[Run] = None, owner_of: Optional[OwnerOf] = uid_of,
            ask: Optional[Callable[[List[str]], bool]] = None) -> Applier:
    """Return the Applier of this recipe; parameters as for system.recipe.Applier."""
    return Applier(MANIFEST, COMMAND, root, run, owner_of, ask)
