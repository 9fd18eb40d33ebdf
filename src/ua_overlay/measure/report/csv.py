"""A report as CSV: a table of all samples, and a table of the report's numbers. Pure."""
import csv
import io
from typing import Any, Iterable, List, Optional, Sequence, Tuple

from ua_overlay.measure.report.data import Data, label_of, variant_of
from ua_overlay.measure.stats import Estimate
from ua_overlay.measure.tools.registry import TOOLS, metrics

SAMPLE = ('id', 'scenario', 'place', 'link', 'source', 'target', 'path', 'expected', 'repetition', 'started',
          'duration_s', 'tool', 'settings', 'metric', 'unit', 'value', 'source_cpu_percent', 'target_cpu_percent',
          'verdict', 'status', 'problem')
SUMMARY = ('metric', 'unit', 'settings', 'place', 'scenario', 'link', 'n', 'median', 'low95', 'high95', 'minimum',
           'mean', 'maximum', 'change_percent', 'change_percent_low95', 'change_percent_high95', 'change',
           'change_low95', 'change_high95')


def samples(data: Data) -> str:
    """A line for each sample and metric; an excluded sample has one line with an empty value."""
    rows: List[Sequence[Any]] = []
    for each in data.samples:
        of_tool = TOOLS[each.tool].metrics
        for metric in of_tool if each.ok else of_tool[:1]:
            value = metric.value(each.values) if each.ok else None
            rows.append((each.id, each.scenario, each.place, label_of(each), each.source, each.target, each.path,
                         each.expected, each.repetition, each.started, each.duration, each.tool, variant_of(each),
                         metric.key, metric.unit, value, each.cpu.get('source_percent'),
                         each.cpu.get('target_percent'), each.proof.verdict, each.status, each.problem))
    return _text(SAMPLE, rows)


def summary(data: Data) -> str:
    """A line for each metric, place and link; positive changes are worse."""
    rows: List[Sequence[Any]] = []
    for key, metric in metrics().items():
        for row in data.rows(key):
            pieces, group = row.group.pieces(metric), row.group
            changes: Tuple[Optional[float], ...] = (None,) * 6
            if row.change:
                changes = _ends(row.change.percent) + _ends(row.change.absolute)
            ends = (min(pieces), sum(pieces) / len(pieces), max(pieces)) if pieces else (None,) * 3
            rows.append((key, metric.unit, group.variant, group.place, group.scenario, group.label, row.estimate.n)
                        + _ends(row.estimate) + ends + changes)
    return _text(SUMMARY, rows)


def _ends(estimate: Estimate) -> Tuple[Optional[float], ...]:
    return estimate.value, estimate.low, estimate.high


def _text(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(titles)
    writer.writerows(['' if value is None else '{:.6g}'.format(value) if isinstance(value, float) else _safe(value)
                      for value in row] for row in rows)
    return stream.getvalue()


def _safe(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    return "'" + value if isinstance(value, str) and value[:1] in ('=', '+', '-', '@', '\t', '\r') else value
