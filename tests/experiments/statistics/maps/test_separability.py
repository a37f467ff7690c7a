"""d' against its exact value, and its interval by how often it holds it."""

import math

import numpy as np
import pytest

from experiments.statistics.maps.separability import separability

ROWS, LENGTH = 32, 100


def drawn(shift: float, seed: int, of_rows: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal values, those inside moved by shift; of_rows: how much rows differ in where their tokens inside lie."""
    generator = np.random.default_rng(seed)
    rows = np.repeat(np.arange(ROWS), LENGTH)
    inside = generator.random(ROWS * LENGTH) < 0.3
    of_row = of_rows * generator.standard_normal(ROWS)
    return generator.standard_normal(ROWS * LENGTH) + inside * (shift + of_row[rows]), inside, rows


def test_the_value_is_the_difference_of_means_over_the_root_mean_square_spread() -> None:
    values = np.array([1.0, 2.0, 3.0, 7.0, 9.0])
    inside = np.array([True, True, True, False, False])
    found = separability(values, inside, np.array([0, 1, 2, 3, 4]))
    assert found.value == pytest.approx((2 - 8) / math.sqrt((1 + 2) / 2))
    assert math.isnan(found.low)  # without one of the two outside there is no spread


def test_the_interval_holds_the_truth_as_often_as_it_says_where_rows_differ_too() -> None:
    for of_rows in (0.0, 0.5):
        truth = 1.0 / math.sqrt((1 + of_rows**2 + 1) / 2)
        held = [one.low <= truth <= one.high for one in (separability(*drawn(1.0, s, of_rows)) for s in range(300))]
        assert abs(np.mean(held) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 300)
    values, inside, _ = drawn(1.0, 0, 0.5)
    narrow = separability(values, inside, np.arange(len(values)))  # the control: tokens taken for independent
    wide = separability(*drawn(1.0, 0, 0.5))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_no_difference_is_none() -> None:
    outside = [not one.low <= 0 <= one.high for one in (separability(*drawn(0.0, seed)) for seed in range(300))]
    assert np.mean(outside) < 0.05 + 4 * math.sqrt(0.95 * 0.05 / 300)


def test_what_cannot_be_told_is_nan() -> None:
    values, inside, rows = drawn(1.0, 0)
    for arguments in (
        (values, np.zeros_like(inside), rows),
        (np.ones_like(values), inside, rows),
        (values, inside, np.zeros_like(rows)),
        (values, (rows == 3) & inside, rows),  # all in one row
    ):
        found = separability(*arguments)
        assert math.isnan(found.low) and math.isnan(found.high)
