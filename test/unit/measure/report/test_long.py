"""A monitor in a report: each sample at its time, changes of the link type, gaps; rotated files."""
import pytest

from ua_overlay.measure.campaign import sample
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import long, report, text
from unit.measure import samples as measure_samples

START = 1767225600.0


def trip(minute, label, status='ok'):
    values = {'rtt_ms': [10.0 + minute], 'sent': 1, 'lost': 0} if status == 'ok' else {}
    made = measure_samples.sample('lab', 'DIRECT', 'ping', minute, values, {'size': 56})
    counted = {'DIRECT': 0, 'PEER_RELAY': 0, 'DERP': 0}
    counted.update({label: 100} if label else {})
    return dict(made, expected='', started=sample.rfc3339(START + 60 * minute), status=status,
                problem='' if status == 'ok' else 'gone', proof={'bytes': counted, 'verdict': 'proven'})


COURSE = [trip(0, 'DIRECT'), trip(10, 'DIRECT'), trip(20, '', 'failed'), trip(30, 'DERP'), trip(40, 'DERP'),
          trip(50, '', 'failed'), trip(60, 'DERP'), trip(70, 'PEER_RELAY')]


def of(samples, **more):
    return report_data.Data(samples, dict(measure_samples.campaign(), **more))


def test_changes_and_gaps():
    course, = long.courses(of(COURSE))
    assert (course.name, len(course.points)) == ('Robot lab', 8)
    assert [point.value for point in course.points] == [10, 20, None, 40, 50, None, 70, 80]
    assert course.changes == [(0.5, 'DIRECT', 'DERP'), (pytest.approx(70 / 60), 'DERP', 'PEER_RELAY')]


def test_the_order_of_time_counts_not_that_of_the_file():
    assert long.courses(of(COURSE[::-1])) == long.courses(of(COURSE))


def test_a_short_campaign_is_not_drawn_over_time_but_a_short_monitor_is():
    short = [trip(minute, 'DIRECT') for minute in range(6)]
    assert long.part(of(short)) is None
    monitored = of(short, campaign={'monitor': {'capacity': '20mbit'}})
    assert long.part(monitored).title == 'Over hours and days'
    assert 'Throughput over time' not in [part.title for part in text.parts(monitored)]
    assert long.part(of([])) is None


def test_the_picture_has_a_panel_for_each_probe_and_a_line_for_each_change():
    pytest.importorskip('matplotlib', reason='no matplotlib: pip install -r requirements/analysis.txt')
    picture, = long.part(of(COURSE)).items[1:]
    axis, = picture.draw().axes
    assert axis.get_title() == 'Robot lab: n = 6' and axis.get_xlabel() == 'time / min'
    assert len([line for line in axis.lines if line.get_linestyle() == '--']) == 2
    names = axis.get_legend_handles_labels()[1]
    assert names == ['DIRECT', 'PEER_RELAY', 'DERP', 'not measured']


def test_rotated_files_are_read(tmp_path):
    results = measure_samples.write(tmp_path, COURSE[4:])
    older = measure_samples.write(tmp_path / 'older', COURSE[:4])
    (older / 'samples.jsonl').rename(results / sample.rotated_name(START + 1800))
    data = report.load(str(results))
    assert [each['started'] for each in data.samples] == [each['started'] for each in COURSE]


def test_of_many_that_were_left_out_the_last_are_shown():
    lost = [trip(minute, '', 'failed') for minute in range(80)]
    part, = [part for part in text.parts(of(lost + COURSE[:1])) if part.title == 'What was left out']
    assert len(part.items[1].rows) == 50 and part.items[1].caption.startswith('79 of 80 samples (the last 50')


def test_a_rate_of_its_own_and_not_the_link_limits_a_probe():
    limited = measure_samples.sample('lab', 'raw', 'iperf3-tcp', 1, {
        'bps': 5e6, 'intervals_bps': [5e6], 'retransmits': 0}, {'congestion': 'cubic', 'offered_bps': 5e6})
    assert of([limited]).groups[0].capacity is None
