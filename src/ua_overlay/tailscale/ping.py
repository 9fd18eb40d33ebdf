"""Measure the path to one peer with tailscaled's own pings."""
import time
from dataclasses import dataclass, replace
from typing import Callable, Optional

from ua_overlay import link_types
from ua_overlay.link_types import LinkType
from ua_overlay.protocols import Clock
from ua_overlay.tailscale.api import PingApi
from ua_overlay.tailscale.links import classify_ping
from ua_overlay.tailscale.localapi import DaemonError

#: Seconds between two pings.
INTERVAL = 0.2
#: Shortest and longest time for one ping, in seconds.
SHORTEST, LONGEST = 0.05, 2.0


@dataclass(frozen=True)
class PingSummary:
    """type: link type of the best answer; rtt: smallest round trip of that type in seconds; answers: how many came;
    endpoint, relay: as in tailscale.model.Link."""

    type: LinkType
    rtt: float
    endpoint: str = ''
    relay: str = ''
    answers: int = 0


def ping_peer(api: PingApi, address: str, timeout: float = 5.0, good_answers: int = 3, clock: Clock = time.monotonic,
              sleep: Callable[[float], None] = time.sleep) -> PingSummary:
    """Ping ``address`` until the path is stable, and return a :class:`PingSummary`.

    tailscaled sends the first disco ping on DERP and on every candidate path at once, and reports the first pong, which
    often comes by DERP. So pings follow until ``good_answers`` answers came by UDP, or the time is over.

    :param timeout: seconds for all pings together.
    :raises DaemonError: with code NO_ANSWER when no ping was answered; also other OverlayErrors of the LocalAPI.
    """
    deadline = clock() + timeout
    best: Optional[PingSummary] = None
    answers = 0
    good = 0
    while good < good_answers:
        left = deadline - clock()
        if left <= 0:
            break
        try:
            answer = api.ping(address, timeout=max(SHORTEST, min(left, LONGEST)))
        except DaemonError as error:
            if error.code != 'NO_ANSWER':
                raise
            continue
        if answer.error:
            raise DaemonError('{} cannot be pinged: {}.'.format(address, answer.error), code='NO_ANSWER')
        answers += 1
        kind = classify_ping(answer)
        if best is None or link_types.is_better(kind, best.type):
            best = PingSummary(kind, answer.latency, answer.endpoint or answer.peer_relay, answer.derp)
        elif kind == best.type:
            best = replace(best, rtt=min(best.rtt, answer.latency))
        good += kind in link_types.BY_UDP
        if good < good_answers:
            sleep(INTERVAL)
    if best is None:
        raise DaemonError('{} did not answer within {:.1f} s.'.format(address, timeout), code='NO_ANSWER')
    return replace(best, answers=answers)


#: The text that `tailscale ping` prints after "pong" (tailscale.com v1.98.10, cmd/tailscale/cli/ping.go) -> link type.
_VIA = ((' via DERP(', link_types.DERP), (' via peer-relay(', link_types.PEER_RELAY), (' via ', link_types.DIRECT))


def parse_answers(text: str) -> str:
    """Return the link type of the last answer that `tailscale ping` printed, '' without an answer.

    For a host on which the command runs over ssh, because its LocalAPI is out of reach.
    """
    answers = [line for line in text.splitlines() if line.startswith('pong ')]
    return next((kind for words, kind in _VIA if answers and words in answers[-1]), '')
