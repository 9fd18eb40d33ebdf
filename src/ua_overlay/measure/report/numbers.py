"""Numbers and names as people read them. Pure."""
from typing import Any, Optional

from ua_overlay.measure.stats import Estimate


def number_text(value: Any) -> str:
    """A value with three digits and no exponent; '-' for None."""
    if value is None or value == '':
        return '-'
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
        # Adding 0.0 turns -0.0 into 0.0.
        return '{:.{}f}'.format(round(value, digits) + 0.0, digits)
    return str(value)


def estimate_text(estimate: Optional[Estimate], unit: str) -> str:
    """`5.9 [5.7, 6.1] %`."""
    if estimate is None:
        return '-'
    interval = '' if estimate.low is None else ' [{}, {}]'.format(number_text(estimate.low), number_text(estimate.high))
    return '{}{} {}'.format(number_text(estimate.value), interval, unit)


def with_variant(sentence: str, variant: str) -> str:
    """The sentence, followed by its settings in parentheses."""
    return '{} ({})'.format(sentence, variant) if variant else sentence


def numbered(name: str, number: int) -> str:
    """The name of the ``number``-th picture (from 0) of a kind: `tcp`, `tcp-2`."""
    return name if not number else '{}-{}'.format(name, number + 1)
