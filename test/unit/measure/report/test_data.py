"""Comparisons between links, and excluded samples."""
import pytest

from ua_overlay import link_types
from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.report.data import LABELS, Data, label_of
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp


@pytest.fixture(scope='module')
def data():
    return Data(measure_samples.samples(repetitions=4, seconds=3), measure_samples.campaign())


def test_rows_have_the_order_of_the_campaign(data):
    rows = data.rows('tcp')
    assert [(row.group.place, row.group.label) for row in rows] == [
        (place, label) for place in measure_samples.PLACES for label in measure_samples.LINKS]
    assert {row.estimate.n for row in rows} == {4}


def test_changes_are_relative_to_raw_at_the_same_place(data):
    for row in data.rows('tcp'):
        expected = {'raw': None, 'DIRECT': 5.85, 'PEER_RELAY': 7.45, 'DERP': 67.0}[row.group.label]
        assert (row.change and row.change.percent.value) == (expected and pytest.approx(expected, abs=2.5))
    (variant, _), = data.variants('tcp')
    change, places = data.overall('tcp', variant)['DIRECT']
    assert (change.percent.value, places) == (pytest.approx(5.85, abs=1.5), 3)


def test_excluded_and_failed_samples_count_nowhere(data):
    assert [each.status for each in data.left_out] == ['excluded', 'failed']
    assert max(value for row in data.rows('rtt') for value in row.group.pieces(row.metric)) < 999


def test_last_attempt_of_a_sample_counts():
    result = data_of([tcp('raw', 1, 9e7, status='failed', problem='gone'), tcp('raw', 1, 8e7)])
    assert (len(result.samples), result.left_out, result.rows('tcp')[0].estimate.value) == (1, [], pytest.approx(80))


def test_different_settings_are_different_variants(data):
    assert [variant for variant, _ in data.variants('age')] == ['size 1000, rate 10', 'size 100000, rate 10']
    bbr = tcp('raw', 1, 4e7, id='other', settings={'congestion': 'bbr'})
    result = data_of([tcp('raw', 1, 9e7), bbr, tcp('DIRECT', 1, 8e7)])
    assert len(result.variants('tcp')) == 2
    assert result.rows('tcp')[-1].change.absolute.value == pytest.approx(10)


@pytest.mark.parametrize('path, asked, counted, label', [
    ('raw', '', {}, 'raw'), ('overlay', 'DERP', {'DERP': 1}, 'DERP'), ('overlay', '', {'DIRECT': 2, 'DERP': 9}, 'DERP'),
    ('overlay', '', {'DIRECT': 0}, 'overlay'), ('overlay', '', {}, 'overlay')])
def test_label_of_a_sample(path, asked, counted, label):
    sample = measure_samples.sample('lab', 'DIRECT', 'ping', 1, {}, path=path, expected=asked,
                                    proof=Proof(counted))
    assert label_of(sample) == label


def test_labels_have_the_order_of_the_link_types():
    assert LABELS == ('raw',) + link_types.CARRYING + ('overlay',)


@pytest.mark.parametrize('link, expected', [
    ({}, None), ({'dev-1': {'delay': '5ms'}}, None),
    ({'relay': {'rate': '1kbit'}, 'dev-2': {'rate': '1.5gbit'}}, 1.5e9),
    ({'dev-1': {'rate': '100mbit', 'delay': '5ms'}, 'dev-2': {'rate': '20mbit'}}, 20e6)])
def test_the_slower_end_determines_the_capacity(link, expected):
    assert data_of([tcp('raw', 1, 9e7, link=link)]).groups[0].capacity == expected


def test_two_scenarios_of_one_place_have_different_names():
    result = data_of([tcp('raw', 1, 9e7), tcp('raw', 1, 8e7, id='b', scenario='far')])
    assert {result.place_name(group) for group in result.groups} == {'Robot lab (lab)', 'Robot lab (far)'}


def test_each_link_is_compared_with_its_own_raw_network():
    result = data_of([tcp('raw', 1, 9e7, scenario='near'), tcp('DIRECT', 1, 8e7, scenario='near'),
                tcp('raw', 1, 9e7, id='b', scenario='far'), tcp('DERP', 1, 3e7, scenario='far')])
    assert [(result.place_name(row.group), row.group.label) for row in result.rows('tcp')] == [
        ('Robot lab (far)', 'raw'), ('Robot lab (near)', 'raw'), ('Robot lab (near)', 'DIRECT'),
        ('Robot lab (far)', 'DERP')]


def test_selected_places():
    result = Data(measure_samples.samples(2, 3), measure_samples.campaign(), only=['bar'])
    assert {group.place for group in result.groups} == {'bar'} and len(result.left_out) == 2


def test_a_rate_limited_probe_has_no_capacity():
    limited = tcp('raw', 1, 5e6, settings={'congestion': 'cubic', 'offered_bps': 5e6})
    assert data_of([limited]).groups[0].capacity is None
