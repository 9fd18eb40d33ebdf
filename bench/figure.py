"""Rows of measured values, and their form as text and JSON. Pure."""
import math
from dataclasses import dataclass, field
from typing import Dict, List

from ua_overlay.cli.shared.table import format_table


@dataclass
class Row:
    """Repeated measurements of one quantity.

    :ivar compare: label of the row that this one is divided by; '' for none.
    :ivar unit: of ``values``; '' for the figure's unit.
    """

    label: str
    values: List[float]
    compare: str = ''
    unit: str = ''


@dataclass
class Figure:
    """A table with its aims and notes.

    :ivar name: as `--only` takes it.
    :ivar aims: sentences, each with an aim, the measured value and whether it is reached.
    :ivar notes: context for judging the numbers.
    :ivar raw: values behind the rows, for `--json`.
    """

    name: str
    title: str
    unit: str
    rows: List[Row]
    aims: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    raw: Dict[str, list] = field(default_factory=dict)

    def row(self, label):
        return next(row for row in self.rows if row.label == label)


def quantile(values, share):
    """The value that ``share`` (0 to 1) of ``values`` do not exceed, linear between neighbours (Hyndman-Fan, type 7).

    :raises ValueError: there is no value.
    """
    if not values:
        raise ValueError('no values')
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def median(values):
    return quantile(values, 0.5)


def ratio(figure, row):
    """Median of ``row`` divided by that of the row it is compared with; None when one of them has no values."""
    if not row.compare or not row.values:
        return None
    base = figure.row(row.compare).values
    return median(row.values) / median(base) if base and median(base) else None


def verdict(name, value, aim, unit):
    """The sentence about an aim: ``value`` must not exceed ``aim``."""
    return '{}: {:.3g}{}, aim {:g}{}: {}'.format(name, value, unit, aim, unit, 'reached' if value <= aim else 'MISSED')


def number(value):
    """Three significant digits, without an exponent; '' for None."""
    if value is None:
        return ''
    if value == 0:
        return '0'
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return '{:.{}f}'.format(value, min(digits, 4))


def render(figure):
    """The figure as text for people."""
    rows = []
    for row in figure.rows:
        middle, most = (median(row.values), quantile(row.values, 0.95)) if row.values else (None, None)
        rows.append((row.label, row.unit or figure.unit, len(row.values), number(middle), number(most),
                     number(ratio(figure, row)), row.compare))
    lines = ['{}: {}'.format(figure.name, figure.title), '',
             format_table(('', 'UNIT', 'N', 'MEDIAN', 'P95', 'RATIO', 'OF MEDIANS, AGAINST'), rows), '']
    lines += figure.aims
    lines += ['- ' + note for note in figure.notes]
    return '\n'.join(lines) + '\n'


def as_dict(figure):
    """The figure for `--json`, with every value."""
    return {
        'name': figure.name, 'title': figure.title, 'aims': figure.aims, 'notes': figure.notes, 'raw': figure.raw,
        'rows': [{'label': row.label, 'unit': row.unit or figure.unit, 'n': len(row.values),
                  'median': median(row.values) if row.values else None,
                  'p95': quantile(row.values, 0.95) if row.values else None,
                  'compare': row.compare or None, 'ratio': ratio(figure, row), 'values': row.values}
                 for row in figure.rows]}
