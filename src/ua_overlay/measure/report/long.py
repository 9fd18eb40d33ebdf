"""The part of a report on hours and days: each sample where it was taken, and where the link type changed."""
from dataclasses import dataclass

from ua_overlay.measure.campaign import sample
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import figures
from ua_overlay.measure.report.parts import Part, Picture, numbered, words

#: Seconds that a campaign has to span, with so many samples of one kind, to be drawn over time.
SPAN, LEAST = 3600.0, 6
#: What is drawn, in this order.
METRICS = ('rtt', 'tcp', 'udp', 'age', 'service')
HOUR = 3600.0
#: Panels of a figure at most, one below the other.
PANELS = 6


@dataclass(frozen=True)
class Point:
    """A sample: ``hours`` since the first; ``label`` as report_data.LABELS, '' where no byte was counted; ``value``
    None where it was not measured; ``good``: in the numbers of the report."""

    hours: float
    label: str
    value: object
    good: bool


@dataclass(frozen=True)
class Course:
    """The samples of one probe in the order of time. ``name``: what people call it."""

    name: str
    metric: object
    variant: str
    points: tuple

    @property
    def changes(self):
        """[(hours, label before, label after)] where the link type changed; a gap in between is no change."""
        known = [point for point in self.points if point.label]
        return [(after.hours, before.label, after.label) for before, after in zip(known, known[1:])
                if before.label != after.label]


def courses(data):
    """The Courses of a report_data.Data, in the order of METRICS; [] where it is no long run."""
    if not data.samples:
        return []
    times = [sample.seconds(each['started']) for each in data.samples]
    first = min(times)
    if not data.monitored and max(times) - first < SPAN:
        return []
    found = {}
    for each in sorted(data.samples, key=lambda one: one['started']):
        for key in METRICS:
            metric = report_data.METRICS[key]
            if metric.tool == each['tool']:
                names = key, each['place'], each['scenario'], each['path'], report_data.variant_of(each)
                found.setdefault(names, []).append(_point(each, metric, first))
    return [Course(_name(data, *names[1:4]), report_data.METRICS[names[0]], names[4], tuple(points))
            for names, points in sorted(found.items(), key=lambda item: METRICS.index(item[0][0]))
            if len(points) >= LEAST]


def _point(each, metric, first):
    good = each['status'] == sample.OK
    label = report_data.label_of(dict(each, expected='')) if each['proof'].get('bytes') or each['path'] == 'raw' else ''
    return Point((sample.seconds(each['started']) - first) / HOUR, '' if label == report_data.ANY else label,
                 metric.of(each['values']) if good else None, good)


def _name(data, place, scenario, path):
    name = (data.places.get(place) or {}).get('name', place)
    return name + (' ({})'.format(scenario) if scenario != place else '') + (
        ', raw' if path == sample.RAW_PATH else '')


def part(data):
    """The Part, None where it is no long run."""
    by_metric = {}
    for course in courses(data):
        by_metric.setdefault((METRICS.index(course.metric.key), course.variant), []).append(course)
    shown = [(variant, found[first:first + PANELS]) for (_, variant), found in sorted(by_metric.items())
             for first in range(0, len(found), PANELS)]
    if not shown:
        return None
    pictures = [Picture(numbered('long-run', number), words(
        'Each mark is a sample, its colour and shape the link type that most of its bytes went by. Dashed lines: the '
        'link type changed. Crosses at the bottom: nothing was measured, or the link type changed within the sample.',
        variant), lambda found=found: draw(found)) for number, (variant, found) in enumerate(shown)]
    every = [course for found in by_metric.values() for course in found]
    first = 'From {} on. Changes of a link type that were seen, at most in one of these probes: {}.'.format(
        min(each['started'] for each in data.samples)[:16].replace('T', ' ') + ' UTC',
        max(len(course.changes) for course in every))
    return Part('Over hours and days', (first,) + tuple(pictures))


@figures.styled
def draw(found):
    """Courses of one metric, a panel each, one below the other on one axis of time."""
    drawn, axes = figures.figure(0.9 + 1.7 * len(found), len(found), 1, sharex=True)
    most = max(point.hours for course in found for point in course.points)
    unit, factor = ('h', 1.0) if most < 72 else ('d', 1 / 24.0)
    if most < 2:
        unit, factor = 'min', 60.0
    for axis, course in zip(axes[:, 0], found):
        _panel(axis, course, factor)
    axes[-1][0].set_xlabel('time / {}'.format(unit))
    figures.legend(drawn, axes)
    return drawn


def _panel(axis, course, factor):
    for label in report_data.LABELS:
        points = [point for point in course.points
                  if point.value is not None and (point.label or report_data.ANY) == label]
        if points:
            axis.plot([point.hours * factor for point in points], [point.value for point in points],
                      figures.MARKS[label], color=figures.COLOURS[label], markersize=3.5, label=label)
    figures.scale(axis, [point.value for point in course.points if point.value is not None])
    missed = [point.hours * factor for point in course.points if point.value is None]
    if missed:
        # By the height of the panel, not by its scale.
        axis.plot(missed, [0.05] * len(missed), 'x', color='#B00020', markersize=5,
                  transform=axis.get_xaxis_transform(), label='not measured')
    for hours, _, _ in course.changes:
        axis.axvline(hours * factor, color='black', linewidth=0.8, linestyle='--')
    axis.set_title('{}: n = {}'.format(course.name, len([point for point in course.points if point.good])))
    axis.set_ylabel('{}\n/ {}'.format(course.metric.name, figures.unit(course.metric.unit)))
