"""What was observed, as plain values. None means that it was not observed: then no check judges it. Pure."""
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from ua_overlay.errors import Problem
from ua_overlay.firewall.egress_table import TableState
from ua_overlay.link_types import LinkType
from ua_overlay.rosenv.environment import RosEnvironment
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.system.interfaces import InterfaceAddress
from ua_overlay.tailscale.model import Link, Status

#: What became of an attempt to connect.
OPEN, REFUSED, DROPPED, NO_ROUTE = 'OPEN', 'REFUSED', 'DROPPED', 'NO_ROUTE'

#: Why we connected to a port: the team master's, a registered node's, or any ephemeral port (closed: refused is fine).
TEAM, NODE, EPHEMERAL = 'the team port', 'the port of a node', 'an ephemeral port'


@dataclass(frozen=True)
class Server:
    """What the probe of the server found; times in Unix seconds, ``clock_offset`` in seconds: theirs minus ours."""

    url: str = ''
    problem: Optional[Problem] = None
    clock_offset: Optional[float] = None
    not_after: Optional[float] = None  #: end of the server's certificate
    ca_not_after: Optional[float] = None
    key_known: Optional[bool] = None  #: whether it knows this robot's key; None: not asked, or not answered
    #: Endpoints that another machine with this robot's key reported to the server; (): none; None: not observed.
    strangers: Optional[Tuple[str, ...]] = None


@dataclass(frozen=True)
class Attempt:
    """A TCP connection that was tried: ``peer`` by overlay name, ``kind`` and ``result`` as above.

    ``ping``: whether tailscaled's own ping, which passes whatever the policy says, was answered; None: not asked.
    """

    peer: str
    port: int
    kind: str
    result: str
    ping: Optional[bool] = None


@dataclass(frozen=True)
class Callback:
    """The result of asking the team's master to call us back (a registration, as every node makes one).

    ``by_address`` and ``by_name``: True it did, False it did not within the deadline, None not tried.
    """

    by_address: Optional[bool] = None
    by_name: Optional[bool] = None
    problem: str = ''  #: why it could not be tried


@dataclass(frozen=True)
class Graph:
    """The team's master and what it hands out."""

    uri: str
    alive: bool
    why: str = ''
    nodes: Optional[Tuple[Tuple[str, str], ...]] = None  #: (node name, its URI), sorted
    callback: Optional[Callback] = None
    #: What the launch that started the master runs beside master and rosout: () for a roscore; None: unknown.
    launched: Optional[Tuple[str, ...]] = None


@dataclass(frozen=True)
class RosProcess:
    """A process of this machine that listens on TCP and whose environment (at its start) names a master."""

    pid: int
    name: str
    variables: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Packets:
    """Whether a small and a full packet (the overlay's MTU) came back from a peer."""

    peer: str
    small: bool
    full: bool


@dataclass(frozen=True)
class Lan:
    """Endpoints (ip:port) that tailscaled knows of a peer, and the type of the link once that is stable."""

    peer: str
    endpoints: Tuple[str, ...]
    link_type: LinkType


@dataclass(frozen=True)
class Egress:
    """The egress rule: whether this robot was prepared with it, its state in the kernel, the addresses that the site's
    servers have now, and whether these are all."""

    set_up: bool
    table_state: Optional[TableState] = None
    addresses: Tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True)
class Facts:
    """Everything that the checks judge.

    ``daemon_problem`` and ``status`` are both None only when tailscaled was not asked.
    """

    now: float = 0.0  #: Unix seconds
    daemon_problem: Optional[Problem] = None
    status: Optional[Status] = None
    links: Optional[Tuple[Link, ...]] = None
    preferences: Preferences = field(default_factory=Preferences)
    server: Optional[Server] = None
    names: Optional[NameReport] = None
    desired: Optional[RosEnvironment] = None
    actual: Optional[Dict[str, str]] = None  #: variables of the env file, {}: there is none
    env_problem: str = ''
    graph: Optional[Graph] = None
    attempts: Optional[Tuple[Attempt, ...]] = None
    inbound: Optional[Tuple[Tuple[str, int], ...]] = None  #: (overlay address, our listening port) connected to us now
    shell: Optional[Dict[str, str]] = None  #: ROS variables of the process that asks
    processes: Optional[Tuple[RosProcess, ...]] = None
    interfaces: Optional[Tuple[InterfaceAddress, ...]] = None
    packets: Optional[Tuple[Packets, ...]] = None
    own_endpoints: Tuple[str, ...] = ()
    lans: Optional[Tuple[Lan, ...]] = None
    egress: Optional[Egress] = None

    @property
    def network(self) -> Optional[Status]:
        """The status of a tailscaled that answered and is in a network, else None."""
        return self.status if self.status is not None and self.daemon_problem is None and self.status.running else None
