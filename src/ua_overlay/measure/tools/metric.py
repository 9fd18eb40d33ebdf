"""The numbers that a report computes from the values of a tool. Pure."""
import statistics
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

from ua_overlay.measure import stats

#: `values` of a sample; Tool.values has their names and units.
Values = Dict[str, Any]
#: Computes one number from the values of a sample; None when they lack it.
Number = Callable[[Values], Optional[float]]


@dataclass(frozen=True)
class Metric:
    """A number with one value for each repetition.

    :ivar tool: the kind of tool that measures it.
    :ivar value: computes the number of a repetition.
    :ivar pieces: extracts the single measurements behind it (a ping, a second of iperf3); None if there are none.
    :ivar change: computes the cost of the overlay from raw and overlay; None if they are not compared.
    :ivar heading: heading of its part of the report, by place; '' for no such part.
    :ivar piece: the name of one of ``pieces`` in the caption of that part.
    :ivar limited: whether the capacity of the link, less headers, limits it: figures then show that as lines.
    :ivar over_days: its position, from 1, among the figures of a run of hours or days; 0 for no figure.
    """

    tool: str
    key: str
    name: str
    unit: str
    value: Number
    pieces: Optional[Callable[[Values], List[float]]] = None
    change: Optional[Callable[[Sequence[stats.Pair]], Optional[stats.Change]]] = None
    heading: str = ''
    piece: str = ''
    over_days: int = 0
    limited: bool = False


def median(key: str) -> Number:
    return lambda values: statistics.median(values[key]) if values.get(key) else None


def number(key: str, factor: float = 1.0) -> Number:
    return lambda values: values[key] * factor if values.get(key) is not None else None


def percentile(key: str, share: float) -> Number:
    """``share``: 0 to 1."""
    return lambda values: stats.percentile(values[key], share) if values.get(key) else None


def every(key: str, factor: float = 1.0) -> Callable[[Values], List[float]]:
    return lambda values: [value * factor for value in values.get(key) or []]


def lost_percent(values: Values) -> Optional[float]:
    """The share of ``sent`` that was not ``received``, in %."""
    return 100.0 * (1 - values['received'] / values['sent']) if values.get('sent') else None
