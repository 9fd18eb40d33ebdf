"""The first part of a report: what was measured, where and with what."""
import pytest

from ua_overlay.measure.report import overview
from ua_overlay.measure.report.data import Data
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, tcp, words_of


@pytest.mark.parametrize('words', [
    'SYNTHETIC: a test made these numbers up.', 'EMULATED', 'delay 5ms, queue 50ms, rate 100mbit',
    '2 samples were taken, 1 of them are used here', 'tailscale on dev-1\n1.98.10',
    'settings of iperf3-tcp\ncongestion cubic, MTU 1500'])
def test_text_of_the_overview(words):
    assert words in words_of(overview.part(data_of([tcp('raw', 1, 9e7), tcp('DERP', 1, 3e7, status='failed')])))


def test_real_links_are_not_called_emulated():
    words = words_of(overview.part(Data([tcp('raw', 1, 9e7, link={})], {'name': 'campus', 'emulated': False})))
    assert 'EMULATED' not in words and 'SYNTHETIC' not in words and 'nothing emulated them' in words


def test_a_report_of_one_place_says_so():
    data = Data(measure_samples.samples(2, 3), measure_samples.campaign(), only=['bar'])
    assert 'Of 3 places of the campaign this report has Bar <N>.' in words_of(overview.part(data))


def test_hosts_with_the_same_programs_are_grouped():
    versions = {'dev-1': {'kernel': '6.1'}, 'dev-2': {'kernel': '6.1'}, 'dev-3': {'kernel': '5.4'}}
    words = words_of(overview.part(data_of([tcp('raw', 1, 9e7)], versions=versions)))
    assert 'kernel on dev-1, dev-2\n6.1' in words and 'kernel on dev-3\n5.4' in words


def test_raw_and_overlay_share_a_settings_line_with_both_mtus():
    words = words_of(overview.part(data_of([tcp('raw', 1, 9e7), tcp('DIRECT', 1, 8e7)])))
    assert 'congestion cubic, MTU 1280 or 1500' in words
