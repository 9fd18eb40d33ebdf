"""The figures of a report, drawn with matplotlib, which is imported when the first is drawn.

Each takes a report_data.Data and what to draw and returns a matplotlib Figure. Colours are those of Okabe and Ito
(Color Universal Design, 2008), which people with any colour vision tell apart; marks differ as well.
"""
import statistics
import textwrap

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import stats

COLOURS = {report_data.RAW: '#555555', link_types.DIRECT: '#0072B2', link_types.PEER_RELAY: '#E69F00',
           link_types.DERP: '#CC79A7', report_data.ANY: '#009E73'}
MARKS = {report_data.RAW: 'o', link_types.DIRECT: 's', link_types.PEER_RELAY: '^', link_types.DERP: 'D',
         report_data.ANY: 'v'}
STYLE = {'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True, 'grid.alpha': 0.3,
         'axes.axisbelow': True, 'svg.hashsalt': 'ua_overlay', 'figure.dpi': 100, 'legend.frameon': False,
         'axes.titlesize': 9, 'font.family': 'DejaVu Sans'}
WIDTH = 9.0
#: Panels of a figure over time at most; more places make further figures.
MOST_PANELS = 12
#: Panels have one axis unless the highest is so many times the lowest.
_ALIKE = 8


class ExtraError(OverlayError):
    """What draws is not installed."""

    code = 'MEASURE_EXTRA'


def library():
    """matplotlib. :raises ExtraError: it is not installed."""
    try:
        # An import of the package alone does not make its modules known.
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError as error:
        raise ExtraError('A report needs matplotlib ({}).'.format(error), 'pip install -r requirements/analysis.txt')
    return matplotlib


def figure(height, rows=1, columns=1, **options):
    """(matplotlib Figure, its axes as a 2-D array). ``height``: inches; the width is that of every figure here."""
    mpl = library()
    with mpl.rc_context(STYLE):
        drawn = mpl.figure.Figure(figsize=(WIDTH, height), layout='constrained')
        drawn.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
        return drawn, drawn.subplots(rows, columns, squeeze=False, **options)


def styled(function):
    """A function that draws, in the style of the report."""
    def drawn(*args, **options):
        with library().rc_context(STYLE):
            return function(*args, **options)
    drawn.__doc__ = function.__doc__
    return drawn


def places_of(rows):
    """The places of rows, in their order."""
    return list(dict.fromkeys(row.group.place for row in rows))


@styled
def over_time(data, rows):
    """Throughput over time, a panel a place: median of the repetitions each second, and where half of them lie."""
    places = places_of(rows)
    columns = min(len(places), 2 if len(places) <= 6 else 3 if len(places) <= 18 else 4)
    lines = -(-len(places) // columns)
    # What a cable carries beside what a radio does would leave of that a line on the floor.
    highest = [max((value for row in rows if row.group.place == place for value in row.group.pieces(row.metric)),
                   default=0.0) for place in places]
    alike = max(highest) <= _ALIKE * min(highest)
    # Not higher than a page.
    drawn, axes = figure(0.7 + min(2.3 * lines, 7.6), lines, columns, sharex=True, sharey=alike)
    for axis, place in zip(axes.flat, places):
        here = [row for row in rows if row.group.place == place]
        for row in here:
            _course(axis, row.group)
        _limits(axis, data, here)
        name = (data.places.get(place) or {}).get('name', place)
        axis.set_title('{} (n = {})'.format(folded(name, 60 // columns), _counts(here)),
                       fontsize=None if columns < 3 else 8)
    for axis in list(axes.flat)[len(places):]:
        axis.set_visible(False)
    for axis in list(axes.flat)[max(0, len(places) - columns):len(places)]:
        axis.set_xlabel('time / s')
        axis.tick_params(labelbottom=True)
    for axis in axes[:, 0]:
        axis.set_ylabel('TCP throughput / (Mbit/s)' if lines < 3 else 'TCP / (Mbit/s)')
    for axis in axes.flat:
        axis.set_ylim(bottom=0)
    legend(drawn, axes)
    return drawn


def _course(axis, group):
    runs = [each['values'].get('intervals_bps') or [] for each in group.samples]
    length = max(map(len, runs), default=0)
    seconds = [[run[second] / 1e6 for run in runs if second < len(run)] for second in range(length)]
    times = [second + 0.5 for second in range(length)]
    axis.plot(times, [statistics.median(values) for values in seconds], color=COLOURS[group.label], linewidth=1.4,
              marker=MARKS[group.label], markersize=3, markevery=max(1, length // 8), label=group.label)
    axis.fill_between(times, [stats.percentile(values, 0.25) for values in seconds],
                      [stats.percentile(values, 0.75) for values in seconds], color=COLOURS[group.label], alpha=0.2,
                      linewidth=0)


def _limits(axis, data, rows, ends=None):
    """What the link may carry of TCP, without the overlay and with it; from one x to another, or all along."""
    for capacity in sorted({row.group.capacity for row in rows if row.group.capacity}):
        for share, style, name in ((data.raw_efficiency, '--', 'link capacity less headers, raw'),
                                   (data.overlay_efficiency, ':', 'the same, WireGuard (header floor)')):
            options = {'color': 'black', 'linewidth': 0.9, 'linestyle': style, 'label': name}
            if ends:
                axis.plot(ends, [capacity * share / 1e6] * 2, **options)
            else:
                axis.axhline(capacity * share / 1e6, **options)


@styled
def by_place(data, rows):
    """Box plots of every single measurement by place and link; beside each the median of the repetitions with its 95 %
    interval."""
    metric = rows[0].metric
    places = list(dict.fromkeys(data.place_name(row.group) for row in rows))
    many = len(places) > 5
    drawn, axes = figure(4.6 if many else 3.6 + 0.05 * len(places))
    axis = axes[0][0]
    together = [[row for row in rows if data.place_name(row.group) == name] for name in places]
    step = 0.8 / max(map(len, together))
    for at, here in enumerate(together):
        for number, row in enumerate(here):
            _box(axis, row, at + (number - (len(here) - 1) / 2) * step, step)
        if metric.key == 'tcp':
            _limits(axis, data, here, (at - 0.45, at + 0.45))
    axis.set_xticks(range(len(places)))
    counts = [_counts(here) for here in together]
    axis.set_xticklabels(['{}\nn = {}'.format(folded(name, 24 if many else max(14, 72 // len(places))), count)
                          for name, count in zip(places, counts)],
                         fontsize=8 if many else None, rotation=40 if many else 0, ha='right' if many else 'center',
                         rotation_mode='anchor' if many else None)
    axis.grid(False, axis='x')
    axis.set_xlim(-0.5, len(places) - 0.5)
    scale(axis, [value for row in rows for value in row.group.pieces(metric)])
    axis.set_ylabel('{} / {}'.format(metric.name, unit(metric.unit)))
    legend(drawn, axes)
    return drawn


def _box(axis, row, centre, step):
    colour, pieces = COLOURS[row.group.label], row.group.pieces(row.metric)
    if len(pieces) > 4:
        parts = axis.boxplot([pieces], positions=[centre - step * 0.12], widths=step * 0.5, whis=(5, 95),
                             showfliers=False, manage_ticks=False, patch_artist=True,
                             medianprops={'color': 'black', 'linewidth': 1.2})
        parts['boxes'][0].set(facecolor=colour, alpha=0.45, edgecolor=colour)
        for part in parts['whiskers'] + parts['caps']:
            part.set(color=colour)
    else:
        axis.plot([centre - step * 0.12] * len(pieces), pieces, '_', color=colour, markersize=9)
    _mark(axis, centre + step * 0.28, row.estimate, row.group.label, row.group.label)


def _mark(axis, x, estimate, label, name=None, across=False):
    """The median and its interval; along x when ``across``."""
    ends = None
    if estimate.low is not None:
        ends = [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
    place = (estimate.value, x) if across else (x, estimate.value)
    axis.errorbar(*place, **{'xerr' if across else 'yerr': ends}, fmt=MARKS[label], color=COLOURS[label], markersize=5,
                  capsize=3, linewidth=1.2, markeredgecolor='black', markeredgewidth=0.5, label=name, zorder=3)


def scale(axis, values):
    """From nothing on; logarithmic where the largest would make the smallest vanish."""
    least = min(values, default=0)
    if least > 0 and max(values) > 30 * least:
        axis.set_yscale('log')
        axis.yaxis.set_major_formatter(library().ticker.FormatStrFormatter('%g'))
    else:
        most = max(values, default=0)
        # By what is drawn: a box leaves out its extremes, and lines may be higher than it.
        axis.set_ylim(bottom=0 if most > 0 else -0.03, top=1.06 * axis.get_ylim()[1] if most > 0 else 1)


@styled
def against_raw(data, throughput, trips):
    """Raw against overlay, throughput and round trip: medians with intervals, and the difference in words."""
    shown = [rows for rows in (throughput, trips) if any(row.change for row in rows)]
    most = max(len([row for row in rows if row.change]) for rows in shown)
    drawn, axes = figure(1.3 + 0.42 * most, 1, len(shown))
    names = [[_line_name(data, row) for row in rows if row.change] for rows in shown]
    for axis, rows, named in zip(axes[0], shown, names):
        changed = [row for row in rows if row.change]
        for line, row in enumerate(reversed(changed)):
            raw = stats.estimate(data.raw_of(row.group).values(row.metric))
            axis.plot([raw.value, row.estimate.value], [line, line], color='#999999', linewidth=2, zorder=1)
            _mark(axis, line, raw, report_data.RAW, report_data.RAW, across=True)
            _mark(axis, line, row.estimate, row.group.label, row.group.label, across=True)
            sign = -1 if row.metric.change is stats.throughput_loss else 1
            axis.annotate('{:+.1f} %, {:+.3g} {}'.format(sign * row.change.percent.value,
                                                         sign * row.change.absolute.value, row.metric.unit),
                          (max(raw.value, row.estimate.value), line), xytext=(12, 0), textcoords='offset points',
                          va='center', fontsize=8)
        axis.set_yticks(range(len(changed)))
        # The same lines as in the first half have their names there.
        axis.set_yticklabels([] if axis is not axes[0][0] and named == names[0] else reversed(named), fontsize=8)
        axis.set_xlabel('{} / {}'.format(rows[0].metric.name, unit(rows[0].metric.unit)))
        axis.set_xlim(left=0, right=1.8 * max(max(row.estimate.value, row.estimate.high or 0,
                                                   max(data.raw_of(row.group).values(row.metric))) for row in changed))
        axis.set_ylim(-0.6, len(changed) - 0.4)
        axis.grid(False, axis='y')
    legend(drawn, axes)
    return drawn


def _line_name(data, row):
    return '{}, {}'.format(folded(data.place_name(row.group), 24), row.group.label)


@styled
def by_link(data, throughput, trips):
    """DIRECT, PEER_RELAY, DERP and raw side by side. Above: each repetition of every place, and the median of all.
    Below, where there is a raw network to compare with: what the overlay costs, mean over places with its interval."""
    shown = [rows for rows in (throughput, trips) if rows]
    costs = [data.overall(rows[0].metric.key, rows[0].group.variant) for rows in shown]
    lines = 2 if any(costs) else 1
    drawn, axes = figure(3.0 * lines + 0.3, lines, len(shown))
    for number, rows in enumerate(shown):
        labels = [label for label in report_data.LABELS if any(row.group.label == label for row in rows)]
        _repetitions(axes[0][number], data, rows, labels)
        if lines > 1:
            _costs(axes[1][number], data, rows[0].metric, costs[number], labels[1:] if labels[0] == 'raw' else labels)
    legend(drawn, axes)
    return drawn


def _repetitions(axis, data, rows, labels):
    metric = rows[0].metric
    for x, label in enumerate(labels):
        values = [value for row in rows if row.group.label == label for value in row.group.values(metric)]
        # Spread by their order, so that equal ones do not hide each other and the picture is the same each time.
        axis.plot([x - 0.3 + 0.6 * number / max(1, len(values) - 1) for number in range(len(values))], values,
                  MARKS[label], color=COLOURS[label], markersize=3, alpha=0.7)
        axis.hlines(statistics.median(values), x - 0.38, x + 0.38, color='black', linewidth=1.2,
                    label='median of all repetitions' if not x else None)
    # Links that differ have lines in the figures by place.
    if metric.key == 'tcp' and len({row.group.capacity for row in rows}) == 1:
        _limits(axis, data, rows)
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels(['{}\nn = {}'.format(label, sum(row.estimate.n for row in rows
                                                              if row.group.label == label)) for label in labels])
    axis.grid(False, axis='x')
    scale(axis, [value for row in rows for value in row.group.values(metric)])
    axis.set_ylabel('{} / {}'.format(metric.name, unit(metric.unit)))


def _costs(axis, data, metric, costs, labels):
    """Throughput lost in %, with the header floor; round trip added in ms: what is the same on long and short ways."""
    labels = [label for label in labels if label in costs]
    for x, label in enumerate(labels):
        change, _ = costs[label]
        shown = change.percent if metric.key == 'tcp' else change.absolute
        _mark(axis, x, shown, label)
        axis.annotate('{:.3g}'.format(shown.value), (x, shown.value), xytext=(8, 6), textcoords='offset points',
                      va='bottom', fontsize=8)
    if metric.key == 'tcp':
        floor = stats.header_floor(data.overlay_efficiency, data.raw_efficiency)
        axis.axhline(floor, color='black', linewidth=0.9, linestyle='-.',
                     label='header floor of WireGuard, {:.2f} %'.format(floor))
    axis.axhline(0, color='#999999', linewidth=0.8)
    axis.margins(y=0.12)
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels(['{}\nplaces: {}'.format(label, costs[label][1]) for label in labels])
    axis.set_xlim(-0.5, max(0.5, len(labels) - 0.5))
    axis.grid(False, axis='x')
    axis.set_ylabel('TCP throughput lost / %' if metric.key == 'tcp' else 'Round trip added / ms')


@styled
def on_map(data, rows):
    """Places by their coordinates, with the round trip over the overlay in circles; where a place has several links,
    the shortest trip that is not raw."""
    drawn, axes = figure(6.2)
    axis, best = axes[0][0], {}
    for row in rows:
        if row.group.label != report_data.RAW and 'x' in (data.places.get(row.group.place) or {}):
            if row.group.place not in best or row.estimate.value < best[row.group.place].estimate.value:
                best[row.group.place] = row
    for place, where in data.places.items():
        if 'x' in where and place not in best:
            axis.plot(where['x'], where['y'], 'x', color='#555555')
            axis.annotate(where.get('name', place), (where['x'], where['y']), xytext=(6, 6), textcoords='offset points')
    for place, row in best.items():
        where = data.places[place]
        axis.scatter([where['x']], [where['y']], s=1100, color=COLOURS[row.group.label], alpha=0.35, linewidths=1.5,
                     edgecolors=COLOURS[row.group.label])
        axis.annotate('{:.3g}'.format(row.estimate.value), (where['x'], where['y']), ha='center', va='center',
                      fontweight='bold')
        axis.annotate('{}\n{}, n = {}'.format(folded(where.get('name', place), 20), row.group.label,
                                              row.estimate.n),
                      (where['x'], where['y']), xytext=(0, -21), textcoords='offset points', ha='center', va='top',
                      fontsize=8)
    axis.set_aspect('equal', adjustable='datalim')
    axis.margins(0.2)
    axis.set_xlabel('x, as the campaign gives it')
    axis.set_ylabel('y, as the campaign gives it')
    axis.set_title('Median round trip / ms')
    return drawn


def folded(name, width):
    """A name in at most two lines of about ``width`` characters; what is too long for that is cut, but not what stands
    in parentheses at its end: that tells it from others."""
    lines = textwrap.wrap(name, width) or ['']
    if len(lines) > 2:
        end = ' ' + name[name.rindex('('):] if name.endswith(')') and '(' in name else ''
        lines = [lines[0], lines[1][:max(1, width - 1 - len(end))].rstrip() + '…' + end]
    return '\n'.join(lines)


def _counts(rows):
    """`10`, or `9 to 10` where the links differ."""
    found = sorted({row.estimate.n for row in rows})
    return str(found[0]) if len(found) == 1 else '{} to {}'.format(found[0], found[-1])


def unit(unit):
    """As behind a stroke."""
    return '({})'.format(unit) if '/' in unit else unit


def legend(drawn, axes):
    """One legend above all axes."""
    found = {}
    for axis in axes.flat:
        for handle, name in zip(*axis.get_legend_handles_labels()):
            found.setdefault(name, handle)
    order = sorted(found, key=lambda name: report_data.LABELS.index(name) if name in report_data.LABELS else 99)
    if order:
        columns = 3 if max(map(len, order)) > 20 else len(order)
        drawn.legend([found[name] for name in order], order, loc='outside upper center', ncols=columns)
