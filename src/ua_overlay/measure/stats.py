"""The statistics of a report: medians, 95 % intervals and the study's two formulas. Pure; no library.

Intervals are percentile bootstraps (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13) with a
fixed seed, so that the same samples always give the same report. The bootstrap draws whole repetitions, never single
packets: packets of one run share their moment and are not independent of each other.
"""
import functools
import math
import random
import statistics
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

SEED = 20240
RESAMPLES = 1000
#: With fewer repetitions than this, an interval says little, and the report says so.
FEW = 10

#: (raw, overlay) at one place: one value for each repetition.
Pair = Tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """A number from ``n`` repetitions; ``low`` to ``high`` is its 95 % interval, None with one repetition."""

    value: float
    low: Optional[float]
    high: Optional[float]
    n: int


@dataclass(frozen=True)
class Change:
    """The cost of the overlay: ``percent`` by the study's formula, ``absolute`` in the unit of the samples. Positive is
    worse."""

    percent: Estimate
    absolute: Estimate


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of ``values`` lie, linear between neighbours (Hyndman and Fan, type 7).

    :raises ValueError: there is no value.
    """
    if not values:
        raise ValueError('no values')
    ordered = sorted(values)
    position = (len(ordered) - 1) * share
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def estimate(values: Sequence[float]) -> Optional[Estimate]:
    """Median of ``values`` (one for each repetition) with its 95 % interval; None without values."""
    if not values:
        return None
    return _estimate_of(statistics.median(values), drawn_medians(tuple(values)) if len(values) > 1 else [], len(values))


def throughput_loss(pairs: Sequence[Pair]) -> Optional[Change]:
    """The study's first formula, (raw - overlay) / raw * 100 of medians; the mean over places.

    :param pairs: one for each place.
    :returns: None when there is no pair, or one is empty or has a raw median of 0.
    """
    return _change(pairs, -1)


def rtt_increase(pairs: Sequence[Pair]) -> Optional[Change]:
    """The study's second formula, (overlay - raw) / raw * 100 of medians; as :func:`throughput_loss`."""
    return _change(pairs, 1)


def _change(pairs: Sequence[Pair], sign: int) -> Optional[Change]:
    if not pairs or any(not raw or not overlay or not statistics.median(raw) for raw, overlay in pairs):
        return None
    n = min(len(values) for pair in pairs for values in pair)
    # Only repetitions are resampled: the interval holds for these places, not for all places.
    drawn = [(drawn_medians(tuple(raw)), drawn_medians(tuple(overlay))) for raw, overlay in pairs]
    changes = [_mean_change([(raw[turn], overlay[turn]) for raw, overlay in drawn], sign)
               for turn in range(RESAMPLES if n > 1 else 0)]
    percent, absolute = _mean_change([(statistics.median(raw), statistics.median(overlay)) for raw, overlay in pairs],
                                     sign)
    # Every raw median is above 0 here, so the percentage is defined.
    assert percent is not None
    return Change(_estimate_of(percent, [each[0] for each in changes if each[0] is not None], n),
                  _estimate_of(absolute, [each[1] for each in changes], n))


def _mean_change(medians: Sequence[Tuple[float, float]], sign: int) -> Tuple[Optional[float], float]:
    """(percent or None, absolute), each the mean over (raw, overlay) medians."""
    percents = [sign * (overlay - raw) / raw * 100 for raw, overlay in medians if raw]
    return (sum(percents) / len(percents) if percents else None,
            sum(sign * (overlay - raw) for raw, overlay in medians) / len(medians))


@functools.lru_cache(maxsize=1024)
def drawn_medians(values: Tuple[float, ...]) -> List[float]:
    """Medians of RESAMPLES draws with replacement from ``values``.

    The seed depends on the values, so that two lists are drawn independently of each other.
    """
    draw = random.Random('{}:{!r}'.format(SEED, values))
    upper, lower = len(values) // 2, (len(values) - 1) // 2
    medians = []
    for _ in range(RESAMPLES):
        ordered = sorted(draw.choices(values, k=len(values)))
        medians.append((ordered[lower] + ordered[upper]) / 2)
    return medians


def _estimate_of(value: float, drawn: Sequence[float], n: int) -> Estimate:
    if not drawn:
        return Estimate(value, None, None, n)
    return Estimate(value, percentile(drawn, 0.025), percentile(drawn, 0.975), n)
