"""Numbers of a sample's values; None where the values do not have them."""
import pytest

from ua_overlay.measure.tools import metric


@pytest.mark.parametrize('make, values, result', [
    (metric.median('x'), {'x': [1.0, 9.0, 2.0]}, 2.0), (metric.median('x'), {'x': []}, None),
    (metric.median('x'), {}, None), (metric.number('x', 1e-6), {'x': 5e6}, 5.0), (metric.number('x'), {'x': 0}, 0),
    (metric.number('x'), {'x': None}, None), (metric.percentile('x', 0.95), {'x': list(range(101))}, 95),
    (metric.percentile('x', 0.95), {}, None), (metric.every('x', 2.0), {'x': [1.0, 2.0]}, [2.0, 4.0]),
    (metric.every('x'), {}, []), (metric.lost_percent, {'sent': 4, 'received': 3}, 25.0),
    (metric.lost_percent, {'sent': 0, 'received': 0}, None)])
def test_value_of_a_metric(make, values, result):
    assert make(values) == (pytest.approx(result) if result is not None else None)
