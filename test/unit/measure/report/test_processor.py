"""The part of a report on processors."""
from ua_overlay.measure.report import processor
from ua_overlay.measure.report.data import Data
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp, words_of


def test_load_of_both_ends():
    part = processor.part(data_of(measure_samples.samples(4, 3)))
    assert ('TCP', 'congestion cubic', 'Library', 'DERP', '4', '20.0', '30.0') in part.items[1].rows
    assert 'Here both ends, the relays and the emulator are one machine' in words_of(part)


def test_load_of_one_end():
    part = processor.part(Data([tcp('raw', 1, 9e7, cpu={'source_percent': None, 'target_percent': 5.0})], {}))
    assert part.items[1].rows[0][-2:] == ('-', '5.00') and 'the emulator' not in words_of(part)


def test_no_load_of_either_end():
    assert processor.part(data_of([tcp('raw', 1, 9e7, cpu={})])) is None
