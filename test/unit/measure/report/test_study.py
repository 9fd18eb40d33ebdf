"""The part that compares a report with the source study."""
import dataclasses

import pytest

from ua_overlay.measure.report import study
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp, words_of


@pytest.mark.parametrize('words', ['39.30 %', '35.25 %', '5.35 %', 'not a measurement of this campaign',
                                   '(raw - overlay) / raw * 100', '(overlay - raw) / raw * 100'])
def test_text_of_the_comparison(words):
    assert words in words_of(study.part(data_of(measure_samples.samples(4, 3))))


def test_a_row_for_each_metric_of_the_study_and_each_link():
    table = study.part(data_of(measure_samples.samples(4, 3))).items[-1]
    assert [(row[0].split(' (')[0], row[1]) for row in table.rows] == [
        (name, label) for name in ('TCP throughput loss', 'RTT increase') for label in ('DIRECT', 'PEER_RELAY', 'DERP')
    ] + [('UDP loss', label) for label in ('raw', 'DIRECT', 'PEER_RELAY', 'DERP')]
    assert all(len(row) == len(table.headers) and row[4] == '3' for row in table.rows)


@pytest.mark.parametrize('mtu, floor', [(1280, '5.35'), (1420, '4.53')])
def test_the_header_floor_uses_the_most_common_mtu(mtu, floor):
    raw, overlay, odd = tcp('raw', 1, 9e7), tcp('DIRECT', 1, 8e7), tcp('DIRECT', 2, 8e7)
    overlay.settings['mtu'] = mtu
    odd.settings['mtu'] = 576
    words = words_of(study.part(data_of([raw, overlay, dataclasses.replace(overlay, id='again'), odd])))
    assert 'cost {} %'.format(floor) in words and 'MTU {} instead of 1500'.format(mtu) in words


def test_nothing_to_compare():
    assert study.part(data_of([tcp('DIRECT', 1, 8e7)])) is None
