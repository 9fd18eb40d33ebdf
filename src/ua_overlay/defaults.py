"""Names, numbers and paths that more than one module needs: the only home of each.

test/unit/project/test_one_home.py refuses these values anywhere else in src/, and compares them with the places that
have to repeat them (Ansible, the launch file, the ROS interface).
"""
from typing import FrozenSet, Tuple

#: LocalAPI socket of the system's tailscaled (tailscale: paths.DefaultTailscaledSocket).
DAEMON_SOCKET = '/var/run/tailscale/tailscaled.sock'
#: State of the system's tailscaled.
DAEMON_STATE_DIR = '/var/lib/tailscale'
#: UDP port of the system's tailscaled (tailscale: cmd/tailscaled/tailscaled.defaults).
DAEMON_PORT = 41641

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

#: TCP port of the control server and its DERP, UDP port of its STUN, UDP port of a peer relay.
SERVER_PORT = 8080
STUN_PORT = 3478
RELAY_PORT = 40000
#: TCP port of a DERP on a remote host: not the server's, so that one machine can run both.
DERP_PORT = 8443
#: TCP port of the local graph's roscore (ROS's own default), and of the team's roscore. Two ports, as every robot has
#: two graphs (docs/ros.md).
LOCAL_MASTER_PORT = 11311
TEAM_PORT = 11312
LOCAL_MASTER_URI = 'http://localhost:{}'.format(LOCAL_MASTER_PORT)
#: First and last port that Linux gives to sockets that ask for none (net.ipv4.ip_local_port_range): those of every ROS
#: node.
EPHEMERAL_PORTS: Tuple[int, int] = (32768, 60999)

#: How the robots of a team call each other in ROS: by DNS name or by IPv4 address.
NAMES, ADDRESSES = 'names', 'addresses'
ADDRESSING: Tuple[str, ...] = (NAMES, ADDRESSES)

#: tailscaled's network interface (its option --tun).
INTERFACE = 'tailscale0'
#: The ranges from which the server gives addresses: tailscale's own (net/tsaddr: CGNATRange, TailscaleULARange).
OVERLAY_V4 = '100.64.0.0/10'
OVERLAY_V6 = 'fd7a:115c:a1e0::/48'
#: MagicDNS suffix of a new site: `.internal` is reserved for private use (ICANN, 2024-07-29).
BASE_DOMAIN = 'overlay.internal'

RELAY_TAG = 'tag:relay'
MASTER_TAG = 'tag:ros-master'
#: Team names that would clash with tags that mean something else.
RESERVED_TEAMS: FrozenSet[str] = frozenset(['relay', 'ros-master', 'user', 'server'])
#: And what begins like this: tags that tell one version of the policy from another (headscale.policy).
MARKER_TEAM = 'policy-'

#: Seconds until an invitation expires, unless asked otherwise.
INVITATION_LIFETIME = 3600

#: Life of a server's certificate, which the running server renews, and how many days before its end it does.
SERVER_CERTIFICATE_DAYS = 90
RENEWAL_MARGIN_DAYS = 30
#: Life of the certificate of a DERP on a remote host, which a person carries there: as long as browsers take any
#: (CA/Browser Forum, ballot SC22).
DERP_CERTIFICATE_DAYS = 398
#: Life of the site's CA.
CA_YEARS = 10

#: Oldest tailscaled that can join: Headscale 0.29 answers clients from capability version 115 on, which is Tailscale
#: 1.80 (headscale CHANGELOG, 0.29.0). A daemon that a robot's owner installed is used from this version on.
OLDEST_TAILSCALED: Tuple[int, ...] = (1, 80)
#: Oldest programs on the PATH that are used instead of a pinned build. Tailscale: 1.98.9 rolls up the security fixes of
#: 2026 and carries peer relays. Headscale: 0.29.1 closed the takeover of node keys, 0.29.2 the reconnect storm.
OLDEST_TAILSCALE_FOUND: Tuple[int, ...] = (1, 98, 9)
OLDEST_HEADSCALE_FOUND: Tuple[int, ...] = (0, 29, 2)
