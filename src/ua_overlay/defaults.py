"""Names, numbers and paths that several modules need, each defined only here.

test/unit/project/test_one_home.py refuses these values anywhere else in src/, and compares them with the files that
must repeat them (Ansible, the launch file, the ROS interface).
"""
from typing import FrozenSet, Tuple

#: LocalAPI socket of the system's tailscaled (tailscale: paths.DefaultTailscaledSocket).
DAEMON_SOCKET = '/var/run/tailscale/tailscaled.sock'
#: State of the system's tailscaled.
DAEMON_STATE_DIR = '/var/lib/tailscale'
#: UDP port of the system's tailscaled (tailscale: cmd/tailscaled/tailscaled.defaults).
DAEMON_PORT = 41641

#: Written by `robot prepare`: the site's CA, at a path that never changes, because SSL_CERT_FILE of tailscaled names
#: it.
CONFIG_DIR = '/etc/ua_overlay'
CA_FILE = CONFIG_DIR + '/ca.pem'
#: Settings of a robot's owner for overlay.launch: `team_launch: PACKAGE/FILE.launch`.
ROBOT_FILE = CONFIG_DIR + '/robot.yaml'

#: Directory of the env file, if it exists; otherwise below $XDG_RUNTIME_DIR. Lost at reboot.
RUN_DIR = '/run/ua_overlay'
#: What lasts lies below this directory, which belongs to root: a robot, a site, a relay and a DERP on one machine may
#: have four owners, and none of them may move what another one runs by.
DATA_DIR = '/var/lib/ua_overlay'
#: Directory of the settings that a robot keeps from its invitation (never the key): see membership.settings.
STATE_DIR = DATA_DIR + '/robot'
#: Directory of a site unless --dir or UA_OVERLAY_SITE names another one.
SITE_DIR = DATA_DIR + '/site'

#: TCP port of the control server and its DERP, UDP port of its STUN, UDP port of a peer relay.
SERVER_PORT = 8080
STUN_PORT = 3478
RELAY_PORT = 40000
#: TCP port of a DERP on a remote host; differs from the server's, so that one machine can run both.
DERP_PORT = 8443
#: TCP port of the local graph's roscore (ROS's own default), and of the team's roscore. Two ports, as every robot has
#: two graphs (docs/ros.md).
LOCAL_MASTER_PORT = 11311
#: TCP port of the local graph's master under the boot service: the robot's own roscore keeps ROS's default.
SERVICE_MASTER_PORT = 11310
TEAM_PORT = 11312
LOCAL_MASTER_URI = 'http://localhost:{}'.format(LOCAL_MASTER_PORT)
#: First and last port that Linux gives to sockets that request none (net.ipv4.ip_local_port_range), such as those of
#: ROS nodes.
EPHEMERAL_PORTS: Tuple[int, int] = (32768, 60999)

#: Name of the root service's abstract socket (system.instance.claim_name).
AGENT = 'agent'

#: How the robots of a team address each other in ROS: by DNS name or by IPv4 address.
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
#: Team names that would collide with tags of another meaning.
RESERVED_TEAMS: FrozenSet[str] = frozenset(['relay', 'ros-master', 'user', 'server'])
#: Reserved prefix of team names: of the tags that identify a version of the policy (headscale.policy).
MARKER_TEAM = 'policy-'

#: Default seconds until an invitation expires.
INVITATION_LIFETIME = 3600

#: Seconds for which a DERP on a remote host remembers whom Headscale confirmed, and a robot its team, and the same as
#: site.yaml has it. The price: a robot that was removed while the server is dead stays trusted by the others for as
#: long.
ADMISSION_MEMORY, ADMISSION_MEMORY_TEXT = 86400, '1d'
#: The shortest and the longest that a site may have.
ADMISSION_MEMORY_RANGE: Tuple[int, int] = (60, 30 * 86400)

#: Lifetime of a server's certificate in days, and how many days before its end the running server renews it.
SERVER_CERTIFICATE_DAYS = 90
RENEWAL_MARGIN_DAYS = 30
#: Lifetime of the certificate of a DERP on a remote host, which a person carries there: the longest that browsers
#: accept (CA/Browser Forum, ballot SC22).
DERP_CERTIFICATE_DAYS = 398
#: Lifetime of the site's CA.
CA_YEARS = 10

#: Oldest tailscaled that can join: Headscale 0.29 answers clients from capability version 115 on, which is Tailscale
#: 1.80 (headscale CHANGELOG, 0.29.0). A daemon that a robot's owner installed is used if it is at least this version.
OLDEST_TAILSCALED: Tuple[int, ...] = (1, 80)
#: Oldest programs on the PATH that are used instead of a pinned build. Tailscale: 1.98.9 rolls up the security fixes of
#: 2026 and carries peer relays. Headscale: 0.29.1 closed the takeover of node keys, 0.29.2 the reconnect storm.
OLDEST_TAILSCALE_FOUND: Tuple[int, ...] = (1, 98, 9)
OLDEST_HEADSCALE_FOUND: Tuple[int, ...] = (0, 29, 2)
