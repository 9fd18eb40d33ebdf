"""What needs root on a robot, once: the recipe of `ua-overlay robot prepare`.

The recipe gives tailscaled, and no other program, the site's CA at a path that never changes; switches its telemetry
off; and keeps an unprivileged operator.
"""
from ua_overlay import defaults
from ua_overlay.recipe import UNIT_DIR, Applier, Command, Directory, File, Recipe, uid_of

DROP_IN = UNIT_DIR + '/tailscaled.service.d/10-ua_overlay.conf'
DAEMON_UNIT = UNIT_DIR + '/tailscaled.service'
OPERATOR_UNIT = UNIT_DIR + '/ua-overlay-operator.service'
TMPFILES = '/etc/tmpfiles.d/ua_overlay.conf'
MANIFEST = defaults.CONFIG_DIR + '/prepared.json'
COMMAND = 'sudo ua-overlay robot prepare --user "$USER"'

DROP_IN_TEXT = '''\
# Written by `ua-overlay robot prepare`; `ua-overlay robot prepare --undo` removes it.
[Service]
# Only tailscaled trusts the site's CA, not the whole system.
Environment=SSL_CERT_FILE={ca}
Environment=TS_NO_LOGS_NO_SUPPORT=true
'''

DAEMON_UNIT_TEXT = '''\
# Written by `ua-overlay robot prepare`, as this machine had no tailscaled.service.
[Unit]
Description=Tailscale node agent
Wants=network-pre.target
After=network-pre.target NetworkManager.service systemd-resolved.service

[Service]
ExecStart={program} --state={state}/tailscaled.state --socket=/run/tailscale/tailscaled.sock --port=41641
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

OPERATOR_UNIT_TEXT = '''\
# Written by `ua-overlay robot prepare`; `ua-overlay robot prepare --undo` removes it.
[Unit]
Description=Lets {user} join and leave the overlay (keeps the operator of tailscaled)
After=tailscaled.service

[Service]
Environment="PYTHONPATH={python_path}"
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart={command} robot operator --user {user}
Restart=always
RestartSec=2
# It needs to be root on tailscaled's socket, to read its own modules (in a home directory, perhaps), and nothing else.
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectHome=read-only
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX

[Install]
WantedBy=multi-user.target
'''


def make_recipe(user, ca_pem, command, python_path, service_manager, daemon_program=None):
    """Return the :class:`Recipe` of a robot.

    :param user: who may join and leave, an existing user's name.
    :param ca_pem: text of the site's CA.
    :param command: absolute path of the `ua-overlay` program; ``python_path``: where its modules are.
    :param service_manager: 'systemd' or 'none'.
    :param daemon_program: path of a tailscaled to make a service of, None where tailscaled.service exists.
    """
    certificate = File(defaults.CA_FILE, ca_pem)
    directories = (Directory(defaults.STATE_DIR, user), Directory(defaults.RUN_DIR, user))
    if service_manager == 'none':
        return Recipe((certificate,), directories, (), (
            'Start tailscaled with SSL_CERT_FILE={} and TS_NO_LOGS_NO_SUPPORT=true in its environment.'.format(
                defaults.CA_FILE),
            'Keep this running as root: {} robot operator --user {}'.format(command, user),
            'Make {} (owner {}) after each reboot.'.format(defaults.RUN_DIR, user)))
    drop_in = File(DROP_IN, DROP_IN_TEXT.format(ca=defaults.CA_FILE))
    operator = File(OPERATOR_UNIT, OPERATOR_UNIT_TEXT.format(user=user, command=command, python_path=python_path))
    tmpfiles = File(TMPFILES, 'd {} 0755 {} - -\n'.format(defaults.RUN_DIR, user))
    wanted = [certificate, drop_in, operator, tmpfiles]
    if daemon_program is not None:
        wanted.append(File(DAEMON_UNIT, DAEMON_UNIT_TEXT.format(
            program=daemon_program, state=defaults.DAEMON_STATE_DIR)))
    return Recipe(
        files=tuple(wanted),
        directories=directories,
        commands=(
            Command(('systemctl', 'daemon-reload'), (DROP_IN, OPERATOR_UNIT, DAEMON_UNIT)),
            Command(('systemctl', 'enable', 'tailscaled.service')),
            # CA and environment are read once, at the start.
            Command(('systemctl', 'restart', 'tailscaled.service'), (defaults.CA_FILE, DROP_IN, DAEMON_UNIT)),
            Command(('systemctl', 'start', 'tailscaled.service')),
            Command(('systemctl', 'enable', 'ua-overlay-operator.service')),
            Command(('systemctl', 'restart', 'ua-overlay-operator.service'), (OPERATOR_UNIT,)),
            Command(('systemctl', 'start', 'ua-overlay-operator.service'))),
        by_hand=())


def applier(root='/', run=None, owner_of=uid_of):
    """The applier of this recipe."""
    return Applier(MANIFEST, COMMAND, root, run, owner_of)
