"""Decide whom to knock at while the server does not answer: team mates that have not been heard since. Pure.

A tailscaled that started without its server knows its peers from the map that it kept. But it connects to its home DERP
only when it sends something, and until then nobody reaches it (tailscale.com v1.102.5, wgengine/magicsock/derp.go:
goDerpConnect runs for a home that control confirmed, and for what is sent). So two robots that reboot wait for each
other, unless each of them sends first. A ping through the tunnel does. A disco ping does not, since each has a new
disco key, which the other does not know.
"""
from typing import Dict, List, Mapping, Tuple

from ua_overlay.tailscale.dead_paths import LinkSample

#: Seconds without the server before the first knock: its restart takes less.
GRACE = 3.0
#: Seconds between two knocks at one peer: at first, and after PATIENCE.
PERIOD, SLOW_PERIOD = 2.0, 15.0
#: Seconds after which a peer that does not answer is probably off.
PATIENCE = 60.0
#: A peer that was heard within this time needs no knock.
HEARD = 30.0
#: Knocks per call: a robot with 1,000 peers knocks at some of them each time.
MOST = 10


class Knocks:
    """Takes samples of all links and names the peers to ping now."""

    def __init__(self) -> None:
        #: Peer -> (bytes received, when that changed last, when it was knocked at last).
        self._peers: Dict[str, Tuple[int, float, float]] = {}
        self._since = float('-inf')
        self._alone = False

    def due(self, now: float, online: bool, samples: Mapping[str, LinkSample]) -> List[str]:
        """Return the peers to knock at now, those that have waited longest first.

        :param now: seconds of a monotonic clock.
        :param online: whether tailscaled is connected to its server.
        """
        if online:
            self._alone = False
            self._peers.clear()
            return []
        if not self._alone:
            self._alone, self._since = True, now + GRACE
        if now < self._since:
            return []
        waiting = []
        for peer in [peer for peer in self._peers if peer not in samples]:
            del self._peers[peer]
        period = PERIOD if now - self._since < PATIENCE else SLOW_PERIOD
        for peer, sample in samples.items():
            received, heard, knocked = self._peers.get(peer, (sample.rx, float('-inf'), float('-inf')))
            if sample.rx != received:
                received, heard = sample.rx, now
            self._peers[peer] = (received, heard, knocked)
            if now - heard >= HEARD and now - knocked >= period:
                waiting.append((knocked, peer))
        chosen = [peer for _, peer in sorted(waiting)[:MOST]]
        for peer in chosen:
            received, heard, _ = self._peers[peer]
            self._peers[peer] = (received, heard, now)
        return chosen
