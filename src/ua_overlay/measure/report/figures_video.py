"""The figure of a camera's stream: frames a second, their age, and what was lost, by link and by stream."""
from typing import Any, Dict, List, Sequence, Tuple

from ua_overlay.measure import stats
from ua_overlay.measure.report import figures
from ua_overlay.measure.report.data import LABELS, Data, Group
from ua_overlay.measure.report.figures import Axes, Axis
from ua_overlay.measure.report.parts import Figure
from ua_overlay.measure.tools.registry import metrics

#: (colour, mark) of a stream.
Style = Tuple[str, str]

#: Colours (Okabe and Ito) and marks of streams, in their order in the legend.
_STYLES = (('#0072B2', 'o'), ('#CC79A7', 'D'), ('#D55E00', 's'), ('#009E73', '^'), ('#56B4E9', 'v'), ('#E69F00', 'P'))
_ROWS = (('video_hz', 'Frames / Hz'), ('video_age', 'Age of frames / ms'), ('video_lost', 'Lost frames / %'))


def words(group: Group) -> str:
    """`JPEG 1280x720 at 30 Hz, hog beside it`: the settings that distinguish a stream from others."""
    settings = group.samples[0].settings
    parts = ['{} {}x{} at {:g} Hz'.format('JPEG' if settings.get('encoding') == 'jpeg' else 'raw frames',
                                          settings.get('width', '?'), settings.get('height', '?'),
                                          settings.get('rate_hz') or 0)]
    parts += ['TCP by ' + settings['congestion']] if settings.get('congestion') else []
    parts += [name for key, name in (('nodelay', 'nodelay'), ('hog', 'hog beside it')) if settings.get(key)]
    return ', '.join(parts)


@figures.styled
def streams(data: Data, groups: Sequence[Group]) -> Figure:
    """Draw a column for each place: its links side by side, and every stream on them."""
    places = list(dict.fromkeys(group.place for group in groups))[:figures.MOST_PANELS]
    kinds = sorted({words(group) for group in groups})
    styles = {kind: _STYLES[number % len(_STYLES)] for number, kind in enumerate(kinds)}
    drawn, axes = figures.figure(8.4, len(_ROWS), len(places), sharey='row', sharex='col')
    for column, place in enumerate(places):
        here = [group for group in groups if group.place == place]
        labels = [label for label in LABELS if any(group.label == label for group in here)]
        for row, (key, name) in enumerate(_ROWS):
            _panel(axes[row][column], key, here, labels, styles)
            if not column:
                axes[row][column].set_ylabel(name)
        axes[0][column].set_title(data.place_title(place))
    _scales(axes, groups)
    handles: Dict[str, Any] = {}
    for axis in axes.flat:
        handles.update(zip(*reversed(axis.get_legend_handles_labels())))
    order = [name for name in kinds + ['rate of the camera'] if name in handles]
    drawn.legend([handles[name] for name in order], order, loc='outside upper center', ncols=2)
    return drawn


def _panel(axis: Axis, key: str, groups: Sequence[Group], labels: List[str], styles: Dict[str, Style]) -> None:
    kinds = [kind for kind in styles if any(words(group) == kind for group in groups)]
    step = 0.72 / len(kinds)
    for group in groups:
        kind = words(group)
        x = labels.index(group.label) + (kinds.index(kind) - (len(kinds) - 1) / 2) * step
        (_ages if key == 'video_age' else _middle)(axis, x, group, key, styles[kind], kind)
    if key == 'video_hz':
        for rate in sorted({group.samples[0].settings.get('rate_hz') or 0 for group in groups}):
            axis.axhline(rate, color='black', linewidth=0.9, linestyle='--', label='rate of the camera')
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels(['{}\nn = {}'.format(label, _counts(groups, label)) for label in labels])
    axis.set_xlim(-0.5, len(labels) - 0.5)
    axis.grid(False, axis='x')


def _counts(groups: Sequence[Group], label: str) -> str:
    counts = sorted({len(group.samples) for group in groups if group.label == label})
    return str(counts[0]) if len(counts) == 1 else '{} to {}'.format(counts[0], counts[-1])


def _middle(axis: Axis, x: float, group: Group, key: str, style: Style, name: str) -> None:
    """Draw the median of a metric and its interval."""
    estimate = stats.estimate(group.values(metrics()[key]))
    if estimate is None:
        return
    ends = None
    if estimate.low is not None and estimate.high is not None:
        ends = [[max(0.0, estimate.value - estimate.low)], [max(0.0, estimate.high - estimate.value)]]
    axis.errorbar(x, estimate.value, yerr=ends, fmt=style[1], color=style[0], markersize=6, capsize=3, linewidth=1.2,
                  markeredgecolor='black', markeredgewidth=0.5, label=name, zorder=3, clip_on=False)


def _ages(axis: Axis, x: float, group: Group, _key: str, style: Style, name: str) -> None:
    """Draw a line from the median age over 95 % to 99 %."""
    ages = [each.value for each in (stats.estimate(group.values(metrics()[key]))
                                    for key in ('video_age', 'video_age95', 'video_age99')) if each]
    if len(ages) < 3:
        return
    middle, most, last = ages
    axis.plot([x, x], [middle, last], color=style[0], linewidth=2, solid_capstyle='butt')
    axis.plot([x], [most], '_', color=style[0], markersize=10, markeredgewidth=2)
    axis.plot([x], [middle], style[1], color=style[0], markersize=6, markeredgecolor='black', markeredgewidth=0.5,
              label=name, zorder=3)


def _scales(axes: Axes, groups: Sequence[Group]) -> None:
    axes[0][0].set_ylim(bottom=0)
    axes[2][0].set_ylim(0, 100)
    ages = [value for group in groups for value in group.values(metrics()['video_age'])]
    if ages and min(ages) > 0:
        ticker = figures.library().ticker
        axes[1][0].set_yscale('log')
        axes[1][0].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes[1][0].yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
        axes[1][0].yaxis.set_minor_formatter(ticker.NullFormatter())
