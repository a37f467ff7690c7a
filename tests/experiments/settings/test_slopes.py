"""Exponents: exact where the law holds exactly, and as often in the interval as it says."""

import numpy as np
import pytest

from experiments.settings import slopes


def test_an_exact_power_has_its_exponent() -> None:
    x = np.array([2.0, 3.0, 5.0, 7.0])
    assert slopes.exponent(x, 4 * x**1.5) == pytest.approx((1.5, 1.5, 1.5))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    generator, x = np.random.default_rng(0), np.repeat([1.0, 2.0, 4.0], 2)
    hits = []
    for _ in range(600):
        _, low, high = slopes.exponent(x, 3 * x**2 * np.exp(generator.normal(size=6)))
        hits.append(low < 2 < high)
    assert 0.92 < np.mean(hits) < 0.975


def test_another_unit_scales_both_ends() -> None:
    assert slopes.times((1.0, 0.5, 2.0), 100) == (100.0, 50.0, 200.0)
