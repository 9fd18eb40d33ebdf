"""The last parts of a report: the excluded samples, all numbers, and how they were made. Pure."""
from ua_overlay.measure import paths, stats
from ua_overlay.measure.report.data import RAW, Data
from ua_overlay.measure.report.numbers import estimate_text, with_variant
from ua_overlay.measure.report.parts import Part, Table
from ua_overlay.measure.tools.registry import metrics

#: The report lists at most this many excluded samples; over days there are many.
MOST_LEFT_OUT = 50


def left_out(data: Data) -> Part:
    title = 'What was left out'
    if not data.left_out:
        return Part(title, ('No sample was left out: none failed, and none went another way than its label says.',))
    rows = tuple((each.id, each.status, each.problem or '-') for each in data.left_out[-MOST_LEFT_OUT:])
    more = ' (the last {}; samples.csv has all)'.format(MOST_LEFT_OUT) if len(data.left_out) > MOST_LEFT_OUT else ''
    return Part(title, (
        'A sample is excluded when the counters of tailscaled say that its bytes went another way than its label; it '
        'failed when the tool gave no number. Neither is in any figure.',
        Table('{} of {} samples{}'.format(len(data.left_out), len(data.samples), more), ('sample', 'status', 'why'),
              rows)))


def all_numbers(data: Data) -> Part:
    every = [row for key in metrics() for row in data.rows(key)]
    lines = []
    for row in every:
        unit, change = row.metric.unit, row.change
        lines.append((with_variant(row.metric.name, row.group.variant), data.place_name(row.group), row.group.label,
                      str(row.estimate.n), estimate_text(row.estimate, unit),
                      estimate_text(change.percent, '%') if change else '-',
                      estimate_text(change.absolute, unit) if change else '-'))
    table = Table('Medians of repetitions with 95 % intervals; changes against the raw network of the same place, '
                  'positive is worse', ('', 'place', 'link', 'n', 'median', 'change', 'difference'), tuple(lines))
    if not any(row.estimate.n < stats.FEW for row in every):
        return Part('All numbers', (table,))
    return Part('All numbers', ('Some have fewer than {} repetitions: their intervals say little.'.format(stats.FEW),
                                table))


def method(data: Data) -> Part:
    return Part('How the numbers were made', (
        'A repetition gives one number: the mean throughput of iperf3, the median of its round trips, the jitter of '
        'its UDP run. n counts repetitions. Intervals are percentile bootstraps over repetitions ({} draws, fixed '
        'seed): packets of one run are not independent of each other and are not counted as if they were. Places are '
        'not drawn: an interval of a mean over places is that of these places.'.format(stats.RESAMPLES),
        'Header floor: TCP over IPv4 carries {:.2f} % of an Ethernet\'s bits as data raw (MTU {}, time stamps) and '
        '{:.2f} % inside WireGuard (MTU {}). "Link capacity less headers" in figures is the configured rate of the '
        'slower emulated link of the two ends, times that share; a rate limiter that does not count Ethernet\'s gaps '
        'and check sums lets a little more through.'.format(
            100 * data.raw_efficiency, data.mtu(RAW), 100 * data.overlay_efficiency, data.mtu(paths.OVERLAY))))
