"""The numbers of a report: medians, 95 % intervals, the two formulas, what headers alone cost. Pure; no library.

Intervals are percentile bootstraps (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) with a
fixed seed, so that the same samples always give the same report. What is drawn again and again is the repetition, never
the single packet: packets of one run share their moment and are not independent of each other.
"""
import functools
import math
import random
import statistics
from dataclasses import dataclass

SEED = 20240
RESAMPLES = 1000
#: With fewer repetitions than this, an interval says little, and the report says so.
FEW = 10

#: Bytes of an Ethernet frame on the wire around its IP packet: preamble 8, header 14, check sum 4, gap 12 (IEEE 802.3).
ETHERNET = 38
#: IPv4 20, TCP 20 (RFC 9293), time stamps 12 (RFC 7323).
TCP_IPV4 = 52
#: WireGuard data message around an inner packet: IPv4 20, UDP 8, type 4, receiver 4, counter 8, tag 16.
WIREGUARD_IPV4 = 60
#: Of that, what a stream has in its own headers.
UDP_IPV4 = 28
RAW_MTU, OVERLAY_MTU = 1500, 1280
#: A WireGuard message in a DERP frame: type and length 5, key of the peer 32; TLS 1.3 record 22.
DERP_FRAME, TLS_RECORD = 37, 22


@dataclass(frozen=True)
class Estimate:
    """A number from ``n`` repetitions; ``low`` to ``high`` is its 95 % interval, None when one repetition gave it."""

    value: float
    low: object
    high: object
    n: int


@dataclass(frozen=True)
class Change:
    """What the overlay costs: ``percent`` by the study's formula and ``absolute`` in the unit of the samples, both
    Estimate. Positive is worse."""

    percent: Estimate
    absolute: Estimate


def percentile(values, share):
    """The value below which ``share`` (0 to 1) of ``values`` lie, linear between neighbours (Hyndman and Fan, type 7).

    :raises ValueError: there is no value.
    """
    if not values:
        raise ValueError('no values')
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def estimate(values):
    """Median of ``values`` (one a repetition) with its 95 % interval; None without values."""
    if not values:
        return None
    return _estimate_of(statistics.median(values), drawn_medians(tuple(values)) if len(values) > 1 else [], len(values))


def throughput_loss(pairs):
    """(raw - overlay) / raw * 100, the study's first formula, of medians; the mean over places where there are several.

    :param pairs: a (raw, overlay) for each place; both lists, one value a repetition.
    :returns: Change; None when there is no pair, or one is empty or has a raw median of nothing.
    """
    return _change(pairs, -1)


def rtt_increase(pairs):
    """(overlay - raw) / raw * 100, the study's second formula, of medians; as :func:`throughput_loss`."""
    return _change(pairs, 1)


def _change(pairs, sign):
    if not pairs or any(not raw or not overlay or not statistics.median(raw) for raw, overlay in pairs):
        return None
    n = min(len(values) for pair in pairs for values in pair)
    # Places stay, repetitions are drawn: the interval is that of these places, not of all that there might be.
    drawn = [(drawn_medians(tuple(raw)), drawn_medians(tuple(overlay))) for raw, overlay in pairs]
    found = [_mean_change([(raw[turn], overlay[turn]) for raw, overlay in drawn], sign)
             for turn in range(RESAMPLES if n > 1 else 0)]
    percent, absolute = _mean_change([(statistics.median(raw), statistics.median(overlay)) for raw, overlay in pairs],
                                     sign)
    return Change(_estimate_of(percent, [each[0] for each in found if each[0] is not None], n),
                  _estimate_of(absolute, [each[1] for each in found], n))


def _mean_change(medians, sign):
    """(percent or None, absolute), each the mean over (raw, overlay) medians."""
    percents = [sign * (overlay - raw) / raw * 100 for raw, overlay in medians if raw]
    return (sum(percents) / len(percents) if percents else None,
            sum(sign * (overlay - raw) for raw, overlay in medians) / len(medians))


@functools.lru_cache(maxsize=1024)
def drawn_medians(values):
    """Medians of RESAMPLES draws with replacement from ``values`` (a tuple). The seed depends on the values, so that
    two lists are drawn independently of each other."""
    draw = random.Random('{}:{!r}'.format(SEED, values))
    upper, lower = len(values) // 2, (len(values) - 1) // 2
    found = []
    for _ in range(RESAMPLES):
        ordered = sorted(draw.choices(values, k=len(values)))
        found.append((ordered[lower] + ordered[upper]) / 2)
    return found


def _estimate_of(value, found, n):
    ends = (percentile(found, 0.025), percentile(found, 0.975)) if found else (None, None)
    return Estimate(value, ends[0], ends[1], n)


def raw_efficiency(mtu=RAW_MTU):
    """Share of an Ethernet's bits that are data of TCP over IPv4: 0.9415 with MTU 1500."""
    return (mtu - TCP_IPV4) / (mtu + ETHERNET)


def overlay_efficiency(mtu=OVERLAY_MTU):
    """The same inside WireGuard over IPv4: 0.8911 with MTU 1280. Padding (to 16 bytes) included."""
    return (mtu - TCP_IPV4) / (_padded(mtu) + WIREGUARD_IPV4 + ETHERNET)


def derp_efficiency(mtu=OVERLAY_MTU):
    """The same over one leg to a DERP relay, whose stream is itself TCP over IPv4: 0.843 with MTU 1280."""
    message = _padded(mtu) + WIREGUARD_IPV4 - UDP_IPV4
    return (mtu - TCP_IPV4) / ((message + DERP_FRAME + TLS_RECORD) / raw_efficiency())


def _padded(size):
    return -(-size // 16) * 16


def header_floor(efficiency, raw=None):
    """Throughput in % that headers alone cost against the raw network (its efficiency; None: MTU 1500): 5.35 for
    WireGuard, 10.4 for a leg of DERP."""
    return (1 - efficiency / (raw or raw_efficiency())) * 100
