"""Decide when to have tailscaled look for the better path that a link had before. Pure.

A link that lost its UDP path goes by DERP, or by a relay. tailscaled looks for a direct path at most every 5 s, and
only when it sends; both ends must look at about the same time, because the packet of each opens its own NAT for the
other's (tailscale.com v1.102.5, wgengine/magicsock/endpoint.go: send, sendDiscoPingsLocked, discoPingInterval). A disco
ping that is asked for through the LocalAPI tries every candidate at once, without that limit (discoPing). It does not
make tailscaled ask for its own addresses again. It does so every 20 to 26 s (magicsock.go, updateEndpoints), or when
told to (`debug?action=restun`), which is of use when UDP has just come back: a NAT may have given it another port.

Only links that carry data are looked after, and only those that had a better path since this program started, so that
a network without UDP costs nothing.
"""
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional

from ua_overlay import link_types
from ua_overlay.link_types import LinkType
from ua_overlay.tailscale.dead_paths import LinkSample
from ua_overlay.tailscale.round_trips import TRAFFIC

#: Seconds from the loss of a path to the first look: tailscaled looks for a relay by itself then, and a ping while it
#: does would make it wait for its next search, half a minute later (discoverUDPRelayPathsInterval).
FIRST = 5.0
#: Seconds between two looks: this, or the given share of the time since the loss, and at most LONGEST.
PERIOD, SHARE, LONGEST = 1.0, 1 / 30, 60.0
#: Seconds between two looks for all links together: a robot with 50 links by DERP looks after them in turn.
GAP = 0.5
#: Seconds between two requests for this robot's own addresses.
RESTUN_PERIOD = 20.0


@dataclass
class _Hope:
    """What is remembered about one link."""

    #: The best type that it had.
    best: LinkType
    type: LinkType
    #: Since when it is worse; None: it is not.
    lost: Optional[float] = None
    looked: float = float('-inf')
    #: Bytes that it has carried, and that it had carried by the last look.
    total: int = 0
    carried: int = 0


class BetterPaths:
    """Takes samples of all links."""

    def __init__(self) -> None:
        self._hopes: Dict[str, _Hope] = {}
        self._looked = float('-inf')
        self._restunned = float('-inf')
        self._udp_is_back = False

    def due(self, now: float, samples: Mapping[str, LinkSample]) -> List[str]:
        """Return the peers to look for now with a disco ping: none or one, that which has waited longest.

        :param now: seconds of a monotonic clock.
        """
        for peer in [peer for peer in self._hopes if peer not in samples]:
            del self._hopes[peer]
        waiting = []
        for peer, sample in samples.items():
            if sample.type not in link_types.CARRYING and peer not in self._hopes:
                continue
            hope = self._take(now, peer, sample)
            if _is_due(hope, now):
                waiting.append((hope.looked, peer))
        if not waiting or now - self._looked < GAP:
            return []
        _, chosen = min(waiting)
        hope, self._looked = self._hopes[chosen], now
        hope.looked, hope.carried = now, hope.total
        return [chosen]

    def wants_addresses(self, now: float) -> bool:
        """Return whether tailscaled should ask for its own addresses again: UDP has come back, and not every link has
        its better path yet. Call it after :meth:`due`."""
        if not self._udp_is_back or now - self._restunned < RESTUN_PERIOD:
            return False
        self._udp_is_back = False
        if all(hope.lost is None for hope in self._hopes.values()):
            return False
        self._restunned = now
        return True

    def _take(self, now: float, peer: str, sample: LinkSample) -> _Hope:
        hope, total = self._hopes.get(peer), sample.tx + sample.rx
        if hope is None or total < hope.total:  # new, or a new daemon
            hope = self._hopes[peer] = _Hope(sample.type, sample.type, carried=total)
        if hope.type == link_types.DERP and hope.lost is not None and sample.type in link_types.BY_UDP:
            self._udp_is_back = True
        hope.type, hope.total = sample.type, total
        if not link_types.is_better(hope.best, sample.type):
            hope.best, hope.lost = sample.type, None
        elif sample.type not in link_types.CARRYING:
            hope.lost = None
        elif hope.lost is None:
            hope.lost = now
        return hope


def period(since_loss: float) -> float:
    """Return the seconds between two looks for a path that was lost so many seconds ago."""
    return min(LONGEST, max(PERIOD, SHARE * since_loss))


def _is_due(hope: _Hope, now: float) -> bool:
    return (hope.lost is not None and hope.best in link_types.BY_UDP and now - hope.lost >= FIRST
            and now - hope.looked >= period(now - hope.lost) and hope.total - hope.carried >= TRAFFIC)
