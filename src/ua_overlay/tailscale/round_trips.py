"""Decide which links to measure: those with traffic, each at most once in ten seconds. Pure.

A disco ping makes a link active for 45 s, so only links that carry data anyway are measured.
"""
from typing import Dict, List, Mapping, Tuple

from ua_overlay import link_types
from ua_overlay.tailscale.dead_paths import LinkSample

#: Seconds between two measurements of one link.
PERIOD = 10.0
#: Measurements per call: a robot with 1,000 busy links measures some of them each time.
MOST = 5
#: Bytes that a link must have carried since its last measurement. A keepalive has 32.
TRAFFIC = 200


class RoundTrips:
    """Takes samples of all links and names those to measure now."""

    def __init__(self) -> None:
        #: Peer -> (time of the last measurement, bytes that the link had carried by then).
        self._measured: Dict[str, Tuple[float, int]] = {}

    def due(self, now: float, samples: Mapping[str, LinkSample]) -> List[str]:
        """Return the peers to ping now, those that have waited longest first.

        :param now: seconds of a monotonic clock.
        """
        for peer in [peer for peer in self._measured if peer not in samples]:
            del self._measured[peer]
        waiting = []
        for peer, sample in samples.items():
            carried = sample.tx + sample.rx
            at, before = self._measured.setdefault(peer, (float('-inf'), carried))
            if carried < before:  # a new daemon counts from zero
                self._measured[peer] = (at, carried)
            elif sample.type in link_types.CARRYING and now - at >= PERIOD and carried - before >= TRAFFIC:
                waiting.append((at, peer, carried))
        chosen = sorted(waiting)[:MOST]
        for _, peer, carried in chosen:
            self._measured[peer] = (now, carried)
        return [peer for _, peer, _ in chosen]
