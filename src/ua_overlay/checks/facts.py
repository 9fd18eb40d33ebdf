"""The observed facts, as plain values. None means not observed, and then no check judges it. Pure."""
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from ua_overlay.errors import Problem
from ua_overlay.firewall.egress_table import TableState
from ua_overlay.link_types import LinkType
from ua_overlay.rosenv.environment import RosEnvironment
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.system.duties import Daemon
from ua_overlay.system.interfaces import InterfaceAddress
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import Link, Status
from ua_overlay.tailscale.remembered_team import RememberedTeam, remembered

#: The result of an attempt to connect.
OPEN, REFUSED, DROPPED, NO_ROUTE = 'OPEN', 'REFUSED', 'DROPPED', 'NO_ROUTE'

#: Which port we connected to: the team master's, a registered node's, or any ephemeral port (closed: refused is fine).
TEAM, NODE, EPHEMERAL = 'the team port', 'the port of a node', 'an ephemeral port'


@dataclass(frozen=True)
class Server:
    """The result of probing the server; times in Unix seconds, ``clock_offset`` in seconds: server minus robot."""

    url: str = ''
    problem: Optional[Problem] = None
    clock_offset: Optional[float] = None
    not_after: Optional[float] = None  #: end of the server's certificate
    ca_not_after: Optional[float] = None
    key_known: Optional[bool] = None  #: whether it knows this robot's key; None: not queried, or not answered
    #: Endpoints that another machine with this robot's key reported to the server; (): none; None: not observed.
    strangers: Optional[Tuple[str, ...]] = None
    proxy: str = ''  #: URL of the HTTP proxy through which tailscaled reaches it, without user and password


@dataclass(frozen=True)
class Attempt:
    """An attempted TCP connection: ``peer`` by overlay name, ``kind`` and ``result`` as above.

    ``ping``: whether the peer answered tailscaled's own ping, which no policy blocks; None: not tried.
    """

    peer: str
    port: int
    kind: str
    result: str
    ping: Optional[bool] = None


@dataclass(frozen=True)
class Callback:
    """The result of registering with the team's master as a node does, so that it calls us back.

    ``by_address`` and ``by_name``: True: it called back; False: not within the deadline; None: not tried.
    """

    by_address: Optional[bool] = None
    by_name: Optional[bool] = None
    problem: str = ''  #: why it could not be tried


@dataclass(frozen=True)
class Graph:
    """The team's master, and the nodes that it lists."""

    uri: str
    alive: bool
    why: str = ''
    nodes: Optional[Tuple[Tuple[str, str], ...]] = None  #: (node name, its URI), sorted
    callback: Optional[Callback] = None
    #: Nodes of this robot in it that are still registered in the local graph, where they no longer answer.
    moved: Tuple[str, ...] = ()
    #: The other nodes of the launch that started the master, besides rosout: () for a roscore; None: unknown.
    launched: Optional[Tuple[str, ...]] = None


@dataclass(frozen=True)
class RosProcess:
    """A process of this machine that listens on TCP and was started with a master in its environment.

    ``unit``: the system's systemd unit that started it, '' for none (a shell, a user's own unit). ``starter``: the
    command line that starts it again, its roslaunch's if there is one, and ``starter_pid`` the process of that.
    """

    pid: int
    name: str
    variables: Dict[str, str] = field(default_factory=dict)
    unit: str = ''
    starter: Tuple[str, ...] = ()
    starter_pid: int = 0


@dataclass(frozen=True)
class Holder:
    """The program that listens on a TCP port of this machine.

    ``pid``, ``command`` and ``unit`` are 0 and '' for a process of another user, which only root may see. ``ros``: it
    answers as a ROS master does.
    """

    port: int
    user: str
    pid: int = 0
    command: str = ''
    unit: str = ''
    starter: Tuple[str, ...] = ()  #: as of RosProcess
    starter_pid: int = 0
    ros: bool = False


@dataclass(frozen=True)
class Packets:
    """Whether a small and a full packet (the overlay's MTU) came back from a peer.

    ``largest``: bytes of the largest one that came back when the full one did not; None: not tried.
    """

    peer: str
    small: bool
    full: bool
    largest: Optional[int] = None


@dataclass(frozen=True)
class Route:
    """The way of tailscaled's own packets to an ``address``, and the longest that the kernel sends there (bytes)."""

    address: str
    mtu: int


@dataclass(frozen=True)
class ClockOffset:
    """How far the clock of a ``peer`` is ahead of this robot's, and the largest error of that, in seconds."""

    peer: str
    offset: float
    error: float


@dataclass(frozen=True)
class Disk:
    """A directory in which this robot writes, and the bytes that are free there."""

    directory: str
    free: int


@dataclass(frozen=True)
class Lan:
    """The endpoints (ip:port) of a peer that tailscaled knows, and the type of the link once it is stable."""

    peer: str
    endpoints: Tuple[str, ...]
    link_type: LinkType


@dataclass(frozen=True)
class Egress:
    """The egress rule: whether the robot was prepared with it, its state in the kernel, the current addresses of the
    site's servers, and whether these are complete."""

    set_up: bool
    table_state: Optional[TableState] = None
    addresses: Tuple[str, ...] = ()
    complete: bool = False
    other_proxies: Tuple[str, ...] = ()  #: URLs of proxies of tailscaled that the rule does not know


@dataclass(frozen=True)
class Facts:
    """Everything that the checks judge.

    ``daemon_problem`` and ``status`` are both None only when tailscaled was not queried.
    """

    now: float = 0.0  #: Unix seconds
    daemon_problem: Optional[Problem] = None
    status: Optional[Status] = None
    newest_tested: str = ''  #: the newest tailscaled with which this package was tested; '': unknown
    links: Optional[Tuple[Link, ...]] = None
    preferences: Preferences = field(default_factory=Preferences)
    former_name: str = ''  #: this robot's name in the settings that it keeps from its invitation
    server: Optional[Server] = None
    names: Optional[NameReport] = None
    desired: Optional[RosEnvironment] = None
    actual: Optional[Dict[str, str]] = None  #: variables of the env file, {} without one
    env_problem: str = ''
    graph: Optional[Graph] = None
    attempts: Optional[Tuple[Attempt, ...]] = None
    #: (robot that we asked to connect to us just now, whether its connection arrived).
    reached: Optional[Tuple[Tuple[str, bool], ...]] = None
    shields_up: bool = False  #: tailscaled refuses every connection from the overlay (ipn.Prefs.ShieldsUp)
    shell: Optional[Dict[str, str]] = None  #: ROS variables of this process
    processes: Optional[Tuple[RosProcess, ...]] = None
    interfaces: Optional[Tuple[InterfaceAddress, ...]] = None
    packets: Optional[Tuple[Packets, ...]] = None
    overlay_mtu: Optional[int] = None  #: bytes of the largest TCP packet of the overlay: see firewall.clamp
    routes: Optional[Tuple[Route, ...]] = None
    clocks: Optional[Tuple[ClockOffset, ...]] = None  #: of the team's robots
    disks: Optional[Tuple[Disk, ...]] = None
    map_stamp: Optional[Stamp] = None  #: of the network map that tailscaled keeps; None: there is none
    #: The program on the port of the local graph's master and on the team's; None: nobody listens, or not observed.
    local_holder: Optional[Holder] = None
    team_holder: Optional[Holder] = None
    own_endpoints: Tuple[str, ...] = ()
    daemon_state: str = ''  #: path of tailscaled's state file, as its command line says; '' while it does not run
    lans: Optional[Tuple[Lan, ...]] = None
    egress: Optional[Egress] = None
    agent: Optional[Daemon] = None  #: the root service of a prepared robot; None: none in this network namespace

    @property
    def remembered_team(self) -> Optional[RememberedTeam]:
        """The team that this robot remembers while its server is away, else None."""
        view = self.server
        if self.network is None or view is None or not (view.url or view.problem):
            return None
        return remembered(self.network, self.map_stamp, view.problem is None)

    @property
    def network(self) -> Optional[Status]:
        """The status if tailscaled answered and is in a network, else None."""
        return self.status if self.status is not None and self.daemon_problem is None and self.status.running else None
