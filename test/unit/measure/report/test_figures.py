"""The figures of a report: scales, names, and styles for every label."""
import pytest

from ua_overlay.measure.report import figures
from ua_overlay.measure.report.data import LABELS
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp


def test_every_label_has_a_unique_colour_and_marker():
    assert set(figures.COLOURS) == set(figures.MARKS) == set(LABELS)
    assert len(set(figures.COLOURS.values())) == len(set(figures.MARKS.values())) == len(LABELS)


@pytest.mark.parametrize('name, width, lines', [
    ('Library', 20, 'Library'), ('', 20, ''),
    ('Electronics, Telecommunications and Informatics (4)', 24, 'Electronics,\nTelecommunications… (4)')])
def test_a_long_name_has_two_lines_and_keeps_its_parentheses(name, width, lines):
    assert figures.folded(name, width) == lines


def test_places_with_different_rates_have_separate_scales(matplotlib):
    samples = measure_samples.samples(2, 3)
    for each in samples:
        if each.place == 'lab' and each.tool == 'iperf3-tcp' and each.ok:
            each.values['intervals_bps'] = [200 * value for value in each.values['intervals_bps']]
    data = data_of(samples)
    lab, other = figures.over_time(data, data.rows('tcp')).axes[:2]
    assert lab.get_ylim()[1] > 10000 and other.get_ylim()[1] < 200
    assert lab.get_ylabel() == 'TCP throughput / (Mbit/s)'


def test_throughput_costs_are_percent_and_round_trip_costs_ms(matplotlib):
    data = data_of(measure_samples.samples(3, 3))
    drawn = figures.by_link(data, data.rows('tcp'), data.rows('rtt'))
    assert [axis.get_ylabel() for axis in drawn.axes] == [
        'TCP throughput / (Mbit/s)', 'Round trip / ms', 'TCP throughput lost / %', 'Round trip added / ms']
    floors = [line.get_label() for line in drawn.axes[2].lines if line.get_label().startswith('header floor')]
    assert floors == ['header floor of WireGuard, 5.35 %']


def test_raw_and_overlay_share_one_row(matplotlib):
    data = data_of([tcp(label, number, rate) for label, rate in (('raw', 1e8), ('DIRECT', 9e7)) for number in (1, 2)])
    axis, = figures.against_raw(data, data.rows('tcp'), []).axes
    assert [text.get_text() for text in axis.texts] == ['-10.0 %, -10 Mbit/s']
    assert axis.get_xlim() == (0.0, pytest.approx(180.0))


def test_a_map_has_every_place_with_coordinates(matplotlib):
    samples = [each for each in measure_samples.samples(2, 2) if each.place != 'bar']
    data = data_of(samples)
    axis, = figures.on_map(data, data.rows('rtt')).axes
    words = [text.get_text() for text in axis.texts]
    assert 'Bar <N>' in words and any(word.startswith('Library\nDIRECT') for word in words)


def test_link_limits_are_drawn_only_for_throughput(matplotlib):
    data = data_of(measure_samples.samples(2, 2))
    limits = [[line for line in figures.by_place(data, data.rows(key)).axes[0].lines
               if 'capacity' in str(line.get_label())] for key in ('tcp', 'rtt')]
    assert len(limits[0]) == 3 and limits[1] == []


def test_a_drawing_function_keeps_its_name():
    assert figures.by_link.__name__ == 'by_link'
