"""Names, numbers and paths that more than one module needs: the only home of each."""

#: LocalAPI socket of the system's tailscaled (tailscale: paths.DefaultTailscaledSocket).
DAEMON_SOCKET = '/var/run/tailscale/tailscaled.sock'
#: State of the system's tailscaled.
DAEMON_STATE_DIR = '/var/lib/tailscale'

#: What `robot prepare` writes: the site's CA, at a path that never changes (SSL_CERT_FILE of tailscaled names it).
CONFIG_DIR = '/etc/ua_overlay'
CA_FILE = CONFIG_DIR + '/ca.pem'
#: What a robot's owner may set for overlay.launch: `team_launch: PACKAGE/FILE.launch`.
ROBOT_FILE = CONFIG_DIR + '/robot.yaml'

#: Where the derived env file lives when the directory exists; otherwise below $XDG_RUNTIME_DIR. Gone at reboot.
RUN_DIR = '/run/ua_overlay'
#: What a robot keeps of its invitation (never the key): see membership.settings.
STATE_DIR = '/var/lib/ua_overlay'
#: Where a site lives unless --dir or UA_OVERLAY_SITE says otherwise.
SITE_DIR = '/var/lib/ua_overlay/site'

SERVER_PORT = 8080
STUN_PORT = 3478
RELAY_PORT = 40000
#: A DERP on a remote host, of its own beside what else may serve there.
DERP_PORT = 8443
#: The team's roscore. Not 11311: that is the local graph's (design, "Two graphs on every robot").
TEAM_PORT = 11312
LOCAL_MASTER_URI = 'http://localhost:11311'

#: tailscaled's network interface (its option --tun).
INTERFACE = 'tailscale0'
OVERLAY_V4 = '100.64.0.0/10'
OVERLAY_V6 = 'fd7a:115c:a1e0::/48'
#: MagicDNS suffix of a new site: `.internal` is reserved for private use (ICANN, 2024-07-29).
BASE_DOMAIN = 'overlay.internal'

RELAY_TAG = 'tag:relay'
MASTER_TAG = 'tag:ros-master'
#: Team names that would clash with tags that mean something else.
RESERVED_TEAMS = frozenset(['relay', 'ros-master', 'user', 'server'])
#: And what begins like this: tags that tell one version of the policy from another (headscale.policy).
MARKER_TEAM = 'policy-'

#: Invitations expire after this many seconds unless asked otherwise.
INVITATION_LIFETIME = 3600
