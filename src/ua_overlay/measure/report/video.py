"""What a report says of a camera's stream: which frames arrived, how old, and what ran beside it."""
import statistics

from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import figures_video, stats
from ua_overlay.measure.report.parts import Part, Picture, Table, shown, text

TITLE = 'Video'


def added(parts, data):
    """The parts of a report with that of the video among them, before what was left out; the same without video."""
    rows = data.rows('video_hz')
    if not rows:
        return parts
    place = next((number for number, part in enumerate(parts) if part.title == 'What was left out'), len(parts))
    return parts[:place] + [_part(data, rows)] + parts[place:]


def _part(data, rows):
    groups = [row.group for row in rows]
    return Part(TITLE, (
        'A camera that was generated sends a moving picture over ROS (rospy, TCP), and the other robot counts what '
        'arrives. Both queues hold one frame: where the network is slower than the camera, frames are dropped before '
        'they are sent. What waits in the buffers of sockets is not dropped; it makes frames old. A frame is lost when '
        'it was filmed and never arrived. Pictures are coded before the stream begins, as by a camera that codes them '
        'itself, and the viewer does not decode them. "Hog": one TCP connection (iperf3) the same way, beside the '
        'stream. Raw frames (bgr8) of 1280x720 at 30 Hz are 663 Mbit/s.',
        Picture('video', 'Above: frames a second that arrived, median of the repetitions with its 95 % interval; the '
                'dashed line is the rate of the camera. Middle: age of the frames at arrival, from the median (mark) '
                'over 95 % (dash) to 99 % (end of the line); each is the median of the repetitions. Below: frames '
                'lost, of those that were filmed.', lambda: figures_video.streams(data, groups)),
        _arrived(data, rows), _beside(data, groups)))


def _arrived(data, rows):
    lines = []
    for row in rows:
        group = row.group
        ages = [shown_median(group, key) for key in ('video_age', 'video_age95', 'video_age99')]
        lines.append((place_of(data, group), group.label, figures_video.words(group),
                      str(row.estimate.n), shown(row.estimate, 'Hz')) + tuple(ages) + (
                          shown(stats.estimate(group.values(report_data.METRICS['video_lost'])), '%'),))
    return Table('What arrived: medians of the repetitions, 95 % intervals',
                 ('place', 'link', 'stream', 'n', 'frames', 'age 50 % / ms', '95 % / ms', '99 % / ms', 'lost'),
                 tuple(lines))


def _beside(data, groups):
    lines = []
    for group in groups:
        lines.append((place_of(data, group), group.label, figures_video.words(group),
                      _middle(group, 'size_bytes', 1e-3), ', '.join(sorted(
                          {str(each['values'].get('congestion', '')) for each in group.samples})),
                      shown_median(group, 'video_longest'), shown_median(group, 'video_skipped'),
                      shown_median(group, 'video_hog'), _middle(group, 'source_process_percent'),
                      _middle(group, 'target_process_percent'), ', '.join(
                          _middle(group, end + '_machine_percent') for end in ('source', 'target'))))
    return Table('Beside it: medians of the repetitions. Processors: of the programs (of one processor), and '
                 'of the camera\'s and the viewer\'s machine (of all; in a lab they are the same)',
                 ('place', 'link', 'stream', 'frame / kB', 'TCP', 'longest gap / ms', 'not filmed', 'hog / (Mbit/s)',
                  'film / %', 'show / %', 'machines / %'), tuple(lines))


def place_of(data, group):
    return (data.places.get(group.place) or {}).get('name', group.place)


def shown_median(group, key):
    found = stats.estimate(group.values(report_data.METRICS[key]))
    return text(found.value) if found else '-'


def _middle(group, key, factor=1.0):
    found = [each['values'][key] * factor for each in group.samples if each['values'].get(key) is not None]
    return text(float(statistics.median(found))) if found else '-'
