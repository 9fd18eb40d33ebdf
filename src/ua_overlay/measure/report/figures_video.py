"""The figure of a camera's stream: frames a second, their age, and what was lost, by link and by stream."""
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import figures, stats

#: Colours (Okabe and Ito) and marks of streams, in their order in the legend.
_STYLES = (('#0072B2', 'o'), ('#CC79A7', 'D'), ('#D55E00', 's'), ('#009E73', '^'), ('#56B4E9', 'v'), ('#E69F00', 'P'))
_ROWS = (('video_hz', 'Frames / Hz'), ('video_age', 'Age of frames / ms'), ('video_lost', 'Lost frames / %'))


def words(group):
    """`JPEG 1280x720 at 30 Hz, hog`: what tells a stream from another."""
    settings = group.samples[0]['settings']
    parts = ['{} {}x{} at {:g} Hz'.format('JPEG' if settings.get('encoding') == 'jpeg' else 'raw frames',
                                          settings.get('width', '?'), settings.get('height', '?'),
                                          settings.get('rate_hz') or 0)]
    parts += ['TCP by ' + settings['congestion']] if settings.get('congestion') else []
    parts += [name for key, name in (('nodelay', 'nodelay'), ('hog', 'hog beside it')) if settings.get(key)]
    return ', '.join(parts)


@figures.styled
def streams(data, groups):
    """A column a place, and in each the links side by side, with each stream over them."""
    places = list(dict.fromkeys(group.place for group in groups))[:figures.MOST_PANELS]
    kinds = sorted({words(group) for group in groups})
    styles = {kind: _STYLES[number % len(_STYLES)] for number, kind in enumerate(kinds)}
    drawn, axes = figures.figure(8.4, len(_ROWS), len(places), sharey='row', sharex='col')
    for column, place in enumerate(places):
        here = [group for group in groups if group.place == place]
        labels = [label for label in report_data.LABELS if any(group.label == label for group in here)]
        for row, (key, name) in enumerate(_ROWS):
            _panel(axes[row][column], key, here, labels, styles)
            if not column:
                axes[row][column].set_ylabel(name)
        axes[0][column].set_title((data.places.get(place) or {}).get('name', place))
    _scales(axes, groups)
    handles = {}
    for axis in axes.flat:
        handles.update(zip(*reversed(axis.get_legend_handles_labels())))
    order = [name for name in kinds + ['rate of the camera'] if name in handles]
    drawn.legend([handles[name] for name in order], order, loc='outside upper center', ncols=2)
    return drawn


def _panel(axis, key, groups, labels, styles):
    kinds = [kind for kind in styles if any(words(group) == kind for group in groups)]
    step = 0.72 / len(kinds)
    for group in groups:
        kind = words(group)
        x = labels.index(group.label) + (kinds.index(kind) - (len(kinds) - 1) / 2) * step
        (_ages if key == 'video_age' else _middle)(axis, x, group, key, styles[kind], kind)
    if key == 'video_hz':
        for rate in sorted({group.samples[0]['settings'].get('rate_hz') or 0 for group in groups}):
            axis.axhline(rate, color='black', linewidth=0.9, linestyle='--', label='rate of the camera')
    axis.set_xticks(range(len(labels)))
    axis.set_xticklabels(['{}\nn = {}'.format(label, _counts(groups, label)) for label in labels])
    axis.set_xlim(-0.5, len(labels) - 0.5)
    axis.grid(False, axis='x')


def _counts(groups, label):
    found = sorted({len(group.samples) for group in groups if group.label == label})
    return str(found[0]) if len(found) == 1 else '{} to {}'.format(found[0], found[-1])


def _middle(axis, x, group, key, style, name):
    found = stats.estimate(group.values(report_data.METRICS[key]))
    if found is None:
        return
    ends = None
    if found.low is not None:
        ends = [[max(0.0, found.value - found.low)], [max(0.0, found.high - found.value)]]
    axis.errorbar(x, found.value, yerr=ends, fmt=style[1], color=style[0], markersize=6, capsize=3, linewidth=1.2,
                  markeredgecolor='black', markeredgewidth=0.5, label=name, zorder=3, clip_on=False)


def _ages(axis, x, group, _key, style, name):
    found = [stats.estimate(group.values(report_data.METRICS[key]))
             for key in ('video_age', 'video_age95', 'video_age99')]
    if None in found:
        return
    middle, most, last = (each.value for each in found)
    axis.plot([x, x], [middle, last], color=style[0], linewidth=2, solid_capstyle='butt')
    axis.plot([x], [most], '_', color=style[0], markersize=10, markeredgewidth=2)
    axis.plot([x], [middle], style[1], color=style[0], markersize=6, markeredgecolor='black', markeredgewidth=0.5,
              label=name, zorder=3)


def _scales(axes, groups):
    axes[0][0].set_ylim(bottom=0)
    axes[2][0].set_ylim(0, 100)
    ages = [value for group in groups for value in group.values(report_data.METRICS['video_age'])]
    if ages and min(ages) > 0:
        ticker = figures.library().ticker
        axes[1][0].set_yscale('log')
        axes[1][0].yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes[1][0].yaxis.set_major_formatter(ticker.FormatStrFormatter('%g'))
        axes[1][0].yaxis.set_minor_formatter(ticker.NullFormatter())
