"""The part of a report on hours and days: each sample at its time, and where the link type changed."""
import functools
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.report import figures
from ua_overlay.measure.report.data import ANY, LABELS, RAW, Data, variant_of
from ua_overlay.measure.report.figures import Axis
from ua_overlay.measure.report.numbers import numbered, with_variant
from ua_overlay.measure.report.parts import Figure, Part, Picture
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.registry import TOOLS

#: A campaign is drawn over time if it spans at least this many seconds, a probe if it has this many samples.
SPAN, LEAST = 3600.0, 6
HOUR = 3600.0
#: Most panels of a figure, one below the other.
PANELS = 6


@dataclass(frozen=True)
class Point:
    """A sample.

    :ivar hours: since the first one.
    :ivar label: one of data.LABELS, '' where no byte was counted.
    :ivar value: None where nothing was measured.
    :ivar good: whether the numbers of the report include it.
    """

    hours: float
    label: str
    value: Optional[float]
    good: bool


@dataclass(frozen=True)
class Course:
    """The samples of one probe, ordered by time. ``name``: for people."""

    name: str
    metric: Metric
    variant: str
    points: Tuple[Point, ...]

    @property
    def changes(self) -> List[Tuple[float, str, str]]:
        """[(hours, label before, label after)] where the link type changed; a gap in between is not a change."""
        labelled = [point for point in self.points if point.label]
        return [(after.hours, before.label, after.label) for before, after in zip(labelled, labelled[1:])
                if before.label != after.label]


def courses(data: Data) -> List[Course]:
    """The courses of a report, metric by metric; [] for a short campaign."""
    if not data.samples:
        return []
    times = [each.started_at for each in data.samples]
    first = min(times)
    if not data.monitored and max(times) - first < SPAN:
        return []
    points: Dict[Tuple[str, str, str, str, str], List[Point]] = {}
    drawn = {metric.key: metric for tool in TOOLS.values() for metric in tool.metrics if metric.over_days}
    for each in sorted(data.samples, key=lambda sample: sample.started):
        for key, metric in drawn.items():
            if metric.tool == each.tool:
                probe = key, each.place, each.scenario, each.path, variant_of(each)
                points.setdefault(probe, []).append(_point(each, metric, first))
    return [Course(_name(data, *probe[1:4]), drawn[probe[0]], probe[4], tuple(of_probe))
            for probe, of_probe in sorted(points.items(), key=lambda item: drawn[item[0][0]].over_days)
            if len(of_probe) >= LEAST]


def _point(sample: Sample, metric: Metric, first: float) -> Point:
    label = RAW if sample.raw else sample.proof.most
    return Point((sample.started_at - first) / HOUR, label if label in LABELS else '',
                 metric.value(sample.values) if sample.ok else None, sample.ok)


def _name(data: Data, place: str, scenario: str, path: str) -> str:
    return data.place_title(place) + (' ({})'.format(scenario) if scenario != place else '') + (
        ', raw' if path == RAW else '')


def part(data: Data) -> Optional[Part]:
    """The Part, None for a short campaign."""
    by_metric: Dict[Tuple[int, str], List[Course]] = {}
    for course in courses(data):
        by_metric.setdefault((course.metric.over_days, course.variant), []).append(course)
    panels = [(variant, of_metric[first:first + PANELS]) for (_, variant), of_metric in sorted(by_metric.items())
              for first in range(0, len(of_metric), PANELS)]
    if not panels:
        return None
    pictures = tuple(Picture(numbered('long-run', number), with_variant(
        'Each mark is a sample; its colour and shape show the link type that carried most of its bytes. Dashed lines: '
        'the link type changed. Crosses at the bottom: nothing was measured, or the link type changed within the '
        'sample.', variant), functools.partial(draw, shown)) for number, (variant, shown) in enumerate(panels))
    start = min(each.started for each in data.samples)[:16].replace('T', ' ') + ' UTC'
    most = max(len(course.changes) for of_metric in by_metric.values() for course in of_metric)
    return Part('Over hours and days', (
        'From {} on. Most changes of the link type that one of these probes saw: {}.'.format(start, most),) + pictures)


@figures.styled
def draw(shown: Sequence[Course]) -> Figure:
    """Courses of one metric, a panel each, one below the other on one axis of time."""
    drawn, axes = figures.figure(0.9 + 1.7 * len(shown), len(shown), 1, sharex=True)
    last = max(point.hours for course in shown for point in course.points)
    unit, factor = ('min', 60.0) if last < 2 else ('h', 1.0) if last < 72 else ('d', 1 / 24.0)
    for axis, course in zip(axes[:, 0], shown):
        _panel(axis, course, factor)
    axes[-1][0].set_xlabel('time / {}'.format(unit))
    figures.legend(drawn, axes)
    return drawn


def _panel(axis: Axis, course: Course, factor: float) -> None:
    """:param factor: from hours to the unit of the axis."""
    for label in LABELS:
        points = [point for point in course.points if point.value is not None and (point.label or ANY) == label]
        if points:
            axis.plot([point.hours * factor for point in points], [point.value for point in points],
                      figures.MARKS[label], color=figures.COLOURS[label], markersize=3.5, label=label)
    figures.scale(axis, [point.value for point in course.points if point.value is not None])
    missed = [point.hours * factor for point in course.points if point.value is None]
    if missed:
        # In fractions of the panel's height, whatever its scale.
        axis.plot(missed, [0.05] * len(missed), 'x', color='#B00020', markersize=5,
                  transform=axis.get_xaxis_transform(), label='not measured')
    for hours, _, _ in course.changes:
        axis.axvline(hours * factor, color='black', linewidth=0.8, linestyle='--')
    axis.set_title('{}: n = {}'.format(course.name, len([point for point in course.points if point.good])))
    axis.set_ylabel('{}\n/ {}'.format(course.metric.name, figures.unit_text(course.metric.unit)))
