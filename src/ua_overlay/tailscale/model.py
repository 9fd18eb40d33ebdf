"""The parts of tailscaled's status that this package uses, as immutable values. Pure.

Source: tailscale.com v1.98.10, ipn/ipnstate/ipnstate.go (the same fields in 1.100.0). Unknown fields are ignored,
missing ones get a neutral value, and one of another type raises InvalidAnswer: see :mod:`fields`.
"""
from dataclasses import dataclass, field
from typing import Optional, Tuple

from ua_overlay import link_types
from ua_overlay.protocols import JsonObject
from ua_overlay.tailscale import fields
from ua_overlay.tailscale.fields import Fields

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
    #: ip:port at which it may be reached, according to tailscaled; changes often, so it does not count as a change.
    endpoints: Tuple[str, ...] = field(default=(), compare=False)


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

    @property
    def refused(self) -> bool:
        """The server does not accept the identity that this machine has: it removed the node, or the key expired.

        It says so within a second or two; tailscaled then has an expired key, later a login URL that nobody asked for
        (1.98.10 to 1.102.5, Headscale 0.29.3). After a logout that did not reach the server there is neither.
        """
        return self.state == 'NeedsLogin' and self.have_node_key and (self.self_node.expired or bool(self.auth_url))


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


@dataclass(frozen=True)
class Prefs:
    """The preferences (ipn.Prefs) that this package reads."""

    control_url: str = ''
    operator: str = ''  #: local user with write access; see `operator`
    want_running: bool = False
    logged_out: bool = False
    shields_up: bool = False  #: refuses every connection from the overlay


@dataclass(frozen=True)
class WhoIs:
    """A node as the server sent it to this machine (tailcfg.Node)."""

    endpoints: Tuple[str, ...] = ()  #: ip:port at which it may be reached
    home_derp: int = 0  #: region of its home; 0 while the server knows none


@dataclass(frozen=True)
class Notice:
    """A message of the bus (ipn.Notify): the fields that a join waits for."""

    error: str = ''
    login_url: str = field(default='', repr=False)  #: a secret, as in :class:`Status`
    login_finished: bool = False
    new_map: bool = False


def node_name(dns_name: str, hostname: str = '') -> str:
    """Return the overlay name: the first label of the DNS name; before there is one, the machine's own host name."""
    return dns_name.split('.', 1)[0] or hostname


def parse_status(raw: JsonObject) -> Status:
    """Return the :class:`Status` of an ipnstate.Status dict.

    :raises InvalidAnswer: a field has another type.
    """
    own = fields.mapping(raw, 'Self')
    dns_name = fields.text(own, 'DNSName').rstrip('.')
    tailnet = fields.mapping(raw, 'CurrentTailnet')
    tags = fields.texts(own, 'Tags')
    pairs = sorted(((_peer(entry), _path(entry)) for entry in fields.members(raw, 'Peer')),
                   key=lambda pair: (pair[0].name, pair[0].public_key))
    return Status(
        version=fields.text(raw, 'Version'),
        state=fields.text(raw, 'BackendState') or 'NoState',
        have_node_key=fields.flag(raw, 'HaveNodeKey'),
        auth_url=fields.text(raw, 'AuthURL'),
        self_node=SelfNode(
            name=node_name(dns_name) if dns_name else '',
            dns_name=dns_name,
            addresses=fields.addresses(own, 'TailscaleIPs') or fields.addresses(raw, 'TailscaleIPs'),
            os=fields.text(own, 'OS'),
            tags=tags,
            online=fields.flag(own, 'Online'),
            public_key=fields.text(own, 'PublicKey'),
            hostname=fields.text(own, 'HostName'),
            node_id=fields.text(own, 'ID'),
            home_relay=fields.text(own, 'Relay'),
            key_expiry=fields.moment(own, 'KeyExpiry'),
            user='' if tags else _login_name(raw, own),
            expired=fields.flag(own, 'Expired'),
            attributes=fields.names(own, 'CapMap'),
            endpoints=fields.texts(own, 'Addrs')),
        peers=tuple(pair[0] for pair in pairs),
        paths=tuple(pair[1] for pair in pairs),
        health=fields.texts(raw, 'Health'),
        suffix=fields.text(tailnet, 'MagicDNSSuffix') or fields.text(raw, 'MagicDNSSuffix'),
        magic_dns=fields.flag(tailnet, 'MagicDNSEnabled'))


def _login_name(raw: Fields, own: Fields) -> str:
    return fields.text(fields.mapping(fields.mapping(raw, 'User'), str(fields.count(own, 'UserID'))), 'LoginName')


def _peer(entry: Fields) -> Peer:
    dns_name = fields.text(entry, 'DNSName').rstrip('.')
    online = fields.flag(entry, 'Online')
    return Peer(
        name=node_name(dns_name, fields.text(entry, 'HostName')),
        dns_name=dns_name,
        addresses=fields.addresses(entry, 'TailscaleIPs'),
        os=fields.text(entry, 'OS'),
        tags=fields.texts(entry, 'Tags'),
        online=online,
        last_seen=None if online else fields.moment(entry, 'LastSeen'),
        public_key=fields.text(entry, 'PublicKey'),
        node_id=fields.text(entry, 'ID'),
        expired=fields.flag(entry, 'Expired'))


def _path(entry: Fields) -> PeerPath:
    return PeerPath(
        in_network_map=fields.flag(entry, 'InNetworkMap'),
        expired=fields.flag(entry, 'Expired'),
        online=fields.flag(entry, 'Online'),
        active=fields.flag(entry, 'Active'),
        endpoint=fields.text(entry, 'CurAddr'),
        peer_relay=fields.text(entry, 'PeerRelay'),
        home_relay=fields.text(entry, 'Relay'),
        rx_bytes=fields.count(entry, 'RxBytes'),
        tx_bytes=fields.count(entry, 'TxBytes'),
        last_handshake=fields.moment(entry, 'LastHandshake'),
        last_write=fields.moment(entry, 'LastWrite'))


def parse_ping(raw: JsonObject) -> PingResult:
    """Return the :class:`PingResult` of an ipnstate.PingResult dict.

    :raises InvalidAnswer: as :func:`parse_status`.
    """
    return PingResult(
        address=fields.text(raw, 'IP'),
        name=fields.text(raw, 'NodeName'),
        error=fields.text(raw, 'Err'),
        latency=fields.seconds(raw, 'LatencySeconds'),
        endpoint=fields.text(raw, 'Endpoint'),
        peer_relay=fields.text(raw, 'PeerRelay'),
        derp=fields.text(raw, 'DERPRegionCode'),
        is_self=fields.flag(raw, 'IsLocalIP'))


def parse_prefs(raw: JsonObject) -> Prefs:
    """Return the :class:`Prefs` of an ipn.Prefs dict.

    :raises InvalidAnswer: as :func:`parse_status`.
    """
    return Prefs(fields.text(raw, 'ControlURL'), fields.text(raw, 'OperatorUser'), fields.flag(raw, 'WantRunning'),
                 fields.flag(raw, 'LoggedOut'), fields.flag(raw, 'ShieldsUp'))


def prefs_in(message: JsonObject) -> Optional[Prefs]:
    """Return the preferences in a message of the bus, None when it has none.

    :raises InvalidAnswer: as :func:`parse_status`.
    """
    return None if message.get('Prefs') is None else parse_prefs(dict(fields.mapping(message, 'Prefs')))


def parse_whois(raw: JsonObject) -> WhoIs:
    """Return the :class:`WhoIs` of an apitype.WhoIsResponse dict.

    :raises InvalidAnswer: as :func:`parse_status`.
    """
    node = fields.mapping(raw, 'Node')
    return WhoIs(fields.texts(node, 'Endpoints'), fields.count(node, 'HomeDERP'))


def parse_notice(message: JsonObject) -> Notice:
    """Return the :class:`Notice` of an ipn.Notify dict.

    :raises InvalidAnswer: as :func:`parse_status`.
    """
    return Notice(fields.text(message, 'ErrMessage'), fields.text(message, 'BrowseToURL'),
                  message.get('LoginFinished') is not None,
                  bool(message.get('SelfChange') or message.get('NetMap')))


def parse_derp_map(raw: JsonObject) -> JsonObject:
    """Return a tailcfg.DERPMap dict with only the names and addresses of its servers.

    :returns: {'Regions': {id: {'Nodes': [{'HostName': …, 'IPv4': …, 'IPv6': …}]}}}, all of them texts.
    :raises InvalidAnswer: as :func:`parse_status`.
    """
    regions = fields.mapping(raw, 'Regions')
    return {'Regions': {number: {'Nodes': [
        {name: fields.text(node, name) for name in ('HostName', 'IPv4', 'IPv6')}
        for node in fields.objects(fields.mapping(regions, number), 'Nodes')]} for number in regions}}
