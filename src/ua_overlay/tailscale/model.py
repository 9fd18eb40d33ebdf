"""The parts of tailscaled's status that this package uses, as immutable values. Pure.

Source: tailscale.com v1.98.10, ipn/ipnstate/ipnstate.go (the same fields in 1.100.0). Unknown fields are ignored and
missing ones get a neutral value: the LocalAPI promises no stability.
"""
from dataclasses import dataclass, field
from typing import Optional, Tuple

from ua_overlay import link_types
from ua_overlay.clock import parse_go_time
from ua_overlay.protocols import JsonObject

#: ipn.State as the bus numbers it (ipn/backend.go); `BackendState` in the status is the text.
STATES = ('NoState', 'InUseOtherUser', 'NeedsLogin', 'NeedsMachineAuth', 'Stopped', 'Starting', 'Running')


@dataclass(frozen=True)
class SelfNode:
    """This machine in the overlay. Before the first network map all but ``hostname`` may be empty."""

    name: str = ''  #: first label of ``dns_name``: the name that the server gave it, perhaps not the one it asked for
    dns_name: str = ''  #: without the trailing dot
    addresses: Tuple[str, ...] = ()  #: IPv4 first
    os: str = ''
    tags: Tuple[str, ...] = ()
    online: bool = False  #: whether the server considers it connected, as of the last network map
    public_key: str = ''
    hostname: str = ''  #: the name it asked for
    node_id: str = ''
    home_relay: str = ''  #: code of its home DERP region
    key_expiry: Optional[float] = None  #: unix time, None: never (tagged nodes)
    user: str = ''  #: login name of its user; '' for a tagged node
    expired: bool = False
    attributes: Tuple[str, ...] = ()  #: node attributes of the site's policy (names of the CapMap), sorted


@dataclass(frozen=True)
class Peer:
    """Another machine of the overlay: the fields that do not change with traffic."""

    name: str
    dns_name: str = ''
    addresses: Tuple[str, ...] = ()
    os: str = ''
    tags: Tuple[str, ...] = ()
    online: bool = False  #: the server's view; an offline peer may still answer on a direct path
    last_seen: Optional[float] = None  #: unix time; None while online, and when the server did not send it
    public_key: str = ''
    node_id: str = ''
    expired: bool = False


@dataclass(frozen=True)
class PeerPath:
    """The path to a peer as the status describes it; `links.classify` derives the type of the link from it."""

    in_network_map: bool = False
    expired: bool = False
    online: bool = False
    active: bool = False  #: we sent to it within 45 s (magicsock sessionActiveTimeout)
    endpoint: str = ''  #: ip:port of a direct path whose last pong is at most 6.5 s old
    peer_relay: str = ''  #: ip:port:vni:N of a path by peer relay, with the same age limit
    home_relay: str = ''  #: code of the PEER'S home DERP region: also set on direct and idle links
    rx_bytes: int = 0
    tx_bytes: int = 0
    last_handshake: Optional[float] = None
    last_write: Optional[float] = None


@dataclass(frozen=True)
class Link:
    """The path to a peer, classified.

    ``endpoint`` is ip:port for DIRECT and the relay's ip:port:vni:N for PEER_RELAY; ``relay`` is the DERP region's
    code for DERP; otherwise they are empty. Bytes count since the daemon started; handshake in unix seconds.
    """

    peer: str
    dns_name: str = ''
    type: link_types.LinkType = link_types.UNKNOWN
    endpoint: str = ''
    relay: str = ''
    rx_bytes: int = 0
    tx_bytes: int = 0
    last_handshake: Optional[float] = None


@dataclass(frozen=True)
class Status:
    """One answer of the daemon. ``peers[i]`` and ``paths[i]`` belong together, sorted by name."""

    version: str = ''
    state: str = 'NoState'  #: NoState, NeedsLogin, NeedsMachineAuth, Stopped, Starting, Running
    have_node_key: bool = False
    auth_url: str = field(default='', repr=False)  #: a secret: opening it decides who this machine is
    self_node: SelfNode = field(default_factory=SelfNode)
    peers: Tuple[Peer, ...] = ()
    paths: Tuple[PeerPath, ...] = ()
    health: Tuple[str, ...] = ()
    suffix: str = ''  #: MagicDNS suffix of the overlay
    magic_dns: bool = False

    @property
    def running(self) -> bool:
        """tailscaled runs and is in a network."""
        return self.state == 'Running'


@dataclass(frozen=True)
class PingResult:
    """Answer to a ping. ``latency`` in seconds. With an ``error`` the rest is empty."""

    address: str = ''
    name: str = ''
    error: str = ''
    latency: float = 0.0
    endpoint: str = ''
    peer_relay: str = ''
    derp: str = ''
    is_self: bool = False


def _unix(text: Optional[str]) -> Optional[float]:
    """Return the Unix seconds of a time in the status; None for a missing or invalid one."""
    try:
        moment = parse_go_time(text)
    except ValueError:
        return None
    return None if moment is None else moment.timestamp()


def node_name(dns_name: str, hostname: str = '') -> str:
    """Return the overlay name: the first label of the DNS name; before there is one, the machine's own host name."""
    return dns_name.split('.', 1)[0] or hostname


def parse_status(raw: JsonObject) -> Status:
    """Return the :class:`Status` of an ipnstate.Status dict."""
    own = raw.get('Self') or {}
    dns_name = (own.get('DNSName') or '').rstrip('.')
    tailnet = raw.get('CurrentTailnet') or {}
    pairs = sorted(
        ((_peer(entry), _path(entry)) for entry in (raw.get('Peer') or {}).values()),
        key=lambda pair: (pair[0].name, pair[0].public_key))
    return Status(
        version=raw.get('Version') or '',
        state=raw.get('BackendState') or 'NoState',
        have_node_key=bool(raw.get('HaveNodeKey')),
        auth_url=raw.get('AuthURL') or '',
        self_node=SelfNode(
            name=node_name(dns_name) if dns_name else '',
            dns_name=dns_name,
            addresses=tuple(own.get('TailscaleIPs') or raw.get('TailscaleIPs') or ()),
            os=own.get('OS') or '',
            tags=tuple(own.get('Tags') or ()),
            online=bool(own.get('Online')),
            public_key=own.get('PublicKey') or '',
            hostname=own.get('HostName') or '',
            node_id=own.get('ID') or '',
            home_relay=own.get('Relay') or '',
            key_expiry=_unix(own.get('KeyExpiry')),
            user='' if own.get('Tags') else _login_name(raw, own.get('UserID')),
            expired=bool(own.get('Expired')),
            attributes=tuple(sorted(own.get('CapMap') or ()))),
        peers=tuple(pair[0] for pair in pairs),
        paths=tuple(pair[1] for pair in pairs),
        health=tuple(raw.get('Health') or ()),
        suffix=tailnet.get('MagicDNSSuffix') or raw.get('MagicDNSSuffix') or '',
        magic_dns=bool(tailnet.get('MagicDNSEnabled')))


def _login_name(raw: JsonObject, user_id: object) -> str:
    return ((raw.get('User') or {}).get(str(user_id)) or {}).get('LoginName') or ''


def _peer(entry: JsonObject) -> Peer:
    dns_name = (entry.get('DNSName') or '').rstrip('.')
    online = bool(entry.get('Online'))
    return Peer(
        name=node_name(dns_name, entry.get('HostName') or ''),
        dns_name=dns_name,
        addresses=tuple(entry.get('TailscaleIPs') or ()),
        os=entry.get('OS') or '',
        tags=tuple(entry.get('Tags') or ()),
        online=online,
        last_seen=None if online else _unix(entry.get('LastSeen')),
        public_key=entry.get('PublicKey') or '',
        node_id=entry.get('ID') or '',
        expired=bool(entry.get('Expired')))


def _path(entry: JsonObject) -> PeerPath:
    return PeerPath(
        in_network_map=bool(entry.get('InNetworkMap')),
        expired=bool(entry.get('Expired')),
        online=bool(entry.get('Online')),
        active=bool(entry.get('Active')),
        endpoint=entry.get('CurAddr') or '',
        peer_relay=entry.get('PeerRelay') or '',
        home_relay=entry.get('Relay') or '',
        rx_bytes=int(entry.get('RxBytes') or 0),
        tx_bytes=int(entry.get('TxBytes') or 0),
        last_handshake=_unix(entry.get('LastHandshake')),
        last_write=_unix(entry.get('LastWrite')))


def parse_ping(raw: JsonObject) -> PingResult:
    """Return the :class:`PingResult` of an ipnstate.PingResult dict."""
    return PingResult(
        address=raw.get('IP') or '',
        name=raw.get('NodeName') or '',
        error=raw.get('Err') or '',
        latency=float(raw.get('LatencySeconds') or 0.0),
        endpoint=raw.get('Endpoint') or '',
        peer_relay=raw.get('PeerRelay') or '',
        derp=raw.get('DERPRegionCode') or '',
        is_self=bool(raw.get('IsLocalIP')))
