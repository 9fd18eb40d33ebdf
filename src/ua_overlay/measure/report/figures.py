"""The figures of a report, drawn with matplotlib, which is imported when the first one is drawn.

Each function takes the Data of a report and what to draw, and returns a matplotlib Figure. Colours are those of Okabe
and Ito (Color Universal Design, 2008), which people with any colour vision can distinguish; marks differ, too.
"""
import functools
import statistics
import textwrap
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.measure import headers, stats
from ua_overlay.measure.report.data import ANY, LABELS, RAW, Data, Row
from ua_overlay.measure.report.parts import Figure
from ua_overlay.measure.stats import Change, Estimate
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.registry import TOOLS

#: An axis of matplotlib, and a 2-D array of them.
Axis = Any
Axes = Any
Draws = TypeVar('Draws', bound=Callable[..., Figure])

COLOURS = {RAW: '#555555', link_types.DIRECT: '#0072B2', link_types.PEER_RELAY: '#E69F00', link_types.DERP: '#CC79A7',
           ANY: '#009E73'}
MARKS = {RAW: 'o', link_types.DIRECT: 's', link_types.PEER_RELAY: '^', link_types.DERP: 'D', ANY: 'v'}
STYLE = {'font.size': 9, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True, 'grid.alpha': 0.3,
         'axes.axisbelow': True, 'svg.hashsalt': 'ua_overlay', 'figure.dpi': 100, 'legend.frameon': False,
         'axes.titlesize': 9, 'font.family': 'DejaVu Sans'}
WIDTH = 9.0
#: Most panels of a figure over time; more places make further figures.
MOST_PANELS = 12
#: Panels share one axis unless the highest maximum is more than this many times the lowest.
_ALIKE = 8


class ExtraError(OverlayError):
    """A library that the report needs is not installed."""

    code = 'MEASURE_EXTRA'


def library() -> Any:
    """matplotlib. :raises ExtraError: it is not installed."""
    try:
        # Importing the package alone does not load these modules.
        import matplotlib.figure
        import matplotlib.ticker
    except ImportError as error:
        raise ExtraError('A report needs matplotlib ({}).'.format(error), 'pip install -r requirements/analysis.txt')
    return matplotlib


def figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> Tuple[Figure, Axes]:
    """(Figure, its axes). ``height``: inches; the width is that of every figure here."""
    mpl = library()
    with mpl.rc_context(STYLE):
        drawn = mpl.figure.Figure(figsize=(WIDTH, height), layout='constrained')
        drawn.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
        return drawn, drawn.subplots(rows, columns, squeeze=False, **options)


def styled(function: Draws) -> Draws:
    """Make a function draw in the style of the report."""
    @functools.wraps(function)
    def draw(*args: Any, **options: Any) -> Figure:
        with library().rc_context(STYLE):
            return function(*args, **options)
    return draw  # type: ignore[return-value]  # same signature as the function


def places_of(rows: Sequence[Row]) -> List[str]:
    """The places of rows, in their order."""
    return list(dict.fromkeys(row.group.place for row in rows))


@styled
def over_time(data: Data, rows: Sequence[Row]) -> Figure:
    """A metric over time, a panel for each place: median of the repetitions each second, and their middle half."""
    places = places_of(rows)
    columns = min(len(places), 2 if len(places) <= 6 else 3 if len(places) <= 18 else 4)
    lines = -(-len(places) // columns)
    # On one axis with a fast cable, the values of a slow radio would be a flat line at 0.
    highest = [max((value for row in rows if row.group.place == place for value in row.group.pieces(row.metric)),
                   default=0.0) for place in places]
    alike = max(highest) <= _ALIKE * min(highest)
    # At most the height of a page.
    drawn, axes = figure(0.7 + min(2.3 * lines, 7.6), lines, columns, sharex=True, sharey=alike)
    for axis, place in zip(axes.flat, places):
        here = [row for row in rows if row.group.place == place]
        for row in here:
            _course(axis, row)
        _limits(axis, data, here)
        axis.set_title('{} (n = {})'.format(folded(data.place_title(place), 60 // columns), _counts(here)),
                       fontsize=None if columns < 3 else 8)
    for axis in list(axes.flat)[len(places):]:
        axis.set_visible(False)
    for axis in list(axes.flat)[max(0, len(places) - columns):len(places)]:
        axis.set_xlabel('time / s')
        axis.tick_params(labelbottom=True)
    metric = rows[0].metric
    for axis in axes[:, 0]:
        name = metric.name if lines < 3 else TOOLS[metric.tool].title
        axis.set_ylabel('{} / {}'.format(name, unit_text(metric.unit)))
    for axis in axes.flat:
        axis.set_ylim(bottom=0)
    legend(drawn, axes)
    return drawn


def _course(axis: Axis, row: Row) -> None:
    """Draw a metric whose pieces are seconds."""
    assert row.metric.pieces is not None
    group, runs = row.group, [row.metric.pieces(each.values) for each in row.group.samples]
    length = max(map(len, runs), default=0)
    seconds = [[run[second] for run in runs if second < len(run)] for second in range(length)]
    times = [second + 0.5 for second in range(length)]
    axis.plot(times, [statistics.median(values) for values in seconds], color=COLOURS[group.label], linewidth=1.4,
              marker=MARKS[group.label], markersize=3, markevery=max(1, length // 8), label=group.label)
    axis.fill_between(times, [stats.percentile(values, 0.25) for values in seconds],
                      [stats.percentile(values, 0.75) for values in seconds], color=COLOURS[group.label], alpha=0.2,
                      linewidth=0)


def _limits(axis: Axis, data: Data, rows: Sequence[Row], ends: Optional[Tuple[float, float]] = None) -> None:
    """Draw how much TCP the link can carry, raw and in the overlay, between two x, or over the whole axis."""
    for capacity in sorted({row.group.capacity for row in rows if row.group.capacity}):
        for share, style, name in ((data.raw_efficiency, '--', 'link capacity less headers, raw'),
                                   (data.overlay_efficiency, ':', 'the same, WireGuard (header floor)')):
            options = {'color': 'black', 'linewidth': 0.9, 'linestyle': style, 'label': name}
            if ends:
                axis.plot(ends, [capacity * share / 1e6] * 2, **options)
            else:
                axis.axhline(capacity * share / 1e6, **options)


@styled
def by_place(data: Data, rows: Sequence[Row]) -> Figure:
    """Box plots of every single measurement by place and link, and beside each the median of the repetitions with its
    95 % interval."""
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
        if metric.limited:
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
    axis.set_ylabel('{} / {}'.format(metric.name, unit_text(metric.unit)))
    legend(drawn, axes)
    return drawn


def _box(axis: Axis, row: Row, centre: float, step: float) -> None:
    colour, pieces = COLOURS[row.group.label], row.group.pieces(row.metric)
    if len(pieces) > 4:
        box = axis.boxplot([pieces], positions=[centre - step * 0.12], widths=step * 0.5, whis=(5, 95),
                             showfliers=False, manage_ticks=False, patch_artist=True,
                             medianprops={'color': 'black', 'linewidth': 1.2})
        box['boxes'][0].set(facecolor=colour, alpha=0.45, edgecolor=colour)
        for line in box['whiskers'] + box['caps']:
            line.set(color=colour)
    else:
        axis.plot([centre - step * 0.12] * len(pieces), pieces, '_', color=colour, markersize=9)
    _mark(axis, centre + step * 0.28, row.estimate, row.group.label, row.group.label)


def _mark(axis: Axis, x: float, estimate: Estimate, label: str, name: Optional[str] = None, across: bool = False
          ) -> None:
    """Draw a median and its interval; along x when ``across``. ``name``: in the legend."""
    ends = None
    if estimate.low is not None and estimate.high is not None:
        ends = [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
    position = (estimate.value, x) if across else (x, estimate.value)
    axis.errorbar(*position, **{'xerr' if across else 'yerr': ends}, fmt=MARKS[label], color=COLOURS[label],
                  markersize=5, capsize=3, linewidth=1.2, markeredgecolor='black', markeredgewidth=0.5, label=name,
                  zorder=3)


def scale(axis: Axis, values: Sequence[float]) -> None:
    """Scale y from 0; logarithmically where the largest value would make the smallest vanish."""
    least = min(values, default=0)
    if least > 0 and max(values) > 30 * least:
        axis.set_yscale('log')
        axis.yaxis.set_major_formatter(library().ticker.FormatStrFormatter('%g'))
    else:
        most = max(values, default=0)
        # From the drawn artists: a box omits its extremes, and lines may be higher.
        axis.set_ylim(bottom=0 if most > 0 else -0.03, top=1.06 * axis.get_ylim()[1] if most > 0 else 1)


@styled
def against_raw(data: Data, throughput: Sequence[Row], trips: Sequence[Row]) -> Figure:
    """Raw against overlay, throughput and round trip: medians with intervals, and the difference in words."""
    shown = [changed for changed in ([row for row in rows if row.change] for rows in (throughput, trips)) if changed]
    drawn, axes = figure(1.3 + 0.42 * max(map(len, shown)), 1, len(shown))
    names = [[_line_name(data, row) for row in rows] for rows in shown]
    for axis, rows, named in zip(axes[0], shown, names):
        rightmost = max([_compare(axis, data, row, line) for line, row in enumerate(reversed(rows))])
        axis.set_yticks(range(len(rows)))
        # If both halves have the same lines, only the first one names them.
        axis.set_yticklabels([] if axis is not axes[0][0] and named == names[0] else reversed(named), fontsize=8)
        axis.set_xlabel('{} / {}'.format(rows[0].metric.name, unit_text(rows[0].metric.unit)))
        axis.set_xlim(left=0, right=1.8 * rightmost)
        axis.set_ylim(-0.6, len(rows) - 0.4)
        axis.grid(False, axis='y')
    legend(drawn, axes)
    return drawn


def _compare(axis: Axis, data: Data, row: Row, line: int) -> float:
    """Draw a row beside its raw network; returns the largest x of both."""
    raw = data.raw_of(row.group)
    values = raw.values(row.metric) if raw else []
    estimate = stats.estimate(values)
    # A row has a change only beside a raw network.
    assert estimate is not None and row.change is not None
    axis.plot([estimate.value, row.estimate.value], [line, line], color='#999999', linewidth=2, zorder=1)
    _mark(axis, line, estimate, RAW, RAW, across=True)
    _mark(axis, line, row.estimate, row.group.label, row.group.label, across=True)
    sign = -1 if row.metric.change is stats.throughput_loss else 1
    axis.annotate('{:+.1f} %, {:+.3g} {}'.format(sign * row.change.percent.value, sign * row.change.absolute.value,
                                                 row.metric.unit),
                  (max(estimate.value, row.estimate.value), line), xytext=(12, 0), textcoords='offset points',
                  va='center', fontsize=8)
    return max([row.estimate.value, row.estimate.high or 0] + values)


def _line_name(data: Data, row: Row) -> str:
    return '{}, {}'.format(folded(data.place_name(row.group), 24), row.group.label)


@styled
def by_link(data: Data, throughput: Sequence[Row], trips: Sequence[Row]) -> Figure:
    """The link types and raw side by side. Above: each repetition of every place, and the median of all. Below, if the
    raw network was measured: the cost of the overlay, as the mean over places with its interval."""
    shown = [rows for rows in (throughput, trips) if rows]
    costs = [data.overall(rows[0].metric.key, rows[0].group.variant) for rows in shown]
    lines = 2 if any(costs) else 1
    drawn, axes = figure(3.0 * lines + 0.3, lines, len(shown))
    for number, rows in enumerate(shown):
        labels = [label for label in LABELS if any(row.group.label == label for row in rows)]
        _repetitions(axes[0][number], data, rows, labels)
        if lines > 1:
            _costs(axes[1][number], data, rows[0].metric, costs[number], labels[1:] if labels[0] == RAW else labels)
    legend(drawn, axes)
    return drawn


def _repetitions(axis: Axis, data: Data, rows: Sequence[Row], labels: Sequence[str]) -> None:
    metric = rows[0].metric
    for x, label in enumerate(labels):
        values = [value for row in rows if row.group.label == label for value in row.group.values(metric)]
        # Spread by their order: equal values do not hide each other, and the figure is reproducible.
        axis.plot([x - 0.3 + 0.6 * number / max(1, len(values) - 1) for number in range(len(values))], values,
                  MARKS[label], color=COLOURS[label], markersize=3, alpha=0.7)
        axis.hlines(statistics.median(values), x - 0.38, x + 0.38, color='black', linewidth=1.2,
                    label='median of all repetitions' if not x else None)
    # If capacities differ, the figures by place have the lines.
    if metric.limited and len({row.group.capacity for row in rows}) == 1:
        _limits(axis, data, rows)
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels(['{}\nn = {}'.format(
        label, sum(row.estimate.n for row in rows if row.group.label == label)) for label in labels])
    axis.grid(False, axis='x')
    scale(axis, [value for row in rows for value in row.group.values(metric)])
    axis.set_ylabel('{} / {}'.format(metric.name, unit_text(metric.unit)))


def _costs(axis: Axis, data: Data, metric: Metric, costs: Dict[str, Tuple[Change, int]], labels: Sequence[str]) -> None:
    """Draw the lost throughput in % with the header floor, or the added round trip in its unit: that does not depend on
    the distance."""
    labels = [label for label in labels if label in costs]
    lost = metric.change is stats.throughput_loss
    for x, label in enumerate(labels):
        change, _ = costs[label]
        shown = change.percent if lost else change.absolute
        _mark(axis, x, shown, label)
        axis.annotate('{:.3g}'.format(shown.value), (x, shown.value), xytext=(8, 6), textcoords='offset points',
                      va='bottom', fontsize=8)
    if metric.limited:
        floor = headers.header_floor(data.overlay_efficiency, data.raw_efficiency)
        axis.axhline(floor, color='black', linewidth=0.9, linestyle='-.',
                     label='header floor of WireGuard, {:.2f} %'.format(floor))
    axis.axhline(0, color='#999999', linewidth=0.8)
    axis.margins(y=0.12)
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels(['{}\nplaces: {}'.format(label, costs[label][1]) for label in labels])
    axis.set_xlim(-0.5, max(0.5, len(labels) - 0.5))
    axis.grid(False, axis='x')
    axis.set_ylabel('{} lost / %'.format(metric.name) if lost else '{} added / {}'.format(
        metric.name, unit_text(metric.unit)))


@styled
def on_map(data: Data, rows: Sequence[Row]) -> Figure:
    """Places by their coordinates, with the round trip over the overlay in circles; where a place has several links,
    the shortest one."""
    drawn, axes = figure(6.2)
    axis = axes[0][0]
    best: Dict[str, Row] = {}
    for row in rows:
        if row.group.label != RAW and 'x' in (data.places.get(row.group.place) or {}):
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
        axis.annotate('{}\n{}, n = {}'.format(folded(where.get('name', place), 20), row.group.label, row.estimate.n),
                      (where['x'], where['y']), xytext=(0, -21), textcoords='offset points', ha='center', va='top',
                      fontsize=8)
    axis.set_aspect('equal', adjustable='datalim')
    axis.margins(0.2)
    axis.set_xlabel('x, as the campaign gives it')
    axis.set_ylabel('y, as the campaign gives it')
    axis.set_title('Median round trip / ms')
    return drawn


def folded(name: str, width: int) -> str:
    """A name in at most two lines of about ``width`` characters. A longer one is cut, except for the parentheses at its
    end, which distinguish it from others."""
    lines = textwrap.wrap(name, width) or ['']
    if len(lines) > 2:
        end = ' ' + name[name.rindex('('):] if name.endswith(')') and '(' in name else ''
        lines = [lines[0], lines[1][:max(1, width - 1 - len(end))].rstrip() + '…' + end]
    return '\n'.join(lines)


def _counts(rows: Sequence[Row]) -> str:
    """`10`, or `9 to 10` where the links differ."""
    counts = sorted({row.estimate.n for row in rows})
    return str(counts[0]) if len(counts) == 1 else '{} to {}'.format(counts[0], counts[-1])


def unit_text(unit: str) -> str:
    """A unit as written behind a slash."""
    return '({})'.format(unit) if '/' in unit else unit


def legend(drawn: Figure, axes: Axes) -> None:
    """Draw one legend above all axes."""
    handles: Dict[str, Any] = {}
    for axis in axes.flat:
        for handle, name in zip(*axis.get_legend_handles_labels()):
            handles.setdefault(name, handle)
    order = sorted(handles, key=lambda name: LABELS.index(name) if name in LABELS else len(LABELS))
    if order:
        columns = 3 if max(map(len, order)) > 20 else len(order)
        drawn.legend([handles[name] for name in order], order, loc='outside upper center', ncols=columns)
