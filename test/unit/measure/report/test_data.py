"""Who is compared with whom, and what is left out; the tables of it."""
import csv
import io

import pytest

from ua_overlay.measure.report import csv as report_csv
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import text
from unit.measure import samples as measure_samples


@pytest.fixture(scope='module')
def data():
    return report_data.Data(measure_samples.samples(repetitions=4, seconds=3), measure_samples.campaign())


def of(samples):
    return report_data.Data(samples, measure_samples.campaign())


def tcp(label, repetition, rate, **more):
    values = {'bps': rate, 'intervals_bps': [rate], 'retransmits': 0}
    settings = more.pop('settings', {'congestion': 'cubic'})
    return measure_samples.sample('lab', label, 'iperf3-tcp', repetition, values, settings, **more)


def test_a_row_for_each_place_and_link_in_the_order_of_the_campaign(data):
    rows = data.rows('tcp')
    assert [(row.group.place, row.group.label) for row in rows] == [
        (place, label) for place in measure_samples.PLACES for label in measure_samples.LINKS]
    assert {row.estimate.n for row in rows} == {4}


def test_changes_are_against_raw_of_the_same_place(data):
    for row in data.rows('tcp'):
        wanted = {'raw': None, 'DIRECT': 5.85, 'PEER_RELAY': 7.45, 'DERP': 67.0}[row.group.label]
        assert (row.change and row.change.percent.value) == (wanted and pytest.approx(wanted, abs=2.5))
    (variant, _), = data.variants('tcp')
    change, places = data.overall('tcp', variant)['DIRECT']
    assert (change.percent.value, places) == (pytest.approx(5.85, abs=1.5), 3)


def test_what_was_excluded_or_failed_is_in_no_number(data):
    assert [each['status'] for each in data.left_out] == ['excluded', 'failed']
    assert max(value for row in data.rows('rtt') for value in row.group.pieces(row.metric)) < 999


def test_a_sample_that_was_taken_again_counts_as_the_last_time():
    found = of([tcp('raw', 1, 9e7, status='failed', problem='gone'), tcp('raw', 1, 8e7)])
    assert (len(found.samples), found.left_out, found.rows('tcp')[0].estimate.value) == (1, [], pytest.approx(80))


def test_settings_keep_measurements_apart(data):
    assert [variant for variant, _ in data.variants('age')] == ['size 1000, rate 10', 'size 100000, rate 10']
    bbr = tcp('raw', 1, 4e7, id='other', settings={'congestion': 'bbr'})
    found = of([tcp('raw', 1, 9e7), bbr, tcp('DIRECT', 1, 8e7)])
    assert len(found.variants('tcp')) == 2
    assert found.rows('tcp')[-1].change.absolute.value == pytest.approx(10)


@pytest.mark.parametrize('path, expected, counted, wanted', [
    ('raw', '', {}, 'raw'), ('overlay', 'DERP', {'DERP': 1}, 'DERP'), ('overlay', '', {'DIRECT': 2, 'DERP': 9}, 'DERP'),
    ('overlay', '', {'DIRECT': 0}, 'overlay'), ('overlay', '', {}, 'overlay')])
def test_the_label(path, expected, counted, wanted):
    assert report_data.label_of({'path': path, 'expected': expected, 'proof': {'bytes': counted}}) == wanted


@pytest.mark.parametrize('link, wanted', [
    ({}, None), ({'dev-1': {'delay': '5ms'}}, None),
    ({'relay': {'rate': '1kbit'}, 'dev-2': {'rate': '1.5gbit'}}, 1.5e9),
    ({'dev-1': {'rate': '100mbit', 'delay': '5ms'}, 'dev-2': {'rate': '20mbit'}}, 20e6)])
def test_the_capacity_is_that_of_the_slower_end(link, wanted):
    assert of([tcp('raw', 1, 9e7, link=link)]).groups[0].capacity == wanted


def test_two_scenarios_of_one_place_are_told_apart():
    found = of([tcp('raw', 1, 9e7), tcp('raw', 1, 8e7, id='b', scenario='far')])
    assert {found.place_name(group) for group in found.groups} == {'Robot lab (lab)', 'Robot lab (far)'}


@pytest.mark.parametrize('mtu, floor', [(1280, '5.35'), (1420, '4.53')])
def test_the_header_floor_is_that_of_the_mtu_that_most_samples_had(mtu, floor):
    raw, overlay = tcp('raw', 1, 9e7), tcp('DIRECT', 1, 8e7)
    overlay['settings']['mtu'] = mtu
    odd = tcp('DIRECT', 2, 8e7)
    odd['settings'].update(mtu=576)
    found = of([raw, overlay, dict(overlay, id='again'), odd])
    said = words_of(found)
    assert 'cost {} %'.format(floor) in said and 'MTU {} instead of 1500'.format(mtu) in said


def test_a_size_is_not_rounded():
    assert report_data.variant_of({'tool': 'ros-topic', 'settings': {'size': 1000000, 'rate_hz': 0.5}}) == \
        'size 1000000, rate 0.5'


def test_a_report_of_one_place_says_so():
    found = report_data.Data(measure_samples.samples(2, 3), measure_samples.campaign(), only=['bar'])
    assert {group.place for group in found.groups} == {'bar'} and len(found.left_out) == 2
    assert 'Of 3 places of the campaign this report has Bar <N>.' in words_of(found)


def test_each_link_of_one_place_stands_beside_its_own_raw_network():
    found = of([tcp('raw', 1, 9e7, scenario='near'), tcp('DIRECT', 1, 8e7, scenario='near'),
                tcp('raw', 1, 9e7, id='b', scenario='far'), tcp('DERP', 1, 3e7, scenario='far')])
    assert [(found.place_name(row.group), row.group.label) for row in found.rows('tcp')] == [
        ('Robot lab (far)', 'raw'), ('Robot lab (near)', 'raw'), ('Robot lab (near)', 'DIRECT'),
        ('Robot lab (far)', 'DERP')]


def test_the_tables(data):
    rows = list(csv.DictReader(io.StringIO(report_csv.samples(data))))
    assert {row['status'] for row in rows if row['value'] == ''} == {'excluded', 'failed'}
    assert len({row['id'] for row in rows}) == len(data.samples)
    summary = list(csv.DictReader(io.StringIO(report_csv.summary(data))))
    direct, = [row for row in summary if (row['metric'], row['place'], row['link']) == ('rtt', 'lab', 'DIRECT')]
    assert float(direct['change']) == pytest.approx(0.4, abs=0.2)
    assert float(direct['low95']) <= float(direct['median']) <= float(direct['high95'])


def test_no_cell_is_a_formula():
    found = of([tcp('raw', 1, 9e7), tcp('raw', 2, 0, status='failed', problem='=HYPERLINK("x")')])
    assert "'=HYPERLINK" in report_csv.samples(found)


def words_of(data):
    found = []
    for part in text.parts(data):
        for item in part.items:
            found += [item] if isinstance(item, str) else [item.caption] + [
                cell for row in getattr(item, 'rows', ()) for cell in row]
    return '\n'.join(found)


def test_the_report_says_what_it_has_to(data):
    said = words_of(data)
    for wanted in ('SYNTHETIC', 'EMULATED', '39.30 %', '35.25 %', '5.35 %', 'no measurement of this campaign',
                   'delay 5ms, queue 50ms, rate 100mbit', '(raw - overlay) / raw * 100', '(overlay - raw) / raw * 100',
                   'Bytes went over DERP', 'iperf3: no route.', 'fewer than 10 repetitions'):
        assert wanted in said


def test_real_links_are_not_called_emulated():
    found = report_data.Data([tcp('raw', 1, 9e7, link={})], {'name': 'campus', 'emulated': False})
    assert 'EMULATED' not in words_of(found) and 'SYNTHETIC' not in words_of(found)
    assert 'No sample was left out' in words_of(found)


@pytest.mark.parametrize('value, wanted', [(None, '-'), ('', '-'), (0.0, '0.000'), (-0.0001, '0.000'), (5.853, '5.85'),
                                           (61.72, '61.7'), (1234.5, '1234'), (3, '3')])
def test_numbers_for_people(value, wanted):
    assert text.text(value) == wanted


def test_how_busy_both_ends_were(data):
    said = words_of(data)
    assert 'Busy processors at both ends / %' in said and 'Here both ends, the relays and the emulator' in said
    part, = [part for part in text.parts(data) if part.title == 'Processors']
    assert ('TCP', 'congestion cubic', 'Library', 'DERP', '4', '20.0', '30.0') in part.items[1].rows


def test_hosts_with_the_same_programs_stand_together():
    campaign = dict(measure_samples.campaign(), versions={
        'dev-1': {'kernel': '6.1'}, 'dev-2': {'kernel': '6.1'}, 'dev-3': {'kernel': '5.4'}})
    said = words_of(report_data.Data([tcp('raw', 1, 9e7)], campaign))
    assert 'kernel on dev-1, dev-2\n6.1' in said and 'kernel on dev-3\n5.4' in said
