"""The statistics of a report, against values that were computed by hand or stand in the reference."""
import pytest

from ua_overlay.measure import stats


@pytest.mark.parametrize('values, share, expected', [
    ([7.0], 0.95, 7.0), ([1, 2, 3, 4], 0.5, 2.5), ([4, 1, 3, 2], 0.0, 1), ([4, 1, 3, 2], 1.0, 4),
    (range(101), 0.95, 95)])
def test_percentile(values, share, expected):
    assert stats.percentile(list(values), share) == pytest.approx(expected)


def test_no_percentile_of_nothing():
    with pytest.raises(ValueError):
        stats.percentile([], 0.5)


def test_an_interval_contains_the_median_and_is_reproducible():
    values = [float(value) for value in (9, 10, 10.5, 11, 11.2, 12, 13, 9.5, 10.1, 11.7)]
    result = stats.estimate(values)
    stats.drawn_medians.cache_clear()
    assert result == stats.estimate(values)
    assert result.value == pytest.approx(10.75)
    assert min(values) < result.low < result.value < result.high < max(values)
    assert result.n == 10


def test_more_repetitions_narrow_the_interval():
    few, many = (stats.estimate([float(value % 10) for value in range(count)]) for count in (10, 200))
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize('values, expected', [([], None), ([3.0], stats.Estimate(3.0, None, None, 1))])
def test_too_few_for_an_interval(values, expected):
    assert stats.estimate(values) == expected


def test_an_interval_has_its_nominal_coverage():
    """95 of 100 intervals should contain the true median; a percentile bootstrap of 20 nearly does."""
    import random
    draw = random.Random(3)
    result = [stats.estimate([draw.gauss(50, 5) for _ in range(20)]) for _ in range(100)]
    assert 88 <= sum(each.low <= 50 <= each.high for each in result) <= 100


def test_the_formulas_of_the_study():
    loss = stats.throughput_loss([([100.0] * 3, [60.7] * 3)])
    assert (loss.percent.value, loss.absolute.value) == (pytest.approx(39.3), pytest.approx(39.3))
    rise = stats.rtt_increase([([0.369] * 3, [0.628] * 3)])
    assert rise.percent.value == pytest.approx(70.2, abs=0.1)
    assert rise.absolute.value == pytest.approx(0.259)
    assert rise.percent.low <= rise.percent.value <= rise.percent.high


def test_a_change_over_places_is_their_mean():
    result = stats.throughput_loss([([100.0, 100.0], [90.0, 90.0]), ([10.0, 10.0], [7.0, 7.0])])
    assert result.percent.value == pytest.approx(20.0)
    assert result.absolute.value == pytest.approx(6.5)


@pytest.mark.parametrize('pairs', [[], [([], [1.0])], [([1.0], [])], [([0.0], [1.0])]])
def test_no_change_without_both_values(pairs):
    assert stats.throughput_loss(pairs) is None


def test_one_repetition_has_a_change_without_interval():
    assert stats.rtt_increase([([10.0], [11.0])]).percent == stats.Estimate(pytest.approx(10.0), None, None, 1)
