"""Distances between places in log step, by hand and by chance."""

import math

import numpy as np
import pytest

from experiments.statistics.nearness import distance, drawn_checkpoints, nearer

STEPS = np.array([0, 10, 30, 100, 300, 1000, 3000, 10_000])


def test_a_distance_counts_both_sides() -> None:
    ten, hundred, thousand = (np.expm1([power * math.log(10)])[0] for power in (1, 2, 3))
    decade = math.log(10)
    assert distance(np.array([hundred]), np.array([thousand])) == pytest.approx(decade)
    both = np.array([ten, thousand])
    assert distance(both, both) == 0
    # from one to the nearest of two: 0; from two to the one: 0 and two decades
    assert distance(np.array([ten]), both) == pytest.approx((0 + decade) / 2)
    assert distance(both, np.array([ten])) == distance(np.array([ten]), both)
    assert math.isnan(distance(np.array([]), both))


def test_drawn_checkpoints_are_inner_different_and_all_as_likely() -> None:
    drawn = drawn_checkpoints(STEPS, 2, draws=3000)
    assert all(len(set(one.tolist())) == 2 for one in drawn)
    values, counts = np.unique(np.concatenate(drawn), return_counts=True)
    assert values.tolist() == STEPS[1:-1].tolist()
    assert np.abs(counts - 1000).max() < 120
    for count in (0, 7):
        with pytest.raises(ValueError, match="6 checkpoints lie between"):
            drawn_checkpoints(STEPS, count, draws=1)


def test_what_stands_at_the_stages_is_nearer_than_chance() -> None:
    stages = np.array([100, 3000])
    own, chance = nearer(stages, stages, drawn_checkpoints(STEPS, 2, draws=500))
    assert own == 0 and chance.mean() > 0.5
    own, chance = nearer(np.array([10, 10_000]), stages, drawn_checkpoints(STEPS, 2, draws=500))
    assert own > chance.mean()  # the control: at the ends
