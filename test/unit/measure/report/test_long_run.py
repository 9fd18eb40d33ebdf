"""A monitor in a report: each sample at its time, changes of the link type, gaps."""
import pytest

from ua_overlay.measure.campaign import sample
from ua_overlay.measure.report import long_run
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp

START = 1767225600.0


def trip(minute, label, status='ok'):
    values = {'rtt_ms': [10.0 + minute], 'sent': 1, 'lost': 0} if status == 'ok' else {}
    return measure_samples.sample(
        'lab', 'DIRECT', 'ping', minute, values, {'size': 56}, expected='', started=sample.moment(START + 60 * minute),
        status=status, problem='' if status == 'ok' else 'gone', proof=measure_samples.proof(label))


COURSE = [trip(0, 'DIRECT'), trip(10, 'DIRECT'), trip(20, '', 'failed'), trip(30, 'DERP'), trip(40, 'DERP'),
          trip(50, '', 'failed'), trip(60, 'DERP'), trip(70, 'PEER_RELAY')]


def test_changes_and_gaps():
    course, = long_run.courses(data_of(COURSE))
    assert (course.name, len(course.points)) == ('Robot lab', 8)
    assert [point.value for point in course.points] == [10, 20, None, 40, 50, None, 70, 80]
    assert course.changes == [(0.5, 'DIRECT', 'DERP'), (pytest.approx(70 / 60), 'DERP', 'PEER_RELAY')]


def test_samples_are_sorted_by_time():
    assert long_run.courses(data_of(COURSE[::-1])) == long_run.courses(data_of(COURSE))


def test_a_short_monitor_is_drawn_over_time_but_no_short_campaign():
    short = [trip(minute, 'DIRECT') for minute in range(6)]
    assert long_run.part(data_of(short)) is None
    monitored = data_of(short, campaign={'monitor': {'capacity': '20mbit'}})
    assert long_run.part(monitored).title == 'Over hours and days'
    assert long_run.part(data_of([])) is None


def test_the_figure_has_a_panel_per_probe_and_a_line_per_change(matplotlib):
    picture, = long_run.part(data_of(COURSE)).items[1:]
    axis, = picture.draw().axes
    assert axis.get_title() == 'Robot lab: n = 6' and axis.get_xlabel() == 'time / min'
    assert len([line for line in axis.lines if line.get_linestyle() == '--']) == 2
    names = axis.get_legend_handles_labels()[1]
    assert names == ['DIRECT', 'PEER_RELAY', 'DERP', 'not measured']


def test_round_trips_come_before_throughput():
    throughputs = [tcp('DIRECT', minute, 5e6, started=sample.moment(START + 60 * minute))
                   for minute in range(0, 70, 10)]
    assert [course.metric.key for course in long_run.courses(data_of(throughputs + COURSE))] == ['rtt', 'tcp']


def test_a_probe_with_few_samples_is_not_drawn():
    assert long_run.courses(data_of(COURSE[:5] + COURSE[-1:]))
    assert long_run.courses(data_of(COURSE[:4] + COURSE[-1:])) == []
