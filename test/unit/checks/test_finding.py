"""Findings as sentences, lists and levels."""
import pytest

from ua_overlay.checks.finding import Finding, listed, worst


def test_sentence():
    assert Finding('a', 'WARN', 'What.', 'Why.', 'command').sentence() == 'What. Why. Next: command'
    assert Finding('a', 'OK', 'What.').sentence() == 'What.'


@pytest.mark.parametrize('levels, expected', [
    ([], 'OK'), (['UNKNOWN', 'OK'], 'UNKNOWN'), (['OK', 'ERROR', 'WARN'], 'ERROR')])
def test_the_worst_level(levels, expected):
    assert worst(Finding('a', level, '') for level in levels) == expected


def test_a_long_list_is_cut():
    assert listed(['a', 'b', 'c', 'd']) == 'a, b, c, d'
    assert listed(str(number) for number in range(7)) == '0, 1, 2, 3 and 3 more'
