"""A report as CSV: one table of samples for one's own analysis, one of what the report says."""
import csv
import io

from ua_overlay.measure.report import data as report_data

SAMPLE = ('id', 'scenario', 'place', 'link', 'source', 'target', 'path', 'expected', 'repetition', 'started',
          'duration_s', 'tool', 'settings', 'metric', 'unit', 'value', 'source_cpu_percent', 'target_cpu_percent',
          'verdict', 'status', 'problem')
SUMMARY = ('metric', 'unit', 'settings', 'place', 'scenario', 'link', 'n', 'median', 'low95', 'high95', 'minimum',
           'mean', 'maximum', 'change_percent', 'change_percent_low95', 'change_percent_high95', 'change',
           'change_low95', 'change_high95')


def samples(data):
    """A line for each sample and metric; samples that were left out have an empty value (str)."""
    rows = []
    for each in data.samples:
        metrics = [metric for metric in report_data.METRICS.values() if metric.tool == each['tool']]
        for metric in metrics if each['status'] == 'ok' else metrics[:1]:
            value = metric.of(each['values']) if each['status'] == 'ok' else None
            rows.append((each['id'], each['scenario'], each['place'], report_data.label_of(each), each['source'],
                         each['target'], each['path'], each['expected'], each['repetition'], each['started'],
                         each['duration'], each['tool'], report_data.variant_of(each), metric.key, metric.unit, value,
                         each['cpu'].get('source_percent'), each['cpu'].get('target_percent'),
                         each['proof'].get('verdict'), each['status'], each['problem']))
    return _text(SAMPLE, rows)


def summary(data):
    """A line for each metric, place and link (str); positive changes are worse."""
    rows = []
    for key, metric in report_data.METRICS.items():
        for row in data.rows(key):
            pieces, group = row.group.pieces(metric), row.group
            rows.append((key, metric.unit, group.variant, group.place, group.scenario, group.label, row.estimate.n)
                        + _ends(row.estimate) + (min(pieces), sum(pieces) / len(pieces), max(pieces))
                        + (_ends(row.change.percent) + _ends(row.change.absolute) if row.change else (None,) * 6))
    return _text(SUMMARY, rows)


def _ends(estimate):
    return estimate.value, estimate.low, estimate.high


def _text(headers, rows):
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(headers)
    writer.writerows(['' if value is None else '{:.6g}'.format(value) if isinstance(value, float) else _safe(value)
                      for value in row] for row in rows)
    return stream.getvalue()


def _safe(value):
    """Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return "'" + value if isinstance(value, str) and value[:1] in ('=', '+', '-', '@', '\t', '\r') else value
