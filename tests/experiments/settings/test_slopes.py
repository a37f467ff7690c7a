"""Slopes and exponents: exact where the law holds exactly, and as often in the interval as it says."""

import numpy as np
import pytest

from experiments.settings import slopes


def test_an_exact_power_has_its_exponent() -> None:
    x = np.array([2.0, 3.0, 5.0, 7.0])
    found = slopes.exponent(x, 4 * x**1.5)
    assert found == pytest.approx((1.5, 1.5, 1.5))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator, x = np.random.default_rng(0), np.repeat([1.0, 2.0, 4.0], 2)
    hits = [(f := slopes.slope(x, 3 * x + generator.normal(size=6))).low < 3 < f.high for _ in range(600)]
    assert 0.92 < np.mean(hits) < 0.975
    means = [(f := slopes.mean(generator.normal(1, 2, 4))).low < 1 < f.high for _ in range(600)]
    assert 0.92 < np.mean(means) < 0.975


def test_too_few_points_are_told() -> None:
    with pytest.raises(ValueError, match="2 points at 2 places"):
        slopes.slope([1, 2], [1, 2])
    with pytest.raises(ValueError, match="1 value"):
        slopes.mean([1])
