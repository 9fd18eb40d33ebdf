"""The numbers that a report makes of what a tool measured. Pure."""
import statistics
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

from ua_overlay.measure import stats

#: `values` of a sample; Tool.values says what a tool puts there, and in which unit.
Values = Dict[str, Any]
#: Makes one number of the values of a sample; None when they do not have it.
Number = Callable[[Values], Optional[float]]


@dataclass(frozen=True)
class Metric:
    """A number that each repetition gives.

    :ivar tool: the kind of tool that measures it.
    :ivar value: makes the number of a repetition.
    :ivar pieces: makes the single measurements behind it (a ping, a second of iperf3); None: there are none.
    :ivar change: what the overlay costs, from raw and overlay; None: it is not compared.
    :ivar heading: of its part of the report, by place; '' for no such part.
    :ivar piece: what one of ``pieces`` is, in the caption of that part.
    :ivar limited: whether the capacity of the link, less headers, is its limit: figures then show that as lines.
    :ivar over_days: its position, from 1, among the figures of a run of hours or days; 0: it has none.
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
    """Of ``sent``, what is not among ``received``, in %."""
    return 100.0 * (1 - values['received'] / values['sent']) if values.get('sent') else None
