"""The part of a report on a camera's stream: arrived frames, their age, and the traffic beside the stream. Pure."""
import functools
import statistics
from typing import List, Optional

from ua_overlay.measure import stats
from ua_overlay.measure.report import figures_video
from ua_overlay.measure.report.data import Data, Group, Row
from ua_overlay.measure.report.numbers import estimate_text, number_text
from ua_overlay.measure.report.parts import Part, Picture, Table
from ua_overlay.measure.tools.registry import metrics


def part(data: Data) -> Optional[Part]:
    """The Part, None without video."""
    rows = data.rows('video_hz')
    if not rows:
        return None
    groups = [row.group for row in rows]
    return Part('Video', (
        'A camera sends a generated, moving picture over ROS (rospy, TCP), and the other robot counts the frames that '
        'arrive. Both queues hold one frame: where the network is slower than the camera, frames are dropped before '
        'they are sent. The buffers of sockets drop nothing; what waits there makes frames old. A lost frame is one '
        'that was filmed and never arrived. Pictures are coded before the stream begins, as by a camera that codes '
        'them itself, and the viewer does not decode them. "Hog": one TCP connection (iperf3) on the same path, beside '
        'the stream. Raw frames (bgr8) of 1280x720 at 30 Hz are 663 Mbit/s.',
        Picture('video', 'Above: frames per second that arrived, median of the repetitions with its 95 % interval; the '
                'dashed line is the rate of the camera. Middle: age of the frames at arrival, from the median (mark) '
                'over 95 % (dash) to 99 % (end of the line); each is the median of the repetitions. Below: lost '
                'frames, of those that were filmed.', functools.partial(figures_video.streams, data, groups)),
        _arrived(data, rows), _beside(data, groups)))


def _arrived(data: Data, rows: List[Row]) -> Table:
    lines = []
    for row in rows:
        group = row.group
        ages = tuple(_median(group, key) for key in ('video_age', 'video_age95', 'video_age99'))
        lost = stats.estimate(group.values(metrics()['video_lost']))
        lines.append((data.place_title(group.place), group.label, figures_video.words(group), str(row.estimate.n),
                      estimate_text(row.estimate, 'Hz')) + ages + (estimate_text(lost, '%'),))
    return Table('What arrived: medians of the repetitions, 95 % intervals',
                 ('place', 'link', 'stream', 'n', 'frames', 'age 50 % / ms', '95 % / ms', '99 % / ms', 'lost'),
                 tuple(lines))


def _beside(data: Data, groups: List[Group]) -> Table:
    lines = []
    for group in groups:
        congestion = sorted({str(each.values.get('congestion', '')) for each in group.samples})
        lines.append((data.place_title(group.place), group.label, figures_video.words(group),
                      _middle(group, 'size_bytes', 1e-3), ', '.join(congestion), _median(group, 'video_longest'),
                      _median(group, 'video_skipped'), _median(group, 'video_hog'),
                      _middle(group, 'source_process_percent'), _middle(group, 'target_process_percent'),
                      ', '.join(_middle(group, end + '_machine_percent') for end in ('source', 'target'))))
    return Table('Beside it: medians of the repetitions. Processors: of the programs (of one processor), and of the '
                 'camera\'s and the viewer\'s machine (of all; in a lab both are one machine)',
                 ('place', 'link', 'stream', 'frame / kB', 'TCP', 'longest gap / ms', 'skipped', 'hog / (Mbit/s)',
                  'film / %', 'show / %', 'machines / %'), tuple(lines))


def _median(group: Group, key: str) -> str:
    """Median of a metric over the repetitions."""
    estimate = stats.estimate(group.values(metrics()[key]))
    return number_text(estimate.value) if estimate else '-'


def _middle(group: Group, key: str, factor: float = 1.0) -> str:
    """Median over the samples of a value without a metric."""
    values = [each.values[key] * factor for each in group.samples if each.values.get(key) is not None]
    return number_text(float(statistics.median(values))) if values else '-'
