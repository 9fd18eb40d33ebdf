"""Numbers and names as people read them."""
import pytest

from ua_overlay.measure.report import numbers
from ua_overlay.measure.stats import Estimate


@pytest.mark.parametrize('value, text', [(None, '-'), ('', '-'), (0.0, '0.000'), (-0.0001, '0.000'), (5.853, '5.85'),
                                         (61.72, '61.7'), (1234.5, '1234'), (3, '3'), ('cubic', 'cubic')])
def test_a_value(value, text):
    assert numbers.number_text(value) == text


@pytest.mark.parametrize('estimate, text', [
    (None, '-'), (Estimate(5.9, 5.7, 6.1, 9), '5.90 [5.70, 6.10] %'), (Estimate(5.9, None, None, 1), '5.90 %')])
def test_an_estimate(estimate, text):
    assert numbers.estimate_text(estimate, '%') == text


def test_names():
    assert numbers.with_variant('Round trip', 'size 56') == 'Round trip (size 56)'
    assert numbers.with_variant('Round trip', '') == 'Round trip'
    assert [numbers.numbered('tcp', number) for number in (0, 1)] == ['tcp', 'tcp-2']
