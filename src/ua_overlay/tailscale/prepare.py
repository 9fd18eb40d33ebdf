"""The recipe of `ua-overlay robot prepare`: everything on a robot that needs root, once.

It gives tailscaled, and no other program, the site's CA at a path that never changes; switches its telemetry off;
limits its privileges and the addresses that it may connect to (firewall.egress); and maintains an unprivileged
operator.
"""
from typing import Callable, List, Optional

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.protocols import Environ
from ua_overlay.system.recipe import Applier, Directory, File, OwnerOf, Recipe, Run, uid_of
from ua_overlay.system.sandbox import CLOSED, NETWORK, sandbox
from ua_overlay.system.units import UNIT_DIR, daemon_reload, quote, unit_commands

DROP_IN = UNIT_DIR + '/tailscaled.service.d/10-ua_overlay.conf'
DAEMON_UNIT = UNIT_DIR + '/tailscaled.service'
AGENT_NAME = 'ua-overlay-agent.service'
AGENT_UNIT = UNIT_DIR + '/' + AGENT_NAME
TMPFILES = '/etc/tmpfiles.d/ua_overlay.conf'
MANIFEST = defaults.CONFIG_DIR + '/prepared.json'
COMMAND = 'sudo ua-overlay robot prepare --user "$USER"'

DROP_IN_TEXT = '''\
# Written by `ua-overlay robot prepare`; `ua-overlay robot prepare --undo` removes it.
[Service]
# Only tailscaled trusts the site's CA, not the whole system.
Environment=SSL_CERT_FILE={ca}
Environment=TS_NO_LOGS_NO_SUPPORT=true
# What it would load itself if it were allowed to; the kernel loads the rest on demand.
ExecStartPre=-+/bin/sh -c 'modprobe -a -q tun ip_tables ip6_tables 2>/dev/null || :'
# An interface, routes, packet filter and raw sockets; resolv.conf and /run (resolvconf, xtables.lock); nothing else. No
# umask: every user reads the resolv.conf that it writes. Homes are read-only, not hidden: the program may lie there.
CapabilityBoundingSet=
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW
DevicePolicy=closed
DeviceAllow=/dev/net/tun rw
# For a state that is sealed by the machine's TPM.
DeviceAllow=/dev/tpmrm0 rw
ProtectSystem=strict
ReadWritePaths=/etc /run -/var/lib/tailscale -/var/cache/tailscale
{sandbox}
# Many peers need many open files; here it may not raise the limit itself.
LimitNOFILE=65536
'''

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
# It needs to be root on tailscaled's socket, to read its own modules (in a home directory, perhaps), to ask resolvers,
# to replace the hosts file and to keep the addresses of the egress rule, and nothing else.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_NET_ADMIN
{sandbox}

[Install]
WantedBy=multi-user.target
'''


def make_recipe(user: str, ca_pem: str, command: str, python_path: str, service_manager: str,
                daemon_program: Optional[str] = None, rules: str = '', nft: str = '') -> Recipe:
    """Return the :class:`Recipe` of a robot.

    :param user: name of the existing user that may join and leave.
    :param ca_pem: text of the site's CA.
    :param command: absolute path of the `ua-overlay` program; ``python_path``: where its modules are.
    :param service_manager: 'systemd' or 'none'.
    :param daemon_program: path of the tailscaled for which to install a service, None if tailscaled.service exists.
    :param rules: of egress.ruleset, '' for none; ``nft``: the absolute path of nft.
    """
    certificate = File(defaults.CA_FILE, ca_pem)
    directories = (Directory(defaults.STATE_DIR, user), Directory(defaults.RUN_DIR, user))
    limits = egress.files(egress.ROBOT, rules, nft, service_manager) if rules else ()
    limiting = egress.commands(egress.ROBOT, nft, service_manager) if rules else ()
    if service_manager == 'none':
        return Recipe((certificate,) + limits, directories, limiting, (
            'Start tailscaled with SSL_CERT_FILE={} and TS_NO_LOGS_NO_SUPPORT=true in its environment.'.format(
                defaults.CA_FILE),
            'Keep this running as root: {} robot agent --user {}'.format(command, user),
            'Make {} (owner {}) after each reboot.'.format(defaults.RUN_DIR, user)) + (
                ('Run `{} -f {}` after each reboot.'.format(nft, egress.ROBOT.rules),) if rules else ()))
    drop_in = File(DROP_IN, DROP_IN_TEXT.format(
        ca=defaults.CA_FILE, sandbox=sandbox('ProtectHome=read-only', NETWORK)))
    agent = File(AGENT_UNIT, AGENT_UNIT_TEXT.format(
        user=user.replace('%', '%%'), word=quote(user), command=quote(command),
        python_path=quote('PYTHONPATH=' + python_path, variables=False),
        sandbox=sandbox('PrivateMounts=yes', 'ProtectHome=read-only', 'ReadWritePaths=/etc', 'UMask=0077', NETWORK,
                        *CLOSED)))
    tmpfiles = File(TMPFILES, 'd {} 0755 {} - -\n'.format(defaults.RUN_DIR, user))
    desired = [certificate, drop_in, agent, tmpfiles] + list(limits)
    if daemon_program is not None:
        desired.append(File(DAEMON_UNIT, DAEMON_UNIT_TEXT.format(
            program=quote(daemon_program), state=defaults.DAEMON_STATE_DIR, port=defaults.DAEMON_PORT)))
    reload = daemon_reload(DROP_IN, AGENT_UNIT, DAEMON_UNIT)
    return Recipe(
        files=tuple(desired),
        directories=directories,
        commands=(reload,) + limiting + unit_commands('tailscaled.service', (defaults.CA_FILE, DROP_IN, DAEMON_UNIT)) +
        unit_commands(AGENT_NAME, (AGENT_UNIT,)),
        by_hand=())


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
