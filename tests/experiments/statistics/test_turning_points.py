"""Turning points: planted curves, and monotone ones without any."""

import math

import numpy as np

from experiments.statistics import turning_points
from tests.experiments.statistics.logistic import CLOCK, STEPS


def test_turning_points_are_found_and_monotone_curves_have_none() -> None:
    errors = np.full(len(STEPS), 0.05)
    turning, covered, spurious = np.log1p([800.0, 3000.0]), [], []
    flat = np.where(CLOCK < 5, CLOCK, 5.0)
    for seed in range(24):
        noise = errors * np.random.default_rng(seed).standard_normal(len(STEPS))
        # a cubic whose slope is zero at the two steps
        curve = 3 * (CLOCK**3 / 3 - turning.sum() * CLOCK**2 / 2 + turning.prod() * CLOCK)
        points = turning_points.critical_points(STEPS, curve + noise, errors, bandwidth=0.25, draws=200)
        assert [one.kind for one in points] == ["maximum", "minimum"]
        covered += [one.low <= step <= one.high for one, step in zip(points, np.expm1(turning), strict=True)]
        spurious.append(bool(turning_points.critical_points(STEPS, flat + noise, errors, bandwidth=0.25, draws=200)))
    assert np.mean(covered) > 0.9 and np.mean(spurious) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 24)
    chosen = turning_points.critical_points(STEPS, curve + noise, errors)
    assert [one.kind for one in chosen] == ["maximum", "minimum"] and 0 <= chosen[0].low < chosen[0].high
