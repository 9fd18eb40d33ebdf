"""Immutable snapshots of tailscaled's status, and the changes between two of them. Pure."""
from dataclasses import dataclass, field
from typing import Optional, Tuple

from ua_overlay import link_types
from ua_overlay.errors import OverlayError, Problem
from ua_overlay.link_types import LinkType
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.model import Link, Status


@dataclass(frozen=True)
class Snapshot:
    """The status at one moment. With a ``daemon_error``, everything else is empty (state 'NoState').

    ``stamp`` is unix time in seconds; ``links[i]`` is the link to ``status.peers[i]``.
    """

    stamp: float
    status: Status = field(default_factory=Status)
    links: Tuple[Link, ...] = ()
    daemon_error: Optional[Problem] = None


@dataclass(frozen=True)
class LinkChange:
    """A link's type changed. A new peer changes from UNKNOWN, a removed one to UNKNOWN."""

    peer: str
    before: LinkType
    after: LinkType


@dataclass(frozen=True)
class Changes:
    """The differences between two snapshots; falsy when there is none.

    Byte counters, handshake times and the stamp change all the time and do not count. ``links`` is true when a link's
    type, endpoint or relay changed, or the set of links; ``link_changes`` has the types.
    """

    daemon: bool = False
    state: bool = False
    self_node: bool = False
    peers: bool = False
    links: bool = False
    health: bool = False
    link_changes: Tuple[LinkChange, ...] = ()

    def __bool__(self) -> bool:
        return self.daemon or self.state or self.self_node or self.peers or self.links or self.health


def snapshot_of(status: Status, stamp: float) -> Snapshot:
    """Return the Snapshot of a Status."""
    return Snapshot(stamp, status, links_of(status))


def snapshot_of_error(error: OverlayError, stamp: float) -> Snapshot:
    """Return the Snapshot of an error that a call to the daemon raised."""
    return Snapshot(stamp, daemon_error=error.problem())


def diff(old: Optional[Snapshot], new: Snapshot) -> Changes:
    """Return the :class:`Changes` from ``old`` (None: there was none, so everything changed) to ``new``."""
    before = {} if old is None else {link.peer: link for link in old.links}
    after = {link.peer: link for link in new.links}
    events = []
    for name in sorted(set(before) | set(after)):
        old_type = before[name].type if name in before else link_types.UNKNOWN
        new_type = after[name].type if name in after else link_types.UNKNOWN
        if old_type != new_type:
            events.append(LinkChange(name, old_type, new_type))
    if old is None:
        return Changes(daemon=True, state=True, self_node=True, peers=True, links=True, health=True,
                       link_changes=tuple(events))
    was, now = old.status, new.status
    return Changes(
        daemon=old.daemon_error != new.daemon_error or was.version != now.version,
        state=(was.state, was.have_node_key, was.refused) != (now.state, now.have_node_key, now.refused),
        self_node=(was.self_node, was.suffix, was.magic_dns) != (now.self_node, now.suffix, now.magic_dns),
        peers=was.peers != now.peers,
        links=tuple(map(_path, old.links)) != tuple(map(_path, new.links)),
        health=set(was.health) != set(now.health),
        link_changes=tuple(events))


def _path(link: Link) -> Tuple[str, LinkType, str, str]:
    return link.peer, link.type, link.endpoint, link.relay
