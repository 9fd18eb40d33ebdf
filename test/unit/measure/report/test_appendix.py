"""The last parts of a report: excluded samples, all numbers, the method."""
from ua_overlay.measure.report import appendix
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp, words_of


def test_excluded_samples_have_a_reason():
    words = words_of(appendix.left_out(data_of(measure_samples.samples(1, 2))))
    assert 'Bytes went over DERP' in words and 'iperf3: no route.' in words
    assert 'No sample was left out' in words_of(appendix.left_out(data_of([tcp('raw', 1, 9e7)])))


def test_only_the_last_excluded_samples_are_listed():
    lost = [tcp('DIRECT', number, 0, status='failed') for number in range(80)]
    table = appendix.left_out(data_of(lost + [tcp('raw', 1, 9e7)])).items[1]
    assert len(table.rows) == 50 and table.rows[-1][0] == lost[-1].id
    assert table.caption == '80 of 81 samples (the last 50; samples.csv has all)'


def test_all_numbers_and_a_warning_for_few_repetitions():
    few = appendix.all_numbers(data_of(measure_samples.samples(4, 3)))
    assert few.items[0].startswith('Some have fewer than 10 repetitions')
    row, = [row for row in few.items[1].rows if row[:3] == ('Round trip (size 56)', 'Library', 'DERP')]
    assert row[3] == '4' and row[4].endswith(' ms') and row[5].endswith(' %') and row[6].endswith(' ms')
    many = appendix.all_numbers(data_of([tcp('raw', number, 9e7) for number in range(10)]))
    assert len(many.items) == 1


def test_the_method_names_both_mtus():
    words = words_of(appendix.method(data_of([tcp('raw', 1, 9e7), tcp('DIRECT', 1, 8e7)])))
    assert 'carries 94.15 %' in words and 'raw (MTU 1500' in words and '89.11 % inside WireGuard (MTU 1280)' in words
