"""Immutable pictures of what tailscaled says, and what changed from one to the next: pure."""
from dataclasses import dataclass, field
from typing import Optional, Tuple

from ua_overlay import link_types
from ua_overlay.errors import Problem
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.model import Link, Peer, SelfNode


@dataclass(frozen=True)
class Snapshot:
    """One picture. With a ``daemon_error`` the rest is empty and ``state`` is 'NoState'.

    ``stamp`` is unix time in seconds; ``links[i]`` is the link to ``peers[i]``.
    """

    stamp: float
    daemon_error: Optional[Problem] = None
    version: str = ''
    state: str = 'NoState'
    have_node_key: bool = False
    self_node: SelfNode = field(default_factory=SelfNode)
    peers: Tuple[Peer, ...] = ()
    links: Tuple[Link, ...] = ()
    health: Tuple[str, ...] = ()
    suffix: str = ''
    magic_dns: bool = False


@dataclass(frozen=True)
class LinkChange:
    """A link's type changed. A peer that appears comes from UNKNOWN, one that goes ends in UNKNOWN."""

    peer: str
    before: str
    after: str


@dataclass(frozen=True)
class Changes:
    """What differs between two snapshots; false as a whole when nothing does.

    Byte counters, handshake times and the stamp change all the time and are no change.
    ``links`` is true when a link's type, endpoint or relay changed, or the set of links; ``link_changes`` has the
    types.
    """

    daemon: bool = False
    state: bool = False
    self_node: bool = False
    peers: bool = False
    links: bool = False
    health: bool = False
    link_changes: Tuple[LinkChange, ...] = ()

    def __bool__(self):
        return self.daemon or self.state or self.self_node or self.peers or self.links or self.health


def snapshot_of(status, stamp):
    """Return the Snapshot of a `model.Status`."""
    return Snapshot(
        stamp=stamp,
        version=status.version,
        state=status.state,
        have_node_key=status.have_node_key,
        self_node=status.self_node,
        peers=status.peers,
        links=links_of(status),
        health=status.health,
        suffix=status.suffix,
        magic_dns=status.magic_dns)


def snapshot_of_error(error, stamp):
    """Return the Snapshot of an OverlayError that a call to the daemon raised."""
    return Snapshot(stamp=stamp, daemon_error=Problem(error.code, error.sentence, error.next_command))


def diff(old, new):
    """Return the :class:`Changes` from ``old`` (None: there was none, so everything changed) to ``new``."""
    before = {} if old is None else {link.peer: link for link in old.links}
    after = {link.peer: link for link in new.links}
    events = []
    for name in sorted(set(before) | set(after)):
        was = before[name].type if name in before else link_types.UNKNOWN
        now = after[name].type if name in after else link_types.UNKNOWN
        if was != now:
            events.append(LinkChange(name, was, now))
    if old is None:
        return Changes(daemon=True, state=True, self_node=True, peers=True, links=True, health=True,
                       link_changes=tuple(events))
    return Changes(
        daemon=old.daemon_error != new.daemon_error or old.version != new.version,
        state=(old.state, old.have_node_key) != (new.state, new.have_node_key),
        self_node=(old.self_node, old.suffix, old.magic_dns) != (new.self_node, new.suffix, new.magic_dns),
        peers=old.peers != new.peers,
        links=tuple(map(_visible, old.links)) != tuple(map(_visible, new.links)),
        health=set(old.health) != set(new.health),
        link_changes=tuple(events))


def _visible(link):
    return link.peer, link.type, link.endpoint, link.relay
