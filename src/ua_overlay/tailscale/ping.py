"""Measure the way to one peer with tailscaled's own pings."""
import time
from dataclasses import dataclass, replace

from ua_overlay import link_types
from ua_overlay.tailscale.links import classify_ping
from ua_overlay.tailscale.localapi import DaemonError

#: Seconds between two pings.
INTERVAL = 0.2


@dataclass(frozen=True)
class PingSummary:
    """type: link type of the best answer; rtt: smallest latency of that type in seconds; answers: how many came."""

    type: str
    rtt: float
    endpoint: str = ''
    relay: str = ''
    answers: int = 0


def ping_peer(api, address, timeout=5.0, good_answers=3, clock=time.monotonic, sleep=time.sleep):
    """Ping ``address`` until the path is stable, and return a :class:`PingSummary`.

    The first disco ping goes out on DERP and on every candidate path at once and its answer is the first pong, often
    by DERP; so it goes on until ``good_answers`` answers came by a better path, or the time is over.

    :param api: localapi.LocalApi.
    :param timeout: seconds for all pings together.
    :raises DaemonError: code NO_ANSWER when nothing came back; other OverlayErrors of the LocalAPI.
    """
    deadline = clock() + timeout
    best = None
    answers = 0
    good = 0
    while good < good_answers:
        left = deadline - clock()
        if left <= 0:
            break
        try:
            ping = api.ping(address, timeout=max(0.05, min(left, 2.0)))
        except DaemonError as error:
            if error.code != 'NO_ANSWER':
                raise
            continue
        if ping.error:
            raise DaemonError('{} cannot be pinged: {}.'.format(address, ping.error), code='NO_ANSWER')
        answers += 1
        found = classify_ping(ping)
        if best is None or link_types.is_better(found, best.type):
            best = PingSummary(found, ping.latency, ping.endpoint or ping.peer_relay, ping.derp)
        elif found == best.type:
            best = replace(best, rtt=min(best.rtt, ping.latency))
        good += found in link_types.BY_UDP
        if good < good_answers:
            sleep(INTERVAL)
    if best is None:
        raise DaemonError('{} did not answer within {:.1f} s.'.format(address, timeout), code='NO_ANSWER')
    return replace(best, answers=answers)
