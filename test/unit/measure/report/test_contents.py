"""The parts of a report in their order."""
import pytest

from ua_overlay.measure.report import contents, figures
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp


def keys(data):
    return [key for key, _ in contents.parts(data)]


def test_parts_of_a_full_campaign():
    assert keys(data_of(measure_samples.samples(3, 4))) == [
        'overview', 'study', 'links', 'raw-overlay', 'throughput-time', 'map', 'tcp', 'rtt', 'jitter', 'udp_lost',
        'age', 'service', 'processors', 'left-out', 'numbers', 'method']


def test_metrics_without_samples_have_no_part():
    assert keys(data_of([tcp('raw', 1, 9e7, cpu={})], places={})) == [
        'overview', 'links', 'throughput-time', 'tcp', 'left-out', 'numbers', 'method']


@pytest.mark.parametrize('campaign, there', [({}, True), ({'monitor': {}}, False)])
def test_a_monitor_has_no_throughput_over_time(campaign, there):
    assert ('throughput-time' in keys(data_of([tcp('raw', 1, 9e7)], campaign=campaign))) == there


def test_each_variant_has_its_own_figure():
    parts = dict(contents.parts(data_of(measure_samples.samples(3, 4))))
    assert [(item.name, '(size {}, rate 10)'.format(size) in item.caption)
            for item, size in zip(parts['age'].items, (1000, 100000))] == [('age', True), ('age-2', True)]
    assert 'a second of iperf3' in parts['tcp'].items[0].caption


def test_many_places_are_split_over_several_figures(matplotlib):
    places = ['place-{}'.format(number) for number in range(figures.MOST_PANELS + 1)]
    samples = [measure_samples.sample(place, 'raw', 'iperf3-tcp', 1, {
        'bps': 9e7, 'intervals_bps': [9e7], 'retransmits': 0}, {'congestion': 'cubic'}) for place in places]
    part = dict(contents.parts(data_of(samples, places={})))['throughput-time']
    assert [item.name for item in part.items] == ['throughput-time', 'throughput-time-2']
    titles = [axis.get_title() for item in part.items for axis in item.draw().axes if axis.get_visible()]
    assert sorted(titles) == sorted('{} (n = 1)'.format(place) for place in places)


def test_the_title_names_the_campaign():
    assert contents.title(data_of([])) == 'Overlay measurements: synthetic'
    assert contents.title(data_of([], name='')) == 'Overlay measurements: campaign'
