"""The parts of a report in their order, for the writers of HTML and PDF alike. Pure."""
import functools
from typing import Callable, List, Optional, Sequence, Tuple

from ua_overlay import link_types
from ua_overlay.measure.report import appendix, encryption, figures, long_run, overview, processor, study, video
from ua_overlay.measure.report.data import RAW, Data, Row
from ua_overlay.measure.report.numbers import numbered, with_variant
from ua_overlay.measure.report.parts import Figure, Part, Picture
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.registry import metrics

#: Keys of the two metrics that characterise a link: throughput and round trip.
THROUGHPUT, ROUND_TRIP = 'tcp', 'rtt'


def parts(data: Data) -> List[Tuple[str, Part]]:
    """[(key, part)] of a report, without parts that have no samples. The key of a metric's part is the metric's."""
    makers: List[Tuple[str, Callable[[Data], Optional[Part]]]] = [
        ('overview', overview.part), ('long-run', long_run.part), ('study', study.part), ('links', _by_link),
        ('raw-overlay', _against_raw), ('throughput-time', _over_time), ('map', _map)]
    makers += [(metric.key, functools.partial(_by_place, metric=metric))
               for metric in metrics().values() if metric.heading]
    makers += [('processors', processor.part), ('encryption', lambda data: encryption.part(data.encryption)),
               ('video', video.part), ('left-out', appendix.left_out), ('numbers', appendix.all_numbers),
               ('method', appendix.method)]
    return [(key, part) for key, part in ((key, make(data)) for key, make in makers) if part]


def title(data: Data) -> str:
    return 'Overlay measurements: {}'.format(data.campaign.get('name') or 'campaign')


def _by_link(data: Data) -> Optional[Part]:
    return _throughput_and_trips(
        data, '{} and raw'.format(', '.join(link_types.CARRYING)), 'links', figures.by_link, bool,
        'Above, each mark is one repetition, and all places stand together; each place has its own path and link, so '
        'compare with care where places differ. Below, each place is compared with its own raw network; bars are 95 % '
        'intervals.')


def _against_raw(data: Data) -> Optional[Part]:
    return _throughput_and_trips(
        data, 'Raw against overlay', 'raw-overlay', figures.against_raw,
        lambda rows: any(row.change for row in rows),
        'Medians of the repetitions with 95 % intervals, and the change from raw to overlay in per cent and in the '
        'unit.')


def _throughput_and_trips(data: Data, heading: str, name: str,
                          draw: Callable[[Data, Sequence[Row], Sequence[Row]], Figure],
                          select: Callable[[List[Row]], bool], caption: str) -> Optional[Part]:
    """A picture for each variant of the throughput, each with the round trips beside it.

    :param select: function of rows -> whether they have something to draw.
    """
    trips: List[Row] = next((rows for _, rows in data.variants(ROUND_TRIP) if select(rows)), [])
    throughputs = [(variant, rows) for variant, rows in data.variants(THROUGHPUT) if select(rows)]
    if not throughputs and trips:
        throughputs = [('', [])]
    return _pictures(heading, [
        Picture(numbered(name, number), with_variant(caption, variant), functools.partial(draw, data, rows, trips))
        for number, (variant, rows) in enumerate(throughputs)])


def _over_time(data: Data) -> Optional[Part]:
    # A monitor's probes are short and limited to a rate: a plot over their seconds shows nothing.
    if data.monitored:
        return None
    panels = []
    for variant, rows in data.variants(THROUGHPUT):
        places = figures.places_of(rows)
        panels += [(variant, [row for row in rows if row.group.place in places[first:first + figures.MOST_PANELS]])
                   for first in range(0, len(places), figures.MOST_PANELS)]
    return _pictures('Throughput over time', [Picture(numbered('throughput-time', number), with_variant(
        'Lines: median of the repetitions in each second, as the sender counts. Bands: middle half of the repetitions '
        '(25 to 75 %).', variant), functools.partial(figures.over_time, data, rows))
        for number, (variant, rows) in enumerate(panels)])


def _map(data: Data) -> Optional[Part]:
    rows = [row for row in data.rows(ROUND_TRIP) if row.group.label != RAW]
    if not any('x' in (data.places.get(row.group.place) or {}) for row in rows):
        return None
    return _pictures('Map', [Picture(
        'map', 'Median round trip over the overlay at each place, by the coordinates of the campaign; of several links '
        'at one place, the shortest.', functools.partial(figures.on_map, data, rows))])


def _by_place(data: Data, metric: Metric) -> Optional[Part]:
    return _pictures(metric.heading, [Picture(numbered(metric.key, number), with_variant(
        'Boxes: middle half of the single measurements ({}), whiskers 5 to 95 %. Marks beside them: median of the '
        'repetitions with its 95 % interval; n counts repetitions.'.format(metric.piece), variant),
        functools.partial(figures.by_place, data, rows))
        for number, (variant, rows) in enumerate(data.variants(metric.key))])


def _pictures(heading: str, pictures: List[Picture]) -> Optional[Part]:
    return Part(heading, tuple(pictures)) if pictures else None
